"""A budget in 80 columns: every reason once, every number readable, names from files never read as markup."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import numpy as np
import page_cases as cases
import pytest
from rich.console import Console

from limen.pages import summary, wording
from limen.pages.terminal import render_comparison, render_terminal
from limen.records.budget import Advice, Budget
from limen.records.estimate import not_identified
from limen.verbs.budget import budget

REASON = "1,067 rows for 2,695 parameters lie outside the validated range; 1,348 rows or a smaller radius would do"


@pytest.fixture(scope="module")
def measured() -> Budget:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    return budget(rng.normal(size=(400, 4)) + np.eye(3, 4)[y], y, labels=[64, 128, 256], seeds=2, target="loss=0.5")


def shown(found: Budget, width: int = 80) -> str:
    stream = StringIO()
    render_terminal(found, Console(file=stream, width=width))
    return stream.getvalue()


def unknown(found: Budget, bracket: bool = True) -> Budget:
    assert found.sides is not None
    ends = {"low": 0.1, "high": 0.9, "confidence": 0.95} if bracket else {}
    lost = {name: not_identified(REASON, **ends) for name in ("minimal_adaptation_loss", "optimism", "estimation_gap")}
    midpoint = not_identified(REASON)
    return replace(found, terms={**found.terms, **lost}, sides=replace(found.sides, midpoint=midpoint), advice=())


def test_eighty_columns_suffice(measured: Budget) -> None:
    for found in (measured, unknown(measured), unknown(measured, bracket=False)):
        assert max(len(line) for line in shown(found).splitlines()) <= 80


def test_forty_columns_suffice(measured: Budget) -> None:
    wide = " ".join(shown(measured).split())
    for found in (measured, unknown(measured), unknown(measured, bracket=False)):
        lines = shown(found, 40).splitlines()
        assert max(len(line) for line in lines) <= 40
        assert "…" not in "".join(lines).replace("budget(…", ""), "nothing is cut"
        assert sum(len(line.strip()) == 1 for line in lines) == 0, "no column is one character wide"
    narrow = " ".join(shown(measured, 40).split())
    for term in ("adaptation_loss", "estimation_gap", "error"):
        (row,) = (row for row in summary.term_rows(measured) if row["name"] == wording.words(term))
        assert f"{row['value']} {row['interval']} {row['grade']}" in narrow
        assert f"{row['value']} {row['interval']} {row['grade']}" in wide


def test_a_comparison_fits_forty_columns() -> None:
    stream = StringIO()
    render_comparison(cases.study(), Console(file=stream, width=40))
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert max(len(line) for line in lines) <= 40
    assert "  floor 0.171 ◆ 0.150 to 0.192" in lines


def test_a_reason_is_said_once_and_referred_to(measured: Budget) -> None:
    text = " ".join(shown(unknown(measured)).split())
    assert text.count(REASON) == 1
    mark = text[text.index(REASON) - 2]
    assert mark in "¹²³⁴⁵⁶⁷⁸⁹"
    assert text.count(f"{mark} ") >= 5  # three terms, the midpoint, the note


def test_a_reason_that_the_advice_gives_is_not_repeated(measured: Budget) -> None:
    advice = Advice(
        "not-identified", f"The floor is not identified. {REASON}.", ("terms.minimal_adaptation_loss",), "point"
    )
    text = " ".join(shown(replace(unknown(measured), advice=(advice,))).split())
    assert text.count(REASON) == 1
    assert " see above" in text


def test_a_reason_that_the_first_sentence_gives_is_not_repeated(measured: Budget) -> None:
    text = " ".join(shown(unknown(measured, bracket=False)).split())
    assert text.count(REASON) == 1
    assert " see above" in text


def test_names_from_files_are_never_markup(measured: Budget) -> None:
    assert "[red]x[/red] · [link=http://x]y" in shown(
        replace(measured, task="[red]x[/red]", encoder="[link=http://x]y")
    )


def test_radii_have_three_digits(measured: Budget) -> None:
    point = replace(measured.floor_path[0], radius=5.656854249, low=0.1, high=0.2)
    assert "radius 5.66 " in shown(replace(measured, floor_path=(point,)))


def test_threads_and_library_of_the_fits_are_said(measured: Budget) -> None:
    said = f"computed with 1 BLAS thread per fit, {measured.environment['blas']}"
    assert said in " ".join(shown(measured).split())
    many = replace(measured, environment={"threads": 4, "blas": "mkl 2025"})
    assert "computed with 4 BLAS threads per fit, mkl 2025" in " ".join(shown(many).split())
    assert "computed with" not in shown(replace(measured, environment={}))
