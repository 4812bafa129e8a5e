"""Closed forms in words and in the picture: no score without its loss, no prediction without what was measured."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import page_cases as cases
from rich.console import Console

from limen.pages import closed_forms
from limen.pages.markdown import render_markdown
from limen.pages.page import render_html
from limen.pages.predicted import predicted, told
from limen.pages.svg import Caption
from limen.pages.table import render_csv
from limen.pages.terminal import render_comparison, render_terminal
from limen.records.estimate import Estimate
from limen.records.report import Report


def drawn(budget) -> str:
    return str(predicted(budget.closed_forms, "key", (310.0, 290.0), Caption("t", "d")))


def printed(width: int, *budgets) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    for budget in budgets:
        render_terminal(budget, console)
    return console.export_text()


def test_scores_stand_beside_the_measured_loss_in_every_form():
    budget = cases.budget()
    loss = "0.267 (0.252 to 0.282) ◆"
    report = Report("banking77", (budget,))
    (row,) = closed_forms.score_rows([budget])
    assert row["loss"] == loss
    assert row["logme"] == "1.090 ○"
    assert row["leep"] == "–"
    assert f"beside the measured loss {loss}: LogME 1.090 ○" in " ".join(printed(200, budget).split())
    for text in (render_html(report), render_markdown(report)):
        section = text[text.index("Scores of the encoder, beside") :]
        assert loss in section
        assert "1.090 ○" in section
        assert "LEEP and NCE: not identified" in text


def test_columns_are_those_that_any_encoder_has():
    budget = cases.budget()
    rows = closed_forms.score_rows([budget])
    assert [name for _, name in closed_forms.score_columns(rows)] == ["logme", "h_score", "h_score_shrunk"]
    forms = budget.closed_forms
    sourced = replace(budget, closed_forms=replace(forms, scores=forms.scores | {"nce": Estimate(-0.4)}))
    rows = closed_forms.score_rows([budget, sourced])
    assert [name for _, name in closed_forms.score_columns(rows)][-1] == "nce"
    assert "LEEP" in closed_forms.missing_scores([sourced])[0]
    assert "NCE" not in closed_forms.missing_scores([sourced])[0]


def test_a_budget_without_scores_says_nothing_of_them():
    other = cases.one_sided()
    assert closed_forms.score_rows([other]) == []
    assert closed_forms.scores_sentence(other) == ""
    assert closed_forms.predicted_rows(other) == []
    assert closed_forms.predicted_sentence(other) == ""
    assert "Ridge" not in printed(100, other)
    assert "Squared loss: predicted" not in render_html(Report("x", (other,)))


def test_predictions_say_on_which_side_of_the_measured_interval_they_lie():
    rows = closed_forms.predicted_rows(cases.budget())
    assert [row["n"] for row in rows] == ["154", "616", "2,464", "7,502"]
    assert rows[0]["measured"] == "0.843 (0.831 to 0.855) ◆"
    assert (rows[0]["spectrum"], rows[0]["gcv"], rows[0]["leave_one_out"]) == ("0.845", "0.823 ↓", "0.893 ↑")
    said = closed_forms.predicted_sentence(cases.budget())
    assert "Of 4 label counts" in said
    assert "of the spectrum at 4, of GCV at 0" in said
    assert "0.518 at 15,004 and 0.507 at 30,008 labels" in said
    assert "floor by formula 0.481 and 0.483" in said


def test_without_a_spectrum_the_reason_stands_there():
    budget = cases.unidentified()
    assert closed_forms.predicted_rows(budget)[0]["spectrum"] == "–"
    assert "more rows than features" in closed_forms.predicted_sentence(budget)
    assert "of the spectrum at" not in closed_forms.predicted_sentence(budget)
    svg = drawn(budget)
    assert "theory" not in svg
    assert "floor-line" not in svg
    assert svg.count("dot ring") == 4


def test_the_picture_holds_every_subset_interval_and_prediction():
    svg = drawn(cases.budget())
    assert svg.count("dot measured") == 3 * 3 + 1
    assert svg.count('class="bars measured"') == 4
    assert svg.count('class="theory"') == 1
    assert svg.count('class="theory beyond"') == 1
    assert svg.count("dot foretold") == 2
    assert "floor by formula 0.481 ○" in svg
    point = cases.budget().closed_forms.curve[0]
    assert told(point, 0.83).endswith("this subset 0.830")
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', svg)]
    assert all(0 < y < 290 for y in heights)


def test_orders_of_encoders_are_shown_with_what_they_rest_on():
    report = cases.study()
    rows = closed_forms.ranking_rows(report.rankings)
    assert rows[0]["tau"] == "+1.00 ○"
    assert rows[1]["tau"] == "not identified ○"
    assert "0 pairs" in closed_forms.rankings_sentence(report.rankings)
    console = Console(width=120, record=True, file=io.StringIO())
    render_comparison(report, console)
    text = console.export_text()
    for said in (text, render_markdown(report), render_html(report)):
        assert "+1.00 ○" in said
        assert "Kendall" in said
    assert closed_forms.rankings_sentence(()) == ""


def test_the_csv_has_scores_and_the_measured_squared_loss_beside_the_loss():
    budget = cases.budget()
    rows = list(csv.DictReader(io.StringIO(render_csv(Report("banking77", (budget,))))))
    by_term = {(row["population"], row["term"]): row for row in rows}
    assert float(by_term["", "score.logme"]["value"]) == 1.09
    assert by_term["", "score.leep"]["state"] == "not_identified"
    assert float(by_term["", "adaptation_loss"]["value"]) == budget.terms["adaptation_loss"].value
    point = budget.closed_forms.curve[0]
    assert float(by_term["ridge regression on 154 labels", "squared_loss"]["low"]) == point.measured.low
