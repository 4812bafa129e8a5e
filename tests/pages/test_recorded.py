"""What a report says of recorded runs: every run, its verdict, its numbers, and nothing twice under one name."""

from __future__ import annotations

import json
from dataclasses import replace

import dynamics_cases
import page_cases as cases
import pytest
from checked import check_self_contained, says

from limen.pages import recorded as pages
from limen.pages.document import render_json
from limen.pages.dynamics_page import render_page
from limen.pages.markdown import render_markdown
from limen.pages.page import render_html
from limen.records.report import Recorded, Report


def test_a_report_without_recordings_has_no_such_section() -> None:
    assert 'id="dynamics"' not in render_html(cases.study())
    assert "The dynamics of training" not in render_markdown(cases.study())
    assert json.loads(render_json(cases.study()))["recorded"] == []
    assert pages.recorded_view(()) is None


def test_every_run_has_a_row_with_its_verdict_and_its_reason() -> None:
    report = cases.recorded()
    rows = check_self_contained(render_html(report)).table("Recorded runs").rows
    assert [row["encoder"] for row in rows] == [run.encoder for run in report.recorded]
    for run, row in zip(report.recorded, rows, strict=True):
        if run.dynamics is None:
            assert row["verdict"] == "? not known"
            assert row["why"] == run.reason
            continue
        assert row["verdict"] == pages.VERDICTS[run.dynamics.verdict]
        z = [mode.temperature.z for mode in run.dynamics.modes if mode.temperature.z is not None]
        near = sum(abs(at) <= 2 for at in z)
        assert row["temperature"].startswith(f"{near} of {len(z)} mode") if z else row["temperature"] == "–"
        assert ("joint p" in row["temperature"]) == (run.dynamics.temperature_p is not None and bool(z))


def test_the_sentence_counts_the_verdicts() -> None:
    said = pages.said(cases.recorded().recorded)
    assert said == "Of 10 recorded runs 6 are at rest; 1 is not; of 3 it is not known."
    assert pages.said(cases.lone().recorded) == ""


def test_the_pictures_and_numbers_of_a_run_are_those_of_its_own_page() -> None:
    (run,) = cases.lone().recorded
    assert run.dynamics is not None
    page, own = check_self_contained(render_html(cases.lone())), check_self_contained(render_page(run.dynamics))
    for caption in ("Displacement", "Local exponent", "Temperature", "Exact for a quadratic loss", "Turn an update"):
        assert page.table(caption).cells == own.table(caption).cells
    assert len(page.table("Temperature").rows) == len(run.dynamics.modes)
    assert says(
        page.table("Temperature").rows[0]["temperature, loss"], run.dynamics.modes[0].temperature.measured.value
    )
    assert page.tags.count("svg") > own.tags.count("svg")


def test_runs_are_told_apart_by_name_wherever_they_are_named() -> None:
    page = check_self_contained(render_html(cases.recorded()))
    captions = [table.caption for table in page.tables if "Displacement against lag" in table.caption]
    assert len(set(captions)) == len(captions) == 8  # two runs have no displacement
    assert (3, "net-rest") in page.headings


def test_beyond_a_dozen_runs_a_command_stands_for_the_whole() -> None:
    runs = tuple(
        Recorded(f"net-{i}", replace(dynamics_cases.rest(), run=f"study.toml::net-{i}")) for i in range(pages.WHOLE + 3)
    )
    page = render_html(Report("many", (), recorded=runs))
    assert page.count('<details class="whole">') == pages.WHOLE
    for run in runs:
        assert f"limen dynamics study.toml::{run.encoder} " in page
    assert len(page.encode()) < 5_000_000


@pytest.mark.parametrize("name", ["recorded", "lone"])
def test_markdown_and_json_have_every_run(name: str) -> None:
    report = cases.CASES[name]()
    text, plain = render_markdown(report), json.loads(render_json(report))
    assert [run["encoder"] for run in plain["recorded"]] == [run.encoder for run in report.recorded]
    for run, found in zip(report.recorded, plain["recorded"], strict=True):
        if run.dynamics is None:
            assert found["dynamics"] == {"state": "not_identified", "reason": run.reason}
        else:
            assert found["dynamics"] == json.loads(json.dumps(run.dynamics.to_json()))
            assert f"limen dynamics study.toml::{run.encoder}" in text
        assert run.encoder in text
