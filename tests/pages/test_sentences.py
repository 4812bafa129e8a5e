"""Sentences follow the records: another record, another sentence."""

from __future__ import annotations

from dataclasses import replace

import page_cases as cases
import pytest
from page_cases import est

from limen.pages import sentences
from limen.records.budget import Advice, Budget
from limen.records.estimate import Estimate, not_identified


def said(budget: Budget, of: int = 1) -> str:
    return sentences.plain(sentences.lead(budget, of))


def test_lead_says_loss_error_floor_and_source() -> None:
    text = said(cases.budget())
    for part in ("0.267 nats", "7.2 %", "0.171 (0.150 to 0.192)", "too few labels"):
        assert part in text


def test_lead_of_several_says_so() -> None:
    assert said(cases.budget(), 6).startswith("Best of 6, chosen on the same held-out rows: the linear probe on minilm")


@pytest.mark.parametrize(
    ("budget", "part"),
    [
        (cases.one_sided(), "at most 0.249 (upper side only)"),
        (cases.unidentified(), "between 2.20 and 3.10 (interval only)"),
        (cases.negative(), "no gap above that is told from zero"),
    ],
)
def test_lead_says_what_is_not_known(budget: Budget, part: str) -> None:
    assert part in said(budget)


def test_a_gap_below_the_margin_is_never_the_rest() -> None:
    """Estimation at or below zero does not make a solver's gap of 1e-10 the reason of the loss."""
    base = cases.negative()
    for rest in (1e-10, 0.004):
        budget = replace(base, terms=dict(base.terms) | {"optimization_gap": est(rest, rest)})
        assert "solver stopped early" not in said(budget)
        assert "optimization is the largest" not in sentences.waterfall_caption([budget])


def test_a_loss_at_or_below_the_floor_has_nothing_left_to_reach() -> None:
    base = cases.negative()
    for floor in (0.267, 0.31):
        text = said(replace(base, terms=dict(base.terms) | {"minimal_adaptation_loss": est(floor, 0.1)}))
        assert "It is already at its floor of about" in text
        assert "as far as these rows tell." in text
        assert "could reach" not in text
    assert "already at its floor" not in said(base)


def test_lead_of_a_diverged_budget_gives_the_reason() -> None:
    base = cases.budget()
    terms = dict(base.terms) | {"adaptation_loss": Estimate(None, state="diverged", reason="loss rose")}
    assert "no held-out loss: loss rose" in said(replace(base, terms=terms))


def test_lead_without_a_floor_does_not_invent_one() -> None:
    base = cases.budget()
    terms = {name: term for name, term in base.terms.items() if name != "minimal_adaptation_loss"}
    assert "not measured by this method" in said(replace(base, terms=terms))


def test_a_gap_that_may_be_zero_is_said_to_be() -> None:
    base = cases.budget()
    terms = dict(base.terms) | {"estimation_gap": est(0.02, 0.05)}
    assert "not told from zero" in said(replace(base, terms=terms))
    assert "not told from zero" not in said(base)


def test_largest_follows_the_values() -> None:
    base = cases.budget()
    assert sentences.largest(base) == "estimation_gap"
    terms = dict(base.terms) | {"optimization_gap": est(0.3, 0.01)}
    solve = Advice("tune-solver", "Solve better: much.", ("terms.optimization_gap.value",), "certified")
    assert sentences.largest(replace(base, terms=terms, advice=(solve,))) == "optimization_gap"
    assert sentences.largest(replace(base, terms=terms, advice=())) == "estimation_gap"
    assert sentences.largest(cases.unidentified()) is None


def test_caption_compares_floor_and_gap() -> None:
    assert "the floor is the largest term" in sentences.waterfall_caption([cases.budget()])
    assert "estimation is the largest term" in sentences.waterfall_caption([cases.budget(floor=0.05)])
    assert "not told apart" in sentences.waterfall_caption([cases.unidentified()])


def test_budgets_are_ranked_with_unknown_losses_last() -> None:
    base = cases.budget()
    lost = replace(base, terms={"adaptation_loss": Estimate(None, state="diverged", reason="r")})
    worse = cases.budget(floor=0.6)
    assert sentences.rank([lost, worse, base]) == [base, worse, lost]


def test_losses_and_tasks_never_share_a_group() -> None:
    base = cases.budget()
    squared = replace(base, loss="squared")
    report = replace(cases.one(), budgets=(base, squared, cases.budget(task="other")))
    assert len(sentences.groups(report)) == 3


def test_curve_caption_counts_and_gives_reasons() -> None:
    text = sentences.curve_caption(cases.unidentified())
    assert "1 diverged" in text
    assert "No target was given" in text
    assert "fewer than 4 label counts" in text
    assert "20,400 labels (15,000 to 31,000) ▲" in sentences.curve_caption(cases.budget())


def test_interface_caption_follows_the_slope() -> None:
    run = cases.interface()
    assert "lower too" in sentences.interface_caption(run, "banking77")
    flat = replace(run, slope={"banking77": est(0.0, 0.1)})
    assert "not told from unchanged" in sentences.interface_caption(flat, "banking77")
    back = replace(run, slope={"banking77": est(-0.5, 0.1)})
    assert "higher" in sentences.interface_caption(back, "banking77")


def test_comparison_names_the_lower_floor() -> None:
    assert sentences.comparison(cases.comparison()).startswith("minilm")
    turned = replace(cases.comparison(), floor_difference=est(0.47, 0.03))
    assert sentences.comparison(turned).startswith("bag-of-words")


def test_rows_of_a_comparison_are_of_one_kind() -> None:
    close = cases.comparison(separable=False)
    said = "floors not separable at 10,000 rows in the file; about 18,000 rows in the file would tell"
    assert sentences.comparison(close) == said
    held = replace(close, n_pool=None, n_to_separate=None)  # the swap bound stands on held-out rows
    assert sentences.comparison(held) == "floors not separable at 2,001 held-out rows"


def test_rivals_are_named_only_where_not_separable() -> None:
    budget = cases.budget()
    assert sentences.rivals(budget, [cases.comparison()]) == []
    text = sentences.plain(sentences.rivals(budget, [cases.comparison(b="scratch", separable=False)]))
    assert "not separable" in text
    assert "scratch" in text


def test_the_caption_sets_the_law_beside_its_last_point() -> None:
    base = cases.budget()
    assert "At 7,502 labels the fitted law passes 0.267, measured 0.267." in sentences.curve_caption(base)
    assert base.extrapolation is not None
    off = replace(base.extrapolation, law=dict(base.extrapolation.law) | {"asymptote": 0.2})
    assert "passes 0.296, measured 0.267." in sentences.curve_caption(replace(base, extrapolation=off))
    assert "fitted law" not in sentences.curve_caption(replace(base, extrapolation=None))


def test_the_verdict_on_labels_comes_before_its_statistics() -> None:
    base = cases.budget()
    assert base.extrapolation is not None
    for reason, said in (
        ("add label counts above 1,280. The interval is wide", "Not known how many labels a target needs: add label"),
        ("no number of labels reaches the target", "No number of labels reaches the target."),
    ):
        law = replace(base.extrapolation, labels_needed=not_identified(reason))
        assert said in sentences.curve_caption(replace(base, extrapolation=law))
