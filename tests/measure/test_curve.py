"""The law of a fit cell: of losses with both sides, of errors with the held-out side and its own deletions only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.arrays.random import stream
from limen.measure.curve import curve_points, extrapolation
from limen.measure.learning_curve import CurveData, extrapolate
from limen.records.stage import StageRecord
from limen.records.task import Question

N = np.array([100, 200, 400, 800, 1600, 3200])
ROWS, GROUPS = 4000, 20
ERROR, LOSS = 0.1 + 3.0 * N**-0.7, 0.5 + 8.0 * N**-0.8


def record() -> StageRecord:
    """Six label counts of one seed: losses and errors each of their own law, and both without each row group."""
    draw = stream("test", "curve of a cell")
    wrong = draw.random(ROWS) < ERROR[:, None]
    noise = 1 + 2e-3 * draw.normal(size=(3, GROUPS, 1)) + 4e-4 * draw.normal(size=(3, GROUPS, N.size))
    return StageRecord(
        "fit",
        3,
        {
            "curve": [
                {"n": int(n), "seed": 0, "train_loss": float(1.0 - loss)} for n, loss in zip(N, LOSS, strict=True)
            ],
            "radius": 1.0,
            "dimension": 4,
        },
        {
            "curve_holdout_loss": LOSS[:, None] + 0.1 * draw.normal(size=(N.size, ROWS)) * 0.1,
            "curve_holdout_prediction": wrong.astype(np.int32),
            "holdout_labels": np.zeros(ROWS, dtype=np.int64),
            "jackknife_n": np.tile(0.95 * N, (GROUPS, 1)),
            "jackknife_train": (1.0 - LOSS) * noise[0],
            "jackknife_holdout": LOSS * noise[1],
            "jackknife_error": wrong.mean(axis=1) * noise[2],
        },
    )


def with_arrays(**arrays: np.ndarray) -> StageRecord:
    base = record()
    return replace(base, arrays={**base.arrays, **arrays})


def test_an_error_target_reads_the_law_of_the_error() -> None:
    fit = record()
    found = extrapolation(fit, Question(target_error=0.11))
    assert (found.law["error"], found.law["two_sided"], found.law["curvature"]) == (1.0, 0.0, 0.0)
    direct = extrapolate(
        CurveData(
            N,
            fit.arrays["curve_holdout_prediction"].astype(float),
            deleted_test=fit.arrays["jackknife_error"],
            deleted_n=fit.arrays["jackknife_n"],
            dimension=4,
        ),
        Question(target_loss=0.11),
    )
    assert (found.asymptote, found.exponent, found.labels_needed) == (
        direct.asymptote, direct.exponent, direct.labels_needed,
    )  # fmt: skip
    assert found.asymptote.grade == found.labels_needed.grade == "extrapolated"
    assert found.asymptote.low is None
    assert found.asymptote.value == pytest.approx(0.1, abs=0.03)


def test_labels_for_an_error_target_are_read_off_the_law_of_the_error_or_say_why_not() -> None:
    """The count at which the fitted law of the error passes 0.13; below its asymptote there is none."""
    found = extrapolation(record(), Question(target_error=0.13))
    law, needed = found.law, found.labels_needed
    assert needed.grade == "extrapolated"
    passes = ((0.13 - law["asymptote"]) / law["amplitude"]) ** (-1 / law["exponent"])
    assert needed.value == pytest.approx(passes, abs=1)
    lost = extrapolation(record(), Question(target_error=0.05)).labels_needed
    assert lost.value is None
    assert "below the asymptote" in lost.reason
    assert lost.reason.endswith("The law of the error has the held-out side only")
    of_loss = extrapolate(CurveData(N, np.tile(LOSS[:, None], (1, 50)), train=1.0 - LOSS), Question(target_error=0.11))
    assert "labels for an error target are read off the law of the error" in of_loss.labels_needed.reason


def test_a_loss_target_reads_the_two_sided_law_of_the_loss() -> None:
    found = extrapolation(record(), Question(target_loss=0.51))
    assert found.law["two_sided"] == 1.0
    assert "error" not in found.law
    assert found.asymptote.value == pytest.approx(0.5, abs=0.01)
    assert found.asymptote.low is not None


@pytest.mark.parametrize(
    ("array", "question", "other"),
    [
        ("jackknife_error", Question(target_error=0.11), Question(target_loss=0.51)),
        ("jackknife_holdout", Question(target_loss=0.51), Question(target_error=0.11)),
        ("jackknife_train", Question(target_loss=0.51), Question(target_error=0.11)),
    ],
)
def test_each_law_has_the_deletions_of_its_own_numbers(array: str, question: Question, other: Question) -> None:
    base = record()
    middle = base.arrays[array].mean(axis=0)
    changed = with_arrays(**{array: middle + 0.5 * (base.arrays[array] - middle)})
    assert extrapolation(changed, question).asymptote != extrapolation(base, question).asymptote
    assert extrapolation(changed, other) == extrapolation(base, other)


def test_without_deletions_both_laws_are_points() -> None:
    base = record()
    bare = replace(base, arrays={k: v for k, v in base.arrays.items() if not k.startswith("jackknife")})
    for question in (Question(target_loss=0.51), Question(target_error=0.11)):
        found = extrapolation(bare, question)
        assert found.asymptote.grade == found.labels_needed.grade == "point"
        assert found.law["two_sided"] == 0.0


def test_points_are_means_over_the_holdout() -> None:
    fit = record()
    for at, point in enumerate(curve_points(fit)):
        assert point.error == pytest.approx(fit.arrays["curve_holdout_prediction"][at].mean())
        assert point.adaptation_loss == pytest.approx(fit.arrays["curve_holdout_loss"][at].mean())


@pytest.mark.parametrize(("spread", "identified"), [(1, True), (30, False), (300, False)])
def test_labels_are_not_promised_by_a_law_that_is_not_identified(spread: int, identified: bool) -> None:
    """The fitted curve is the same and meets the target; only its deletions differ."""
    base = record()
    middle = {name: base.arrays[name].mean(axis=0) for name in ("jackknife_holdout", "jackknife_train")}
    found = extrapolation(
        with_arrays(**{name: mean + spread * (base.arrays[name] - mean) for name, mean in middle.items()}),
        Question(target_loss=0.51),
    )
    needed = found.labels_needed
    assert (found.asymptote.value is not None and found.exponent.value is not None) == identified
    assert (needed.grade == "extrapolated") == identified
    assert ("exponent" in found.law) == identified
    if not identified:
        assert (needed.value, needed.low, needed.high) == (None, None, None)
        assert needed.reason


def test_an_asymptote_of_zero_in_every_deletion_has_no_interval() -> None:
    """A loss that falls as a power of n without end: zero is the edge of the range, not a measurement without error."""
    wobble = 1 + 1e-3 * stream("test-zero").normal(size=(GROUPS, 1))
    test = 20.0 * N**-0.5 * wobble - 0.02
    full = test.mean(axis=0)
    curve = CurveData(N, np.tile(full[:, None], (1, 40)), train=None, deleted_test=test)
    found = extrapolate(curve, Question(target_loss=0.3))
    assert found.asymptote.value is None
    assert (found.asymptote.low, found.asymptote.high) == (None, None)
    assert "edge of its range" in found.asymptote.reason
    assert found.labels_needed.value is None
    assert not found.law
