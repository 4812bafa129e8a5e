"""Numbers carry the digits their interval earns, and what is missing is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_cases import est

from limen.pages import wording
from limen.records.estimate import Estimate, not_identified


@pytest.mark.parametrize(("half", "shown"), [(0.5, "1.23"), (0.03, "1.235"), (0.004, "1.2346")])
def test_a_narrower_interval_earns_more_digits(half: float, shown: str) -> None:
    assert wording.value(est(1.23456, half)) == shown


@given(st.floats(-10, 10), st.floats(1e-4, 5))
def test_the_printed_value_lies_inside_its_interval_up_to_rounding(value: float, half: float) -> None:
    estimate = est(value, half)
    shown = float(wording.value(estimate).replace("−", "-"))
    assert abs(shown - value) <= 0.06 * half + 1e-6


def test_errors_are_percent_and_losses_are_not() -> None:
    assert wording.full(est(0.072, 0.012), "error") == "7.2 % (6.0 to 8.4 %)"
    assert wording.full(est(0.072, 0.012), "adaptation_loss") == "0.072 (0.060 to 0.084)"


def test_sign_is_typographic_and_zero_has_none() -> None:
    assert wording.decimal(-0.0004, 2, signed=True) == "0.00"
    assert wording.full(est(-0.031, 0.024), signed=True) == "−0.031 (−0.055 to −0.007)"


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (not_identified("r", high=1.0, confidence=0.9), "upper side only"),
        (not_identified("r", low=1.0, confidence=0.9), "lower side only"),
        (not_identified("r", low=0.5, high=1.0, confidence=0.9), "interval only"),
        (not_identified("r"), "not identified"),
        (Estimate(None, state="diverged", reason="r"), "diverged"),
    ],
)
def test_what_is_missing_is_said(estimate: Estimate, said: str) -> None:
    assert wording.missing(estimate) == said


def test_names_stay_on_one_line() -> None:
    assert wording.flat("a\n b\t c") == "a b c"


def test_differences_of_errors_are_points_and_confidences_have_four_digits() -> None:
    difference = Estimate(-0.34, -0.4, -0.28, 0.95, "statistical")
    assert wording.full(difference, "error_difference") == "−34.0 points (−40.0 to −28.0 points)"
    assert wording.confidence(Estimate(0.2, 0.1, 0.3, 1 - 0.1 / 3, "statistical")) == "96.67 %"
