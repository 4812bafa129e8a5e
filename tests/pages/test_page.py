"""The page says every number it got, says what it does not know, and lets no name become markup."""

from __future__ import annotations

import re
from dataclasses import replace

import page_cases as cases
import pytest
from checked import check_policy, check_self_contained

from limen.pages.chain import chain
from limen.pages.curves import closer, curves
from limen.pages.figure import budget_figure
from limen.pages.page import render_html
from limen.pages.svg import Caption
from limen.pages.waterfall import NARROW, WIDE, lanes, waterfall
from limen.records.budget import FloorPoint
from limen.records.report import Report

CAPTION = Caption("title", "description")


@pytest.mark.parametrize("name", list(cases.CASES))
def test_page_is_self_contained_and_its_references_resolve(name: str) -> None:
    check_self_contained(render_html(cases.CASES[name]()))


def test_same_report_gives_the_same_bytes() -> None:
    assert render_html(cases.study()) == render_html(cases.study())


def test_hostile_names_stay_text() -> None:
    page = render_html(cases.hostile())
    assert "alert(" in page
    assert "<script>alert" not in page
    assert page.count("<script") == page.count("</script>") == 1
    assert page.count("<svg") == page.count("</svg>")


def test_policy_allows_exactly_the_script_of_the_page() -> None:
    check_policy(render_html(cases.one()))


def test_one_report_is_small_and_a_large_one_below_the_limit() -> None:
    assert len(render_html(cases.one()).encode()) < 200_000
    assert len(render_html(cases.study()).encode()) < 1_000_000
    assert len(render_html(cases.large()).encode()) < 15_000_000


def test_every_subset_is_a_dot_and_every_diverged_fit_a_cross() -> None:
    budget = cases.unidentified()
    drawn = str(curves(budget, "k", (310, 270), CAPTION))
    known = [p for p in budget.curve if not p.diverged]
    assert drawn.count('class="dot held-out"') == len(known)
    assert drawn.count('class="dot training"') == len(known)
    assert drawn.count('class="dot cross"') == 1
    assert "1 diverged" in drawn
    assert "616 labels, seed 4: diverged, loss became infinite at iteration 31" in drawn


def test_law_is_drawn_only_where_it_was_fitted() -> None:
    fitted, without = cases.budget(), cases.unidentified()
    assert 'class="law held-out"' in str(curves(fitted, "k", (310, 270), CAPTION))
    assert "20,400 labels" in str(curves(fitted, "k", (310, 270), CAPTION))
    assert 'class="law' not in str(curves(without, "k", (310, 270), CAPTION))


def with_law(**keys: float) -> str:
    budget = cases.budget()
    assert budget.extrapolation is not None
    law = replace(budget.extrapolation, law={**budget.extrapolation.law, **keys})
    return str(curves(replace(budget, extrapolation=law), "k", (310, 270), CAPTION))


def test_training_branch_of_the_law_is_drawn_only_where_both_sides_were_fitted() -> None:
    assert 'class="law training"' in with_law(two_sided=1.0)
    assert 'class="law training"' not in with_law(two_sided=0.0)
    assert 'class="law held-out"' in with_law(two_sided=0.0)


def test_law_of_the_error_is_not_drawn_among_losses() -> None:
    drawn = with_law(two_sided=0.0, error=1.0)
    assert 'class="law' not in drawn
    assert "fitted law" not in drawn
    assert "20,400 labels" in drawn  # a number of labels has its place on the other axis


def test_law_carries_the_mark_of_its_grade() -> None:
    budget = cases.budget()
    assert budget.extrapolation is not None
    plain = replace(budget.extrapolation, asymptote=replace(budget.extrapolation.asymptote, grade="point"))
    drawn = str(curves(replace(budget, extrapolation=plain), "k", (310, 270), CAPTION))
    assert "fitted law ○" in drawn
    assert "fitted law ▲" in with_law()


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_waterfall_says_what_is_not_known(layout: object) -> None:
    drawn = str(waterfall([cases.one_sided(), cases.unidentified()], "k", layout, CAPTION))  # type: ignore[arg-type]
    assert "at most 0.249: upper side only" in drawn
    assert "2.20 to 3.10: interval only" in drawn
    assert 'class="bar outline floor"' in drawn


