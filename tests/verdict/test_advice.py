"""Each rule fires on the end of an interval that decides it, and not on the other side of that boundary."""

from __future__ import annotations

import pytest

from limen.records.budget import Budget, Extrapolation, Floor, FloorPoint, PopulationCheck
from limen.records.estimate import Estimate, not_identified
from limen.records.task import Question
from limen.verdict.advice import advise

EPS = 1e-6


def term(value, low=None, high=None, grade="statistical"):
    low, high = value - 0.01 if low is None else low, value + 0.01 if high is None else high
    return Estimate(value, low, high, confidence=0.95, grade=grade)


FORETOLD = {"hit_rate": 0.95, "low": 0.8, "high": 0.99}


def law(asymptote=None, needed=None, parameters=None, backtest=FORETOLD):
    silent = not_identified("no law")
    return Extrapolation(asymptote or silent, silent, needed or silent, backtest, parameters or {})


def budget(terms=None, path=((1.0, 0.05, 0.3),), **more):
    """A budget in which no rule but `leave-solver` has a reason to speak."""
    base = {
        "minimal_adaptation_loss": term(0.10, 0.05, 0.15),
        "optimism": term(0.01),
        "optimization_gap": Estimate(1e-5, 0.0, 1e-5, confidence=1.0, grade="certified"),
        "generalization_gap": term(0.0),
        "estimation_gap": term(0.005, -0.02, 0.03),
        "empirical_adaptation_loss": Estimate(0.1, grade="exact"),
        "adaptation_loss": term(0.30, 0.25, 0.35),
        "error": term(0.10, 0.08, 0.12, grade="certified"),
    }
    fields = {
        "encoder": "e", "task": "t", "method": "linear-probe", "loss": "log", "n_train": 1000, "n_holdout": 200,
        "classes": 3, "confidence": 0.95, "radius": 1.0, "terms": {**base, **(terms or {})}, "sides": None,
        "identity_residual": 0.0, "floor_path": tuple(FloorPoint(*p) for p in path),
    }  # fmt: skip
    return Budget(**{**fields, **more})


def rules(found, question=None):
    return [a.rule for a in advise(found, question or Question())]


def one(found, rule, question=None):
    (advice,) = [a for a in advise(found, question or Question()) if a.rule == rule]
    return advice


def test_the_quiet_budget_is_quiet():
    assert rules(budget()) == ["leave-solver"]


# ------------------------------------------------------------------ stop labelling


def sides(certified_low=None, informative=False):
    certified = not_identified("a bracket", low=certified_low, high=20.0, confidence=0.95, grade="certified")
    statistical = not_identified("a bracket", low=0.0, high=2.0, confidence=0.95, grade="statistical")
    return Floor(certified, statistical, term(0.5), 0.4, informative, 0.0)


@pytest.mark.parametrize(("target", "fires"), [(0.2 - EPS, True), (0.2, False), (0.2 + EPS, False)])
def test_stop_labelling_reads_the_low_end_at_the_largest_radius(target, fires):
    found = budget(path=((1.0, 0.9, 1.0), (2.0, 0.2, 1.0)), sides=sides())
    assert ("stop-labelling" in rules(found, Question(target_loss=target))) == fires


def test_stop_labelling_needs_a_target_a_path_and_sides():
    question = Question(target_loss=0.01)
    assert "stop-labelling" not in rules(budget(path=((1.0, 9.0, 10.0),), sides=sides(9.0, True)))
    assert "stop-labelling" not in rules(budget(path=(), sides=sides(9.0, True)), question)
    assert "stop-labelling" not in rules(budget(path=((1.0, None, None),), sides=sides()), question)
    assert "stop-labelling" not in rules(budget(path=((1.0, 9.0, 10.0),)), question)
    assert "stop-labelling" in rules(budget(path=((1.0, 9.0, 10.0),), sides=sides()), question)


@pytest.mark.parametrize("target", [0.2, 0.05, 0.0])
def test_no_error_target_is_ever_given_up(target):
    """No side holds an error from below: neither the floor of the loss nor the law of the error stops labelling."""
    found = budget(
        path=((1.0, 9.0, 10.0),),
        sides=sides(9.0, True),
        extrapolation=law(asymptote=term(0.8, 0.7, 0.9, grade="extrapolated")),
    )
    assert "stop-labelling" not in rules(found, Question(target_error=target))
    assert "stop-labelling" in rules(found, Question(target_loss=target))


