"""How far the weights moved at each lag, and the local exponent, beside all three laws.

Measured: the mean of ‖θ_{k+t} − θ_k‖² over all origins of the segment, from the sketch. Its error joins that over time
(blocks) with that of the sketch, √(2/d) of the value at worst. The local exponent at a lag is the slope of ln
displacement on ln lag between its neighbours, of the laws too; its error takes those over time as independent, which
they are not: it is wide. The sketch errs alike at both.

z = (measured − law)/error at every lag and for every law, the relative error of the noise joined to those of the
measurement: which lags are tested, and their joint p, see `joint`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limen.arrays.checks import finite_or_none
from limen.records.dynamics import Lag
from limen.records.estimate import Estimate, not_identified
from limen.records.trajectory import Correlation
from limen.verdict.dynamics.problem import Floats, RunProblem

NORMAL = 1.959963984540054
LONGEST = 16
"""Lags up to 1/16 of the stretch have an error: beyond, blocks are shorter than the lag and errors too small."""
ALIKE = 1.25
"""Greatest ratio of a law's two ends at which it says something."""
METHOD = "mean over all origins, sketch of the velocities"
ASSUMPTIONS = ("errors over time come from blocks longer than the lag", "the sketch adds √(2/d) at worst")


def lags(problem: RunProblem) -> tuple[Lag, ...]:
    """Every lag that the correlator of the analysed segment kept; empty where it kept none, or rows do not hold."""
    found = None if problem.changed else _correlation(problem)
    if found is None or not len(found.lag):
        return ()
    at, value = found.lag, np.asarray(found.displacement, dtype=np.float64)
    reach = problem.steps // LONGEST
    over_time = np.where(at <= reach, found.displacement_error, np.nan)
    if problem.diverged:  # blocks of a growing path are no sample of anything
        over_time = np.full(len(at), np.nan)
    error = np.hypot(over_time, problem.trajectory.sketch_error * value)
    predicted, slopes = _told(problem, at)
    z = {name: (value - law) / np.hypot(error, _noise_error(problem) * law) for name, law in predicted.items()}
    return tuple(
        Lag(
            int(at[i]),
            _estimate(value[i], error[i], int(found.origins[i]), METHOD),
            {name: finite_or_none(values[i]) for name, values in predicted.items()},
            _exponent(at, value, over_time, i, int(found.origins[i])),
            {name: finite_or_none(values[i]) for name, values in slopes.items()},
            {name: finite_or_none(values[i]) for name, values in z.items()},
        )
        for i in range(len(at))
    )


def _noise_error(problem: RunProblem) -> float:
    """Relative standard error of the noise that every law is in proportion to: of tr Σ, or of all modes together."""
    if problem.noise_errors is None or problem.variances is None:
        return 0.0
    if not problem.bulk_noise > 0:
        whole = float(problem.variances.sum())
        return float(problem.noise_errors @ problem.variances) / whole if whole > 0 else 0.0
    trace = None if problem.noise is None else problem.noise.trace
    if trace is None or not trace.value or trace.low is None or trace.high is None:
        return 0.0
    return (trace.high - trace.low) / (2 * NORMAL * trace.value)


def ends(problem: RunProblem, at: np.ndarray) -> dict[str, tuple[Floats, Floats]]:
    """By law its displacement at lags [T] with the bulk held as the least tracked mode, and with the bulk flat.

    Both are the same array where the curvature of the bulk is known, or no tracked mode has one above 0.
    """
    flat = {} if problem.whole is None else problem.laws(problem.whole)
    held = {} if problem.curved is None else problem.laws(problem.curved)
    upper = {name: law.displacement(at) for name, law in flat.items()}
    return {name: (held[name].displacement(at) if name in held else values, values) for name, values in upper.items()}


def told(lower: Floats, upper: Floats) -> NDArray[np.bool_]:
    """Lags [T] up to the first at which the two ends are too far apart for the law to say something."""
    apart = np.maximum(lower, upper) > ALIKE * np.minimum(lower, upper)
    return ~np.logical_or.accumulate(apart)


def _told(problem: RunProblem, at: np.ndarray) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """By law displacements and slopes, NaN where the law is not told."""
    values, slopes = {}, {}
    for name, (lower, upper) in ends(problem, at).items():
        known = told(lower, upper)
        values[name] = np.where(known, upper, np.nan)
        slopes[name] = np.where(known, _slopes(at, upper), np.nan)
    return values, slopes


def _correlation(problem: RunProblem) -> Correlation | None:
    """Of the analysed segment; the one with most origins where it has several."""
    first = problem.segment.start
    inside = [c for c in problem.trajectory.correlations if first - 1 <= c.start <= problem.segment.stop]
    return max(inside, key=lambda c: int(c.origins[0]) if len(c.origins) else 0) if inside else None


def _exponent(at: np.ndarray, value: Floats, error: Floats, i: int, origins: int) -> Estimate:
    low, high = _neighbours(at, i)
    if low == high or value[low] <= 0 or value[high] <= 0:
        return not_identified("a slope needs two lags with a displacement above 0")
    width = np.log(at[high] / at[low])
    slope = float(np.log(value[high] / value[low]) / width)
    spread = float(np.hypot(error[low] / value[low], error[high] / value[high]) / width)
    return _estimate(slope, spread, origins, "slope of ln displacement between neighbouring lags")


def _neighbours(at: np.ndarray, i: int) -> tuple[int, int]:
    return max(i - 1, 0), min(i + 1, len(at) - 1)


def _slopes(at: np.ndarray, values: Floats) -> Floats:
    """The law's slope between the same neighbours as the measured one: not its tangent."""
    ends = [_neighbours(at, i) for i in range(len(at))]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.array([np.log(values[b] / values[a]) / np.log(at[b] / at[a]) if a != b else np.nan for a, b in ends])


def _estimate(value: float, error: float, n: int, method: str) -> Estimate:
    if not np.isfinite(error):
        return Estimate(float(value), n=n, method=method, assumptions=("too few origins this far apart for an error",))
    half = NORMAL * float(error)
    return Estimate(float(value), float(value - half), float(value + half), 0.95, "statistical", n, method, ASSUMPTIONS,
                    "docs/recording.md")  # fmt: skip
