"""Extrapolation end to end: closed worlds, coverage in the law's world, each reason, invariances, the back-test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from limen.arrays.random import stream
from limen.measure.curve_backtest import GROUPS, backtest
from limen.measure.curve_law import Law, fit_law, labels_needed, predict
from limen.measure.learning_curve import CurveData, LawEstimates, extrapolate, jackknife_law
from limen.records.budget import Extrapolation
from limen.records.errors import BadInput
from limen.records.estimate import Estimate
from limen.records.task import Question

N = np.array([100, 200, 400, 800, 1600, 3200])
TRUTH = Law(0.5, 8.0, 0.0, 0.8, True, 0.0)
ASK = Question(target_loss=0.52)


def train_side(n: np.ndarray, law: Law = TRUTH) -> np.ndarray:
    return np.asarray(2 * law.asymptote - predict(law, n))


def world(seed: str | int, sd: float = 0.5, stored: int = 2000, one_sided: bool = False) -> CurveData:
    """Points of the law with the noise of `GROUPS` row groups: training noise ~ n^-1/2, that of 2,000 held-out rows."""
    rng = stream("test", "law world", seed, sd)
    g, k = GROUPS, N.size
    train = train_side(N) + sd * np.sqrt(g / N) * rng.normal(size=(g, k))
    shared = sd * np.sqrt(g / 2000) * rng.normal(size=(g, 1))
    test = predict(TRUTH, N) + shared + 0.3 * sd * np.sqrt(g / N) * rng.normal(size=(g, k))
    spread = 0.1 * rng.normal(size=(k, stored))
    holdout = test.mean(axis=0)[:, None] + spread - spread.mean(axis=1, keepdims=True)

    def without(groups: np.ndarray) -> np.ndarray:
        return np.asarray((groups.sum(axis=0) - groups) / (g - 1))

    return CurveData(
        n=N,
        holdout=holdout,
        train=None if one_sided else train.mean(axis=0),
        deleted_test=without(test),
        deleted_train=None if one_sided else without(train),
    )


def inside(estimate: Estimate, truth: float) -> bool:
    if estimate.value is None and estimate.low is None:
        return False
    low = -np.inf if estimate.low is None else estimate.low
    high = np.inf if estimate.high is None else estimate.high
    return bool(low <= truth <= high)


def coverage(repetitions: int) -> tuple[float, float, float]:
    needed = labels_needed(TRUTH, 0.52)
    assert isinstance(needed, int)
    runs: list[LawEstimates] = [jackknife_law(world(i, stored=2), ASK) for i in range(repetitions)]
    hits = [(inside(r.asymptote, 0.5), inside(r.exponent, 0.8), inside(r.labels_needed, needed)) for r in runs]
    asymptote, exponent, labels = np.mean(hits, axis=0)
    return float(asymptote), float(exponent), float(labels)


def test_coverage_in_the_world_of_the_law() -> None:
    """A quick look at what `test_coverage_in_full` holds to 93–97 %; an interval left out counts as a miss."""
    n = 150
    for share in coverage(n):
        assert binom.ppf(0.001, n, 0.93) <= n * share <= binom.ppf(0.999, n, 0.97)


@pytest.mark.slow
def test_coverage_in_full() -> None:
    for share in coverage(2500):
        assert 0.93 <= share <= 0.97


def test_noiseless_points_give_the_truth_with_intervals_of_no_width() -> None:
    deleted_n = np.outer(np.linspace(0.91, 0.99, GROUPS), N)
    data = CurveData(
        n=N,
        holdout=np.tile(predict(TRUTH, N)[:, None], (1, 50)),
        train=train_side(N),
        deleted_test=predict(TRUTH, deleted_n),
        deleted_train=train_side(deleted_n),
        deleted_n=deleted_n,
    )
    result = extrapolate(data, ASK)
    assert (result.asymptote.value, result.exponent.value) == pytest.approx((0.5, 0.8), abs=1e-6)
    assert (result.asymptote.low, result.asymptote.high) == pytest.approx((0.5, 0.5), abs=1e-6)
    assert result.labels_needed.value == labels_needed(TRUTH, 0.52)
    assert result.asymptote.grade == "extrapolated"
    assert result.law["amplitude"] == pytest.approx(8.0, rel=1e-5)
    needed, blurred = result.labels_needed, extrapolate(replace(data, deleted_n=None), ASK).labels_needed
    assert needed.high / needed.low < 1.03  # type: ignore[operator]
    assert blurred.high / blurred.low > 1.2  # type: ignore[operator]


def test_intervals_widen_with_noise_and_confidence() -> None:
    def width(sd: float, confidence: float) -> float:
        e = jackknife_law(world(0, sd), Question(confidence=confidence)).asymptote
        assert e.low is not None
        assert e.high is not None
        return e.high - e.low

    assert width(0.1, 0.95) < width(0.4, 0.95) < width(0.4, 0.99)


def test_points_in_any_order_give_the_same_answer() -> None:
    data = world("order")
    order = stream("test", "order").permutation(N.size)
    assert data.deleted_test is not None
    assert data.deleted_train is not None
    assert data.train is not None
    shuffled = replace(
        data,
        n=data.n[order],
        holdout=data.holdout[order],
        train=data.train[order],
        deleted_test=data.deleted_test[::-1][:, order],
        deleted_train=data.deleted_train[::-1][:, order],
    )
    one, other = extrapolate(data, ASK), extrapolate(shuffled, ASK)
    assert one.law == other.law
    assert one.backtest == other.backtest
    assert (one.asymptote.low, one.exponent.high) == pytest.approx((other.asymptote.low, other.exponent.high), rel=1e-9)


def test_the_backtest_takes_points_in_any_order() -> None:
    data = step_world("order")
    order = np.array([5, 0, 3, 1, 4, 2])
    assert data.train is not None
    shuffled = replace(data, n=N[order], holdout=data.holdout[order], train=data.train[order])
    assert backtest(shuffled) == backtest(data)


def test_the_fit_is_weighted_by_n() -> None:
    data = world("weights")
    law = fit_law(N, data.train, data.test, N)
    assert isinstance(law, Law)
    assert jackknife_law(data, ASK).law == law
    assert fit_law(N, data.train, data.test) != law


def test_a_rise_in_a_few_clusters_is_not_a_rise_of_the_population() -> None:
    data = world("clustered rise")
    groups = np.repeat(np.arange(20), 100)
    holdout = data.holdout.copy()
    holdout[4] = holdout[3]
    holdout[4, :200] += 3.0
    assert data.train is not None
    by_row = CurveData(n=N, holdout=holdout, train=data.train)
    assert "peaks at n = 1600" in extrapolate(by_row, ASK).asymptote.reason
    assert "peaks" not in extrapolate(replace(by_row, groups=groups), ASK).asymptote.reason


def test_a_result_survives_the_budget_document() -> None:
    result = extrapolate(world("json"), ASK)
    for estimate in (result.asymptote, result.exponent, result.labels_needed):
        assert Estimate.from_json(estimate.to_json()) == estimate
    assert set(result.law) == {"asymptote", "amplitude", "curvature", "exponent", "two_sided"}


def test_without_refits_the_numbers_are_points_and_say_why() -> None:
    data = replace(world("points"), deleted_test=None, deleted_train=None)
    result = extrapolate(data, ASK)
    for estimate in (result.asymptote, result.exponent, result.labels_needed):
        assert (estimate.grade, estimate.low, estimate.high) == ("point", None, None)
        assert any("no interval" in said for said in estimate.assumptions)


def test_without_a_train_side_the_lower_end_is_missing_and_flagged() -> None:
    result = extrapolate(world("one-sided", sd=0.1, one_sided=True), ASK)
    assert result.asymptote.low is None
    assert result.asymptote.high is not None
    assert any("upper side only" in said for said in result.asymptote.assumptions)
    assert result.law["curvature"] == result.law["two_sided"] == 0.0


def test_a_target_below_or_inside_the_asymptote_is_not_promised() -> None:
    below = jackknife_law(world("target"), Question(target_loss=0.3)).labels_needed
    assert (below.value, below.state) == (None, "not_identified")
    assert "below the asymptote" in below.reason
    assert below.low is None
    inside_interval = jackknife_law(world("target"), Question(target_loss=0.505)).labels_needed
    assert inside_interval.high is None
    assert inside_interval.low is not None
    assert inside_interval.value is not None
    assert inside_interval.low < inside_interval.value
    none = jackknife_law(world("target"), Question()).labels_needed
    assert none.reason == "no target was given"


def reasons(result: Extrapolation) -> set[str]:
    return {e.reason for e in (result.asymptote, result.exponent, result.labels_needed)}


def test_a_peak_is_named_and_nothing_is_fitted() -> None:
    holdout = world("peak").holdout.copy()
    holdout[2] += 2.0
    result = extrapolate(replace(world("peak"), holdout=holdout, dimension=500), ASK)
    assert len(reasons(result)) == 1
    assert "peaks at n = 400 (up by" in result.asymptote.reason
    assert "near the number of features" in result.asymptote.reason
    assert result.backtest["state"] == "not_identified"
    assert result.law == {}


def test_a_rise_that_the_seeds_do_not_confirm_is_noise_of_the_subsets() -> None:
    data = world("seeds")
    holdout = data.holdout.copy()
    holdout[4] = holdout[3] + 0.05
    seeds = stream("test", "seeds").normal(size=(5, N.size)) * 0.2 + holdout.mean(axis=1)
    assert (
        "rises" in extrapolate(replace(data, holdout=holdout), ASK).asymptote.reason
        or "peaks" in extrapolate(replace(data, holdout=holdout), ASK).asymptote.reason
    )
    believed = extrapolate(replace(data, holdout=holdout, by_seed=seeds), ASK).asymptote.reason
    assert "rises" not in believed
    assert "peaks" not in believed


def test_each_reason_of_the_law_reaches_the_estimates() -> None:
    data = world("reasons")
    assert data.train is not None
    few = CurveData(n=N[:3], holdout=data.holdout[:3], train=data.train[:3])
    assert reasons(extrapolate(few, ASK)) == {"the law needs 4 or more distinct label counts, got 3"}
    steep = CurveData(n=N, holdout=0.5 + np.tile((9e5 * N**-2.9)[:, None], (1, 50)), train=0.5 - 9e5 * N**-2.9)
    assert "the best exponent is the largest" in extrapolate(steep, ASK).asymptote.reason
    assert data.deleted_test is not None
    broken = data.deleted_test.copy()
    broken[3] = broken[3][::-1]
    lost = extrapolate(replace(data, deleted_test=broken), ASK)
    assert "the law is lost in 1 of 20 deletions" in lost.asymptote.reason


def test_an_interval_wider_than_the_prior_range_is_no_answer() -> None:
    found: set[str] = set()
    for seed in range(40):
        result = jackknife_law(world(seed, sd=1.6), ASK)
        if "wide, the prior range" in result.exponent.reason:
            found.add("exponent")
            assert result.exponent.low is not None
            assert result.exponent.high is not None
            assert result.exponent.high - result.exponent.low > 1.95
            assert result.law is None
    assert found == {"exponent"}


def step_world(seed: str | int, broken: float = 0.0, clusters: int | None = None) -> CurveData:
    """Rows with their own difficulty and their own luck at each n; `broken` shifts the largest n off the law."""
    rng = stream("test", "step world", seed)
    m = 1200
    groups = None if clusters is None else rng.integers(0, clusters, m)
    luck = 0.3 * rng.normal(size=(N.size, m))
    if groups is not None:
        luck += 0.3 * rng.normal(size=(N.size, clusters))[:, groups]
    holdout = predict(TRUTH, N)[:, None] + rng.gamma(1.0, 0.5, m) - 0.5 + luck
    holdout[-1] += broken
    return CurveData(n=N, holdout=holdout, train=train_side(N), groups=groups)


def total_hits(repetitions: int, **kind: Any) -> int:
    return sum(int(backtest(step_world(i, **kind))["hits"]) for i in range(repetitions))


def test_the_backtest_hits_at_its_stated_rate_in_the_world_of_the_law() -> None:
    trials = 100 * GROUPS
    assert binom.ppf(0.001, trials, 0.93) <= total_hits(100) <= binom.ppf(0.999, trials, 0.97)
    assert binom.ppf(0.001, trials, 0.93) <= total_hits(100, clusters=120) <= binom.ppf(0.999, trials, 0.97)


def test_the_backtest_misses_when_the_curve_leaves_the_law() -> None:
    result = backtest(step_world("broken", broken=0.2))
    assert result["hits"] < 10
    assert result["high"] < 0.95
    assert result["surprise_low"] > 0
    assert result["measured"] - result["predicted"] == pytest.approx(result["surprise"])


def of_zeros_and_ones(seed: int, rows: int) -> CurveData:
    """Nested 0-1 errors under an exactly right law: p(n) = .04 + 2/n, one draw a row for all n."""
    n = np.array([50, 100, 200, 400, 800])
    luck = stream("test", "zero-one", seed).random(rows)
    return CurveData(n, (luck < (0.04 + 2.0 / n)[:, None]).astype(float))


def test_the_backtest_does_not_reject_a_right_law_where_single_outcomes_do_not_change() -> None:
    """Row groups without a changed outcome have no variance; they are no misses."""
    few = [backtest(of_zeros_and_ones(i, 200)) for i in range(20)]
    assert all("state" in result for result in few)
    assert sum("do not vary" in result["reason"] for result in few) >= 15  # of the others the law is not found
    many = [backtest(of_zeros_and_ones(i, 20_000)) for i in range(20)]
    assert all(result["high"] >= 0.95 for result in many)


def test_a_constant_group_is_judged_by_all_rows() -> None:
    data = step_world("constant")
    flat = data.holdout.copy()
    own = np.arange(flat.shape[1]) % GROUPS == 0
    flat[-1, own] = flat[-2, own] + (flat[-1] - flat[-2]).mean()  # the mean step, without variance
    result = backtest(replace(data, holdout=flat))
    assert "hits" in result
    assert result["surprise_low"] <= 0 <= result["surprise_high"]
    assert result["hits"] >= backtest(data)["hits"] - 1


def test_the_backtest_prints_its_count_with_clopper_pearson() -> None:
    result = backtest(step_world("print"), confidence=0.9)
    k = result["hits"]
    assert result["groups"] == GROUPS
    assert k == GROUPS or binom.cdf(k, GROUPS, result["high"]) == pytest.approx(0.05)
    assert binom.sf(k - 1, GROUPS, result["low"]) == pytest.approx(0.05)
    assert result["n"] == 3200
    assert result["surprise_low"] < result["surprise"] < result["surprise_high"]


def test_rows_of_one_cluster_stay_in_one_group() -> None:
    data = step_world("clusters", clusters=120)
    as_rows = backtest(replace(data, groups=None))
    whole = backtest(data)
    assert whole["surprise"] == pytest.approx(as_rows["surprise"])
    assert whole["surprise_high"] - whole["surprise_low"] > as_rows["surprise_high"] - as_rows["surprise_low"]


def test_the_backtest_says_what_it_lacks() -> None:
    data = step_world("lacks")
    assert data.train is not None
    short = CurveData(n=N[:4], holdout=data.holdout[:4], train=data.train[:4])
    assert backtest(short)["reason"] == "a back-test needs 5 or more label counts, got 4"
    assert (
        "40 or more independent held-out units, got 39"
        in backtest(replace(data, holdout=data.holdout[:, :39]))["reason"]
    )
    few = backtest(replace(data, groups=np.arange(1200) % 12))
    assert (few["state"], "got 12" in few["reason"]) == ("not_identified", True)
    flat = CurveData(n=N, holdout=np.vstack([data.holdout[:1] + 0 * data.holdout[:-1], data.holdout[-1:]]), train=0 * N)
    assert "without the largest label count" in backtest(flat)["reason"]


def test_every_problem_of_the_points_is_named_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        CurveData(
            n=np.array([10, 10, 30]),
            holdout=np.ones((2, 5)),
            train=np.array([1.0, np.nan, 2.0]),
            groups=np.zeros(4, dtype=np.int64),
            deleted_train=np.ones((3, 3)),
        )
    where = [problem.where for problem in caught.value.problems]
    assert where == [
        "curve.holdout",
        "curve.groups",
        "curve.deleted_train",
        "curve.deleted_test",
        "curve.train",
        "curve.n",
    ]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"holdout": np.full((6, 2000), np.inf)}, "curve.holdout"),
        ({"n": np.array([0, 1, 2, 3, 4, 5])}, "curve.n"),
        ({"train": np.ones(5)}, "curve.train"),
        ({"by_seed": np.ones((3, 5))}, "curve.by_seed"),
        ({"deleted_train": None}, "curve.deleted_train"),
        ({"deleted_n": np.zeros((20, 6))}, "curve.deleted_n"),
        ({"deleted_n": np.ones((19, 6))}, "curve.deleted_n"),
    ],
)
def test_named_errors(change: dict[str, Any], where: str) -> None:
    with pytest.raises(BadInput) as caught:
        replace(world("errors"), **change)
    assert where in {problem.where for problem in caught.value.problems}


def least_squares_world(seed: int, n: np.ndarray, groups: int = GROUPS) -> CurveData:
    """Real refits: least squares on 20 Gaussian features, noise 1 (the floor), every row group deleted in turn."""
    rng = stream("test", "least squares world", seed)
    d, m, size = 20, 500, int(n[-1])
    x = rng.normal(size=(size + m, d))
    y = x @ np.full(d, d**-0.5) + rng.normal(size=size + m)
    part, held = rng.permutation(size) % groups, rng.permutation(m) % groups
    train, test, sizes = np.zeros((3, groups + 1, n.size))
    rows = np.zeros((n.size, m))
    for i, count in enumerate(n):
        for j in range(groups + 1):  # index `groups` deletes nothing
            kept = np.flatnonzero(part[:count] != j)
            a, b = x[kept], y[kept]
            w = np.linalg.solve(a.T @ a, a.T @ b)
            losses = (x[size:] @ w - y[size:]) ** 2
            train[j, i], test[j, i], sizes[j, i] = np.mean((b - a @ w) ** 2), losses[held != j].mean(), kept.size
            rows[i] = losses
    return CurveData(
        n, rows, train[-1], deleted_test=test[:-1], deleted_train=train[:-1], deleted_n=sizes[:-1], dimension=d
    )


def test_coverage_outside_the_world_of_the_law() -> None:
    """The floor of least squares, whose curve is only asymptotically the law: interval and back-test both hold."""
    n = np.array([60, 120, 240, 480, 960, 1920])
    results = [extrapolate(least_squares_world(seed, n), Question()) for seed in range(60)]
    answered = [r for r in results if r.asymptote.value is not None]
    assert len(answered) >= 40
    covered = sum(inside(r.asymptote, 1.0) for r in answered)
    assert covered >= binom.ppf(0.001, len(answered), 0.93)
    hits = [r.backtest["hits"] for r in answered if "hits" in r.backtest]
    assert 0.9 <= np.mean(hits) / GROUPS <= 0.98


def test_a_law_that_misses_the_last_point_is_not_believed() -> None:
    """A probe that interpolates at small n: no two-sided law runs through 0 and then rises (banking77, MiniLM)."""
    n = np.array([154, 308, 616, 1232, 2464, 4928, 7497])
    test = np.array([3.888, 1.735, 0.879, 0.500, 0.346, 0.291, 0.262])
    train = np.array([0.0, 0.0, 0.0004, 0.002, 0.011, 0.032, 0.051])
    rows = np.tile(test[:, None], (1, 60))
    noise = stream("test-miss").normal(size=(20, 7)) * 1e-4
    curve = CurveData(n, rows, train=train, deleted_test=test + noise, deleted_train=train + np.abs(noise))
    found = extrapolate(curve, Question())
    assert found.asymptote.value is None
    assert "misses the" in found.asymptote.reason
    assert not found.law