@pytest.mark.parametrize(
    ("path_low", "certified_low", "informative", "expected"),
    [
        (0.2 + EPS, 0.3, True, ("statistical", "floor_path[-1].low", "‖W‖ ≤ 2")),  # the larger radius says more
        (0.2, 0.2 + EPS, True, ("certified", "sides.certified.low", "‖W‖ ≤ 1")),
        (None, 0.3, True, ("certified", "sides.certified.low", "‖W‖ ≤ 1")),
        (0.2, 0.2, True, None),
        (0.2, 0.3, False, None),  # an uninformative side decides nothing
        (0.2, None, True, None),
    ],
)
def test_stop_labelling_has_the_grade_and_the_radius_of_the_side_that_decides(
    path_low, certified_low, informative, expected
):
    point = (2.0, path_low, None if path_low is None else 1.0)
    found = budget(path=((1.0, 0.4, 1.0), point), sides=sides(certified_low, informative))
    question = Question(target_loss=0.2)
    if expected is None:
        assert "stop-labelling" not in rules(found, question)
    else:
        advice = one(found, "stop-labelling", question)
        assert (advice.grade, advice.because) == (expected[0], (expected[1],))
        assert expected[2] in advice.action


# ------------------------------------------------------------------ target


@pytest.mark.parametrize(("target", "rule"), [(0.35, "target-met"), (0.35 - EPS, "hold-out-more"), (0.3 - EPS, None)])
def test_a_target_is_met_when_the_high_end_meets_it(target, rule):
    spoken = {"target-met", "hold-out-more", "labels-for-target"} & set(rules(budget(), Question(target_loss=target)))
    assert spoken == ({rule} if rule else set())


def test_an_error_target_is_met_with_the_grade_of_the_error():
    assert one(budget(), "target-met", Question(target_error=0.12)).grade == "certified"
    assert "target-met" not in rules(budget(), Question(target_error=0.12 - EPS))


def needed(labels, grade="extrapolated"):
    return term(labels, labels - 500, labels + 500, grade=grade)


@pytest.mark.parametrize(("labels", "fires"), [(1001.0, True), (1000.0, False)])
@pytest.mark.parametrize("question", [Question(target_loss=0.2), Question(target_error=0.05)])
def test_labels_for_a_target_are_named_where_more_than_there_are(labels, fires, question):
    found = budget(extrapolation=law(needed=needed(labels)))
    assert ("labels-for-target" in rules(found, question)) == fires
    assert "labels-for-target" not in rules(found)
    if fires:
        said = one(found, "labels-for-target", question).action
        assert said.startswith("The fitted law says that about 1,001 labels reach the target")


@pytest.mark.parametrize(
    ("backtest", "fires"),
    [
        ({"high": 0.95}, True),
        ({"high": 0.95 - EPS}, False),  # the law is rejected at the largest label count
        ({"state": "not_identified", "reason": "3 label counts"}, False),
    ],
)
def test_labels_are_promised_only_by_a_law_that_its_backtest_does_not_reject(backtest, fires):
    found = budget(extrapolation=law(needed=needed(5000.0), backtest=backtest))
    assert ("labels-for-target" in rules(found, Question(target_loss=0.2))) == fires


def test_labels_without_an_interval_are_not_promised():
    point = Estimate(5000.0, grade="point")
    assert "labels-for-target" not in rules(budget(extrapolation=law(needed=point)), Question(target_loss=0.2))
    lost = not_identified("the law is not", grade="extrapolated")
    assert "labels-for-target" not in rules(budget(extrapolation=law(needed=lost)), Question(target_loss=0.2))


# ------------------------------------------------------------------ target of the best of several, and of two laws


def chosen(loss_high, error_high=0.13, **more):
    numbers = {"candidates": 9, "loss_high": loss_high, "error_high": error_high, "confidence": 0.95}
    return budget(population_checks=(PopulationCheck("selection", "best of 9", "noted", numbers),), **more)