def test_lanes_chain_from_zero_to_the_loss() -> None:
    budget = cases.budget()
    floor, estimation, optimization, total, shift = lanes(budget)
    assert floor.start == 0.0
    assert estimation.start == floor.end
    assert optimization.start == estimation.end
    loss = budget.terms["adaptation_loss"].value
    assert optimization.end == pytest.approx(loss)
    assert total.end == loss == shift.start


def test_negative_gap_goes_back() -> None:
    floor, estimation, *_ = lanes(cases.negative())
    assert estimation.end < floor.end
    assert "−0.031" in estimation.text


def test_chain_knows_the_pretraining_of_its_encoder() -> None:
    report = cases.study()
    with_record = next(b for b in report.budgets if b.encoder == "scratch#0@5000")
    assert chain(with_record, report.interfaces).pretraining is not None
    assert chain(report.budgets[0], report.interfaces).pretraining is None
    assert "not recorded" in render_html(cases.one())


def test_standalone_figure_is_valid_xml_with_its_own_colours() -> None:
    from xml.etree import ElementTree

    for budget in (cases.budget(), cases.one_sided(), *cases.hostile().budgets):
        drawn = budget_figure(budget)
        root = ElementTree.fromstring(drawn)
        assert root.get("class") == "limen"
        assert "--floor:" in drawn


def test_empty_report_says_so() -> None:
    page = render_html(Report("x", ()))
    assert "no budget" in page
    page = render_html(cases.nothing())
    assert "weights are missing" in page


def test_every_section_shows_its_numbers() -> None:
    page = render_html(cases.study())
    for text in (
        "0.171",
        "0.150 to 0.192",
        "out of memory",
        "not separable at 10,000 rows in the file",
        "about 18,000 rows",
        "&lt; 0.001",
    ):
        assert text in page, text
    without = render_html(replace(cases.study(), comparisons=(), interfaces=(), cells=()))
    for heading in ("Side by side", "The interface: pretraining", "What ran"):
        assert heading in page
        assert heading not in without


def test_a_lone_budget_gets_a_closer_look_at_its_larger_label_counts() -> None:
    late = closer(cases.budget())
    assert late is not None
    assert {p.n for p in late.curve} == {1232, 2464, 4928, 7502}
    assert closer(replace(cases.budget(), curve=late.curve[:3])) is None
    assert "from 1,232 labels on" in render_html(cases.one())
    assert "labels on" not in render_html(cases.dozen())


def test_floor_along_the_radius_is_in_the_table() -> None:
    path = (FloorPoint(10.0, 0.2, 0.31), FloorPoint(40.0, None, 0.25), FloorPoint(90.0, None, None))
    page = render_html(replace(cases.one(), budgets=(replace(cases.budget(), floor_path=path),)))
    assert "floor, radius 10" in page
    assert "0.200 to 0.310" in page
    assert "at most 0.250" in page
    assert "radius 90" not in page


def test_law_comes_down_to_the_floor_for_held_out_and_up_for_training() -> None:
    drawn = str(curves(cases.budget(), "k", (310, 270), CAPTION))
    held, training = (
        [float(y) for _, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]
        for path in (re.search(rf'd="([^"]*)" class="law {series}"', drawn)[1] for series in ("held-out", "training"))  # type: ignore[index]
    )
    floor = re.search(r'd="M[\d.]+ ([\d.]+)L[^"]*" class="floor-line"', drawn)
    assert floor is not None
    level = float(floor[1])  # pixels grow downwards
    assert all(a < level < b for a, b in zip(held, training, strict=True))
    assert held == sorted(held)
    assert training == sorted(training, reverse=True)
