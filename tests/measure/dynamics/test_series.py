"""Batch means: coverage on a process with memory, bias of the variance, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from limen.measure.dynamics.series import (
    Batches,
    batch_means,
    batches,
    drift_p,
    of_batches,
    ratio,
    standard_error,
    too_short,
    variance,
)
from limen.records.estimate import Estimate


def mean(x: np.ndarray, cut: Batches) -> Estimate:
    return of_batches(batch_means(x, cut), "", inflation=cut.inflation)


def process(rng: np.random.Generator, steps: int, memory: float) -> np.ndarray:
    """A stationary AR(1) of variance 1."""
    r, x = np.exp(-1 / memory), np.empty(steps)
    noise = rng.normal(size=steps) * np.sqrt(1 - r**2)
    x[0] = rng.normal()
    for k in range(1, steps):
        x[k] = r * x[k - 1] + noise[k]
    return x


def test_intervals_of_mean_and_variance_cover_on_a_process_with_memory() -> None:
    rng, covered, values = np.random.default_rng(0), np.zeros(2), []
    for _ in range(400):
        x = process(rng, 1500, 10.0)
        cut = batches(1500, 50, 10.0)
        assert cut is not None
        found = (mean(x, cut), variance(x, cut, ""))
        values.append(found[1].value)
        for i, truth in enumerate((0.0, 1.0)):
            covered[i] += found[i].low <= truth <= found[i].high
    assert 0.925 < covered[0] / 400 < 0.975  # nominal .95, standard error .011
    assert 0.89 < covered[1] / 400 < 0.96  # skewed: .92 at this length, .94 at four times it
    assert np.mean(values) == pytest.approx(1.0, abs=4 * np.std(values) / 20)


def test_a_series_cut_shorter_than_its_memory_under_covers() -> None:
    """The rule of five relaxation times is what makes the coverage above: a tenth of one loses it."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(200):
        x = process(rng, 1500, 60.0)
        found = mean(x, Batches(37, 40))
        covered += found.low <= 0 <= found.high
    assert covered / 200 < 0.8


def test_drift_is_found_and_constancy_is_not() -> None:
    rng = np.random.default_rng(2)
    cut = Batches(50, 30)
    p = [drift_p(process(rng, 1500, 5.0), cut) for _ in range(200)]
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.1
    assert drift_p(process(rng, 1500, 5.0) + np.linspace(0, 2, 1500), cut) < 1e-4
    assert drift_p(np.ones(1500), cut) == 1.0


def test_ratio_of_means_is_their_ratio_with_the_error_of_the_delta_method() -> None:
    rng = np.random.default_rng(3)
    below = 2 + 0.1 * rng.normal(size=40)
    above = 3 * below + 0.1 * rng.normal(size=40)
    found = ratio(above, below, "")
    assert found.value == pytest.approx(above.sum() / below.sum(), rel=1e-3)
    error = (above - 3 * below).std(ddof=1) / 2 / np.sqrt(40)
    assert standard_error(found) == pytest.approx(error, rel=0.1)


def test_lengths_that_are_too_short_say_what_would_do() -> None:
    assert batches(599, 50) is None
    assert batches(600, 50) == Batches(50, 12)
    # batches of 5 and of 1 relaxation time: ρ = (1 − e⁻⁵)²/(2(4 + e⁻⁵)) = .1231, (1 − e⁻¹)²/(2e⁻¹) = .5431
    assert Batches(50, 8, 10.0).inflation == pytest.approx(np.sqrt(1 + 2 * 0.12312), abs=1e-5)
    assert Batches(10, 8, 10.0).inflation == pytest.approx(np.sqrt(1 + 2 * 0.54308), abs=1e-5)
    assert Batches(10, 8).inflation == 1.0
    assert "600 would do" in too_short(399, 599.5, "variance").reason
    assert too_short(1, 5.0, "variance").reason == "variance: the run has 1 step of one setting; 5 would do"
    assert "never forgets" in too_short(399, np.inf, "variance").reason
    assert batches(10**9, np.inf) is None


def test_the_variance_gets_back_what_its_mean_took() -> None:
    """Batch means 2 and 6, mean 4: (9 + 1 + 1 + 9)/4 + 8/2."""
    found = variance(np.array([1.0, 3.0, 5.0, 7.0]), Batches(2, 2), "")
    assert found.value == pytest.approx(9.0)
    longer = variance(np.array([99.0, 1.0, 3.0, 5.0, 7.0]), Batches(2, 2), "")
    assert longer == found  # the last steps are used