@pytest.mark.parametrize(
    ("target", "rule"), [(0.38, "target-met"), (0.38 - EPS, "hold-out-more"), (0.36, "hold-out-more")]
)
def test_the_best_of_several_meets_a_target_by_its_corrected_end_only(target, rule):
    """Its own interval ends at 0.35; corrected for the choice among nine it ends at 0.38."""
    advice = one(chosen(0.38), rule, Question(target_loss=target))
    assert advice.because == ("population_checks.selection.loss_high",)
    assert "0.38" in advice.action
    assert "the choice among 9" in advice.action
    assert not {"target-met", "hold-out-more"} - {rule} & set(rules(chosen(0.38), Question(target_loss=target)))


def test_an_error_target_of_the_best_of_several_has_the_corrected_error():
    assert one(chosen(0.38), "target-met", Question(target_error=0.13)).grade == "certified"
    assert "hold-out-more" in rules(chosen(0.38), Question(target_error=0.13 - EPS))


def test_an_end_that_is_not_known_meets_no_target():
    unknown = chosen(None)
    assert "has no interval" in one(unknown, "hold-out-more", Question(target_loss=0.4)).action


@pytest.mark.parametrize("target", [0.36, 0.32])
def test_where_the_measured_loss_meets_the_target_a_law_that_asks_for_more_labels_does_not_decide(target):
    found = budget(extrapolation=law(needed=needed(1392.0)))
    spoken = [a for a in advise(found, Question(target_loss=target)) if a.rule != "leave-solver"]
    assert [a.rule for a in spoken] == ["target-met" if target > 0.35 else "hold-out-more"]
    assert spoken[0].action.endswith("The fitted law says about 1,392 labels; what was measured at 1,000 decides.")
    fewer = one(budget(extrapolation=law(needed=needed(900.0))), spoken[0].rule, Question(target_loss=target))
    assert "fitted law" not in fewer.action


def test_the_law_of_the_error_counts_no_labels_for_a_loss_target():
    """With both targets the law is that of the error, and the loss is what is asked about first."""
    found = budget(extrapolation=law(needed=needed(5000.0)))
    assert "labels-for-target" in rules(found, Question(target_loss=0.2))
    assert "labels-for-target" not in rules(found, Question(target_loss=0.2, target_error=0.01))


# ------------------------------------------------------------------ label more


@pytest.mark.parametrize(("low", "fires"), [(0.05 + EPS, True), (0.05, False)])
def test_label_more_needs_the_low_end_of_estimation_above_the_margin(low, fires):
    found = budget({"estimation_gap": term(0.2, low, 0.3)})
    assert ("label-more" in rules(found, Question(margin=0.05))) == fires


@pytest.mark.parametrize(("high", "said"), [(0.2 - EPS, False), (0.2, True), (0.6, True)])
def test_label_more_says_where_a_shift_may_cost_as_much(high, said):
    """The low end of estimation decides; a shift whose high end reaches its point is named."""
    found = budget({"estimation_gap": term(0.2)}, shift={"test": {"shift_gap": term(0.1, 0.0, high)}})
    advice = one(found, "label-more")
    assert ("a shift may cost as much" in advice.action) == said
    assert ("no more than that can be gained" in advice.action) == (not said)
    assert advice.because == ("terms.estimation_gap.low",)


@pytest.mark.parametrize(("rival", "said"), [(0.2 - EPS, False), (0.2, True)])
def test_label_more_says_where_the_solver_may_cost_as_much(rival, said):
    gap = Estimate(rival, 0.0, rival, confidence=1.0, grade="certified")
    action = one(budget({"estimation_gap": term(0.2), "optimization_gap": gap}), "label-more").action
    assert ("the solver may cost as much" in action) == said
    assert "a shift" not in action


def test_a_shift_without_an_interval_is_no_rival():
    unknown = {"test": {"shift_gap": not_identified("one unit")}}
    assert "a shift" not in one(budget({"estimation_gap": term(0.2)}, shift=unknown), "label-more").action


def test_label_more_is_silent_where_the_floor_is_not_identified():
    unknown = not_identified("n too small", low=0.1, high=0.3, confidence=0.95)
    assert "label-more" not in rules(budget({"estimation_gap": unknown}))


def test_the_gain_of_twice_the_labels_is_the_fall_of_the_law_and_never_above_the_cap():
    parameters = {"asymptote": 0.1, "amplitude": 10.0, "curvature": 0.0, "exponent": 0.5}
    line = law(asymptote=Estimate(0.1, 0.05, 0.15, confidence=0.95, grade="extrapolated"), parameters=parameters)
    found = budget({"estimation_gap": term(0.2, 0.1, 0.3)}, extrapolation=line)
    fall = 10 * (1000**-0.5 - 2000**-0.5)
    assert one(found, "label-more").gain.value == pytest.approx(fall)
    capped = budget({"estimation_gap": term(0.05, 0.04, fall - EPS)}, extrapolation=line)
    assert one(capped, "label-more").gain.value == 0.05  # the law promises more than is there: the term itself


