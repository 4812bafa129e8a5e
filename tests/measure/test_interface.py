"""Tau and slope along checkpoints: exact cases, coverage under errors in both variables, refusals, runs as units."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from limen.arrays.random import stream
from limen.measure.interface import (
    Measured,
    RunLosses,
    across_runs,
    floor_slope,
    interface,
    interface_table,
    kendall_tau,
    standard_error,
    with_task,
)
from limen.measure.pretraining import pretraining_loss
from limen.records.errors import BadInput
from limen.records.estimate import Estimate, not_identified
from limen.records.report import Checkpoint

LOSSES = np.array([4.83, 4.53, 4.21, 4.03, 3.85, 3.68, 3.55, 3.46])
FLOORS = np.array([1.5, 1.2, 0.9, 0.7, 0.5, 0.35, 0.25, 0.2])
ROUGH = FLOORS + np.array([0, 0.2, -0.2, 0.2, -0.2, 0.2, -0.2, 0.1])
RUN = RunLosses("scratch#0", "nt-xent", "NT-Xent, batch 64")


def estimate(value, half=0.02):
    return Estimate(value, value - half, value + half, confidence=0.95, grade="statistical")


def checkpoints(losses=LOSSES, floors=FLOORS, task="digits"):
    return tuple(
        Checkpoint(f"scratch#0@{i}", i, estimate(x), estimate(x), estimate(0.0), floors={task: estimate(y)})
        for i, (x, y) in enumerate(zip(losses, floors, strict=True))
    )


def exact(x, y):
    return Measured(np.array(x), np.array(y), np.zeros((len(x), len(x))), np.zeros((len(x), len(x))))


def test_without_error_both_are_the_textbook_statistics():
    tau, slope = kendall_tau(exact(LOSSES, ROUGH)), floor_slope(exact(LOSSES, ROUGH))
    expected = kendalltau(LOSSES, ROUGH).statistic
    assert (tau.value, tau.low, tau.high) == pytest.approx((expected, expected, expected))
    line = np.polyfit(LOSSES, ROUGH, 1)[0]
    assert (slope.value, slope.low, slope.high) == pytest.approx((line, line, line))


def test_reversing_the_floors_reverses_both():
    noisy = Measured(LOSSES, ROUGH, 0.01**2 * np.eye(8), 0.02**2 * np.eye(8))
    turned = replace(noisy, y=-ROUGH)
    for statistic in (kendall_tau, floor_slope):
        a, b = statistic(noisy), statistic(turned)
        assert (b.value, b.low, b.high) == pytest.approx((-a.value, -a.high, -a.low))


def test_the_slope_has_the_units_of_its_axes_and_tau_has_none():
    noisy = Measured(LOSSES, ROUGH, 0.01**2 * np.eye(8), 0.02**2 * np.eye(8))
    scaled = Measured(3 * LOSSES + 1, 5 * ROUGH - 2, 9 * noisy.x_covariance, 25 * noisy.y_covariance)
    a, b = floor_slope(noisy), floor_slope(scaled)
    assert (b.value, b.low, b.high) == pytest.approx(tuple(5 / 3 * v for v in (a.value, a.low, a.high)))
    assert kendall_tau(scaled) == kendall_tau(noisy)


def test_more_error_means_a_wider_interval():
    def widths(error):
        points = Measured(LOSSES, ROUGH, error**2 * np.eye(8), error**2 * np.eye(8))
        return np.array([e.high - e.low for e in (kendall_tau(points), floor_slope(points))])

    assert (widths(0.02) < widths(0.1)).all()


def test_paired_batches_tell_checkpoints_apart_that_their_own_intervals_do_not():
    shared = 0.1**2 * (0.99 * np.ones((8, 8)) + 0.01 * np.eye(8))
    alone = Measured(LOSSES, FLOORS, 0.1**2 * np.eye(8), 0.001**2 * np.eye(8))
    paired = replace(alone, x_covariance=shared)
    assert kendall_tau(paired).low == 1.0
    assert kendall_tau(alone).low < 0.9


CASES = {
    "small errors": (LOSSES, FLOORS, 0.02, 0.03, None),
    "points off a line": (LOSSES, ROUGH, 0.1, 0.1, None),
    "few batches": (LOSSES, ROUGH, 0.05, 0.05, 10),
    "curved": (np.linspace(0, 1, 6) ** 2, np.linspace(0, 1, 6) ** 0.5, 0.05, 0.05, None),
    "no relation": (np.linspace(0, 1, 5), np.array([0.1, 0, 0.2, 0, 0.1]), 0.05, 0.1, None),
}


@pytest.mark.parametrize("case", CASES)
def test_coverage_of_the_slope(case):
    points = _measured(*CASES[case], 2000)
    truth = np.polyfit(CASES[case][0], CASES[case][1], 1)[0]
    found = [floor_slope(p) for p in points]
    assert all(e.value is not None for e in found)
    inside = np.mean([e.low <= truth <= e.high for e in found])
    assert 0.93 <= inside <= (0.97 if case != "few batches" else 0.985)  # t for the covariance's few batches: cautious
    errors = np.array([e.value for e in found]) - truth
    assert abs(errors.mean()) < 0.25 * errors.std()


def test_uncorrected_least_squares_would_be_attenuated():
    x, y = np.linspace(0, 1, 8), np.linspace(0, 1, 8)
    points = _measured(x, y, 0.15, 0.02, None, 500)
    plain = np.mean([np.polyfit(p.x, p.y, 1)[0] for p in points])
    corrected = np.median([e.value for e in map(floor_slope, points) if e.value is not None])
    assert plain < 0.9
    assert corrected == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("case", ["points off a line", "few batches", "no relation"])
def test_coverage_of_tau_is_at_least_nominal(case):
    truth = kendalltau(*CASES[case][:2]).statistic
    found = [kendall_tau(p) for p in _measured(*CASES[case], 400)]
    assert np.mean([e.low - 1e-12 <= truth <= e.high + 1e-12 for e in found]) >= 0.93
    if case != "no relation":  # floors closer than their errors leave most pairs open
        assert np.median([e.high - e.low for e in found]) < 1.5


def test_tau_is_settled_where_errors_are_small():
    found = kendall_tau(Measured(LOSSES, FLOORS, 0.005**2 * np.eye(8), 0.005**2 * np.eye(8)))
    assert (found.low, found.high) == (1.0, 1.0)


def test_losses_that_cannot_be_told_apart_give_no_slope():
    found = floor_slope(Measured(LOSSES[:4], FLOORS[:4], np.eye(4), 0.01 * np.eye(4)))
    assert found.state == "not_identified"
    assert "told apart" in found.reason


def test_the_interface_of_a_run():
    found = interface(RUN, checkpoints())
    assert (found.run, found.loss_name) == (RUN.run, RUN.loss_name)
    tau, slope = found.kendall_tau["digits"], found.slope["digits"]
    assert tau.value == pytest.approx(1.0)
    assert slope.low < slope.value < slope.high
    assert {tau.grade, slope.grade} == {"point"}
    assert any("beyond this run" in a for a in slope.assumptions)


def test_held_out_images_that_are_rows_of_the_task_are_named():
    apart, shared = interface(RUN, checkpoints()), interface(replace(RUN, shared_tasks=("digits",)), checkpoints())
    for name in ("kendall_tau", "slope"):
        a, b = getattr(apart, name)["digits"], getattr(shared, name)["digits"]
        assert "no held-out pretraining image is a row of the task" in a.assumptions[-1]
        assert "although the held-out pretraining images are rows of the task" in b.assumptions[-1]
        assert (a.value, a.low, a.high) == (b.value, b.low, b.high)


def test_batches_of_the_run_replace_the_widths_of_its_estimates():
    common = stream("common batches").standard_normal((1, 12)) * 0.5
    batches = LOSSES[:, None] + common + 0.01 * stream("own batches").standard_normal((8, 12))
    rows = checkpoints(batches.mean(axis=1))
    rows = tuple(replace(c, pretraining_loss=pretraining_loss(b)) for c, b in zip(rows, batches, strict=True))
    alone, paired = interface(RUN, rows), interface(replace(RUN, heldout_batches=batches), rows)
    width = [f.kendall_tau["digits"].high - f.kendall_tau["digits"].low for f in (alone, paired)]
    assert width[1] < width[0]


def test_fewer_than_three_usable_checkpoints_identify_nothing():
    rows = list(checkpoints()[:4])
    for i in (0, 1):
        rows[i] = replace(rows[i], floors={"digits": not_identified("midpoint drifts")})
    found = interface(RUN, rows)
    for estimate_ in (found.kendall_tau["digits"], found.slope["digits"]):
        assert estimate_.state == "not_identified"
        assert "at least 3" in estimate_.reason
        assert estimate_.n == 2


def test_a_task_measured_at_some_checkpoints_uses_those():
    rows = list(checkpoints())
    rows[3] = replace(rows[3], floors={})
    assert interface(RUN, rows).slope["digits"].n == 7


def test_batch_losses_of_other_checkpoints_are_refused():
    with pytest.raises(BadInput, match="8 checkpoints, got 3"):
        interface(replace(RUN, heldout_batches=np.zeros((3, 5))), checkpoints())


def test_the_table_has_a_row_for_every_checkpoint_and_task_and_is_json():
    rows = [with_task(c, "parity", estimate(0.1), estimate(0.2), estimate(0.05)) for c in checkpoints()]
    table = interface_table(interface(RUN, rows))
    assert len(table) == 16
    first = table[0]
    assert (first["step"], first["task"]) == (0, "digits")
    assert Estimate.from_json(first["minimal_adaptation_loss"]) == rows[0].floors["digits"]
    assert Estimate.from_json(table[1]["error"]) == rows[0].errors["parity"]
    assert json.loads(json.dumps(table, allow_nan=False))[0]["encoder"] == "scratch#0@0"
    bare = replace(checkpoints()[0], floors={})
    assert interface_table(interface(RUN, [bare]))[0]["task"] is None


def test_across_runs_the_run_is_the_unit():
    runs = [interface(replace(RUN, run=f"s#{i}"), checkpoints(floors=FLOORS * (1 + 0.1 * i))) for i in range(6)]
    found = across_runs(runs, "digits", "slope")
    slopes = [run.slope["digits"].value for run in runs]
    assert found.value == pytest.approx(np.mean(slopes))
    assert (found.n, found.grade) == (6, "statistical")
    assert found.high - found.low > max(s.high - s.low for s in (run.slope["digits"] for run in runs))
    few = across_runs(runs[:4], "digits", "slope")
    assert few.state == "not_identified"
    assert "5 independent runs" in few.reason


def test_runs_of_different_losses_are_not_pooled():
    runs = [interface(replace(RUN, loss_name=name), checkpoints()) for name in ("batch 32", "batch 64")]
    with pytest.raises(BadInput, match="batch 32; batch 64"):
        across_runs(runs, "digits", "slope")


def test_the_standard_error_of_a_t_interval_is_recovered():
    values = stream("t").standard_normal(7)
    assert standard_error(pretraining_loss(values)) == pytest.approx(values.std(ddof=1) / 7**0.5)


def _measured(x, y, x_error, y_error, batches, count):
    """`count` noisy measurements of the true points; with `batches`, the covariance of x is estimated from them."""
    rng, k = stream("interface coverage", len(x), x_error, batches), len(x)
    found = []
    for _ in range(count):
        noisy = y + y_error * rng.standard_normal(k)
        if batches is None:
            found.append(Measured(x + x_error * rng.standard_normal(k), noisy, x_error**2 * np.eye(k),
                                  y_error**2 * np.eye(k)))  # fmt: skip
        else:
            losses = x[:, None] + x_error * batches**0.5 * rng.standard_normal((k, batches))
            covariance = np.cov(losses) / batches
            found.append(Measured(losses.mean(axis=1), noisy, covariance, y_error**2 * np.eye(k), batches - 1))
    return found
