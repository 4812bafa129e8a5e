"""A verdict in a terminal: the same counts as on the page, and what is left out is said."""

from __future__ import annotations

import io
from dataclasses import replace

import dynamics_cases as cases
import pytest
from rich.console import Console

from limen.pages.dynamics_captions import near
from limen.pages.dynamics_terminal import MOST_MODES, render_dynamics
from limen.records.dynamics import Dynamics


def printed(found: Dynamics) -> str:
    out = io.StringIO()
    render_dynamics(found, Console(file=out, width=160))
    return out.getvalue()


@pytest.mark.parametrize("name", list(cases.CASES))
def test_every_case_says_its_verdict_and_how_many_modes_lie_near_the_law(name: str) -> None:
    found = cases.CASES[name]()
    text = printed(found)
    assert {"stationary": "stationary —", "drifting": "not stationary —", "not_identified": "not identified —"}[
        found.verdict
    ] in text
    assert near(found) in text
    assert "1 modes" not in text


def test_near_counts_two_standard_errors_and_names_the_joint_p() -> None:
    assert near(cases.rest()) == "8 of 8 modes within 2 standard errors of the law (joint p = 0.62)"
    assert near(cases.moving()) == "0 of 2 modes within 2 standard errors of the law (joint p < 0.001)"
    assert near(cases.single()) == "1 of 1 mode within 2 standard errors of the law (joint p = 0.97)"
    assert near(cases.short()) == near(cases.unpredicted()) == ""


def test_modes_beyond_the_table_are_counted() -> None:
    found = replace(cases.rest(), modes=tuple(cases.mode(1.0 + i) for i in range(MOST_MODES + 1)))
    assert "… and 1 more mode; --json has all" in printed(found)
    assert "more mode" not in printed(cases.rest())