def falling(high=0.15, needed_labels=None, **parameters):
    """A law of the loss that falls from 0.42 at 1,000 labels to an asymptote of 0.1, at most `high`."""
    numbers = {"asymptote": 0.1, "amplitude": 10.0, "curvature": 0.0, "exponent": 0.5, **parameters}
    asymptote = Estimate(0.1, 0.05, high, confidence=0.95, grade="extrapolated")
    return law(asymptote=asymptote, needed=needed_labels, parameters=numbers)


FALL = 10 * (1000**-0.5 - 2000**-0.5)
SILENT = {"estimation_gap": not_identified("n too small", low=-0.1, high=0.3, confidence=0.95)}


def test_a_law_of_the_error_gives_no_gain_in_loss():
    found = budget({"estimation_gap": term(0.2, 0.1, 0.3)}, extrapolation=falling(error=1.0))
    assert one(found, "label-more").gain == found.terms["estimation_gap"]
    assert "twice the labels" not in one(found, "label-more").action
    assert "label-more" not in rules(budget(SILENT, extrapolation=falling(error=1.0)))


@pytest.mark.parametrize("gap", [SILENT, {"estimation_gap": term(0.1, -0.1, 0.3)}], ids=["unknown", "low end below 0"])
def test_a_back_tested_law_that_falls_says_label_more_where_the_estimation_gap_does_not(gap):
    advice = one(budget(gap, extrapolation=falling()), "label-more")
    assert advice.grade == "extrapolated"
    assert advice.gain.grade == "extrapolated"
    assert advice.gain.value == pytest.approx(FALL)
    assert advice.because == ("extrapolation.asymptote.high", "terms.adaptation_loss.low")
    assert "falls from 0.3 to 0.100 (0.050 to 0.150)" in advice.action


@pytest.mark.parametrize(("high", "fires"), [(0.25 - 0.05 - EPS, True), (0.25 - 0.05, False)])
def test_the_law_must_surely_fall_by_more_than_the_margin(high, fires):
    """The low end of the loss, 0.25, less the high end of the asymptote."""
    found = budget(SILENT, extrapolation=falling(high))
    assert ("label-more" in rules(found, Question(margin=0.05))) == fires


def test_the_law_says_nothing_against_its_back_test_nor_beyond_what_there_is_to_gain():
    unlike = falling()
    rejected = unlike.__class__(unlike.asymptote, unlike.exponent, unlike.labels_needed, {"high": 0.5}, unlike.law)
    assert "label-more" not in rules(budget(SILENT, extrapolation=rejected))
    for high, fires in ((FALL - EPS, False), (FALL + EPS, True)):
        capped = {"estimation_gap": term(0.0, -0.1, high)}
        assert ("label-more" in rules(budget(capped, extrapolation=falling()))) == fires
    small = {"estimation_gap": term(0.0, -0.1, FALL + EPS)}
    assert "label-more" not in rules(budget(small, extrapolation=falling()), Question(margin=FALL + EPS))
    flat = falling(amplitude=0.0)
    assert "label-more" not in rules(budget(SILENT, extrapolation=flat))


def test_the_law_names_what_may_cost_as_much():
    shifted = {"test": {"shift_gap": term(0.1, 0.0, 0.2)}}  # 0.3 less the asymptote of 0.1
    assert (
        "a shift may cost as much" in one(budget(SILENT, extrapolation=falling(), shift=shifted), "label-more").action
    )
    assert "as much" not in one(budget(SILENT, extrapolation=falling()), "label-more").action


# ------------------------------------------------------------------ radius, shift, solver, encoder, unknown


@pytest.mark.parametrize(("high", "fires"), [(0.04 - EPS, True), (0.04, False)])
def test_a_larger_radius_must_surely_beat_the_floor_of_this_one(high, fires):
    found = budget(path=((0.5, 0.0, 0.01), (1.0, 0.05, 0.3), (2.0, 0.0, high)))
    assert ("larger-radius" in rules(found, Question(margin=0.01))) == fires


def test_a_smaller_radius_is_never_advised():
    assert "larger-radius" not in rules(budget(path=((0.5, -0.1, -0.05), (1.0, 0.05, 0.3))))


@pytest.mark.parametrize(("low", "fires"), [(0.01 + EPS, True), (0.01, False), (-0.1, False)])
def test_shift_is_fixed_where_its_low_end_exceeds_the_margin(low, fires):
    found = budget(shift={"test": {"shift_gap": term(0.2, low, 0.4)}, "mild": {"shift_gap": term(0.0, -0.1, 0.1)}})
    assert ("fix-shift" in rules(found)) == fires


def test_the_worst_population_is_named():
    found = budget(shift={"a": {"shift_gap": term(0.2, 0.1, 0.3)}, "b": {"shift_gap": term(0.2, 0.15, 0.25)}})
    advice = one(found, "fix-shift")
    assert "'b'" in advice.action
    assert advice.because == ("terms.shift.b.shift_gap.low",)


@pytest.mark.parametrize(("gap", "rule"), [(0.01 + EPS, "tune-solver"), (0.01, "leave-solver")])
def test_the_solver_is_tuned_only_for_more_than_the_margin(gap, rule):
    found = budget({"optimization_gap": Estimate(gap, 0.0, gap, confidence=1.0, grade="certified")})
    assert [r for r in rules(found) if "solver" in r] == [rule]
    advice = one(found, rule)
    assert advice.grade == "certified"
    assert advice.gain is None  # a certificate bounds the gap from above: no gain is certain
    if rule == "tune-solver":
        assert "up to 0.01 of the loss may be optimization" in advice.action
        assert "certificate is not closed" in advice.action


@pytest.mark.parametrize(("low", "fires"), [(0.175 + EPS, True), (0.175, False)])
def test_another_encoder_where_the_floor_is_surely_most_of_the_loss(low, fires):
    found = budget({"minimal_adaptation_loss": term(0.25, low, 0.3)})  # adaptation loss at most 0.35
    assert ("other-encoder" in rules(found)) == fires
    if fires:
        said = one(found, "other-encoder").action
        assert said.startswith("Most of the loss is the floor (at least 0.175 of 0.3): more labels do not lower it.")
        assert said.endswith("Another encoder, layer or richer adapter may; what is label noise nothing lowers.")


def test_another_encoder_is_not_worth_less_than_the_margin():
    tiny = {"minimal_adaptation_loss": term(0.003, 0.002, 0.004), "adaptation_loss": term(0.003, 0.002, 0.0035)}
    assert "other-encoder" not in rules(budget(tiny))
    assert "other-encoder" in rules(budget(tiny), Question(margin=0.001))


def test_an_unknown_floor_says_why():
    unknown = not_identified("too few rows", low=0.05, high=0.3, confidence=0.95)
    found = budget({"minimal_adaptation_loss": unknown})
    assert "too few rows" in one(found, "floor-not-identified").action
    assert "floor-not-identified" not in rules(budget())


def test_methods_without_a_floor_get_no_advice_on_it():
    plain = {k: v for k, v in budget().terms.items() if k in ("adaptation_loss", "error", "empirical_adaptation_loss")}
    assert (
        rules(budget(radius=None, path=(), terms=None).__class__(**{**_fields(budget(path=())), "terms": plain})) == []
    )


def _fields(found):
    return {name: getattr(found, name) for name in found.__slots__}


def test_every_advice_rests_on_terms_that_exist_and_is_in_order_of_urgency():
    found = budget(
        {"estimation_gap": term(0.2, 0.1, 0.3), "minimal_adaptation_loss": term(0.25, 0.2, 0.3)},
        path=((1.0, 0.2, 0.35), (2.0, 0.15, 0.3)),
        sides=sides(),
        shift={"test": {"shift_gap": term(0.1, 0.05, 0.2)}},
    )
    spoken = advise(found, Question(target_loss=0.1))
    assert [a.rule for a in spoken] == ["stop-labelling", "label-more", "fix-shift", "leave-solver", "other-encoder"]
    for advice in spoken:
        for path in advice.because:
            head, _, rest = path.partition(".")
            assert head.startswith(("terms", "floor_path", "extrapolation", "sides"))
            if head == "terms" and not rest.startswith("shift"):
                assert rest.split(".")[0] in found.terms
