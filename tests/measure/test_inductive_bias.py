"""V_bias: worlds of known variance, matching, clustering by run, coverage; what is common to tasks and what is not."""

from __future__ import annotations

import numpy as np
import pytest

from limen.arrays.random import stream
from limen.measure.inductive_bias import Matching, bias_variance, task_variance
from limen.records.errors import BadInput
from limen.records.estimate import Estimate, not_identified
from limen.records.model_point import ModelPoint

Z = 1.959963984540054


def estimate(value, error):
    half = Z * error
    return Estimate(float(value), value - half, value + half, confidence=0.95, grade="statistical")


def point(run, family, loss, floors, error=0.1):
    targets = {task: estimate(value, error) for task, value in floors.items()}
    return ModelPoint(f"{run}@1", run, family, estimate(loss, 1e-6), targets)


def test_it_is_the_sample_variance_less_the_errors():
    y = np.array([1.0, 2.0, 4.0, 8.0, 3.0, 5.0])
    found = bias_variance([point(str(i), "f", 1.0, {"t": v}) for i, v in enumerate(y)], "t", Matching(0.01))
    assert found.overall.value == pytest.approx(y.var(ddof=1) - 0.01)
    assert (found.pairs, found.runs, found.measurement) == (15, 6, pytest.approx(0.01))
    assert found.overall == found.within_family
    assert found.across_families.state == "not_identified"


def test_variance_that_is_all_measurement_is_about_zero_and_may_be_negative():
    values = []
    for key in range(60):
        y = 0.1 * stream("no bias", key).standard_normal(10)
        values.append(bias_variance([point(str(i), "f", 1.0, {"t": v}) for i, v in enumerate(y)], "t", Matching(1.0)))
    found = np.array([v.overall.value for v in values])
    assert found.min() < 0
    assert abs(found.mean()) < 3 * found.std() / len(found) ** 0.5


def test_only_pairs_within_delta_count():
    near = [point(f"n{i}", "f", i % 2 * 0.05, {"t": i}) for i in range(6)]
    far = [point(f"r{i}", "f", 10 + 5 * i, {"t": 100 * i}) for i in range(5)]
    alone, both = (bias_variance(rows, "t", Matching(0.1)) for rows in (near, near + far))
    assert both.overall.value == alone.overall.value
    assert both.pairs == 15
    assert bias_variance(near + far, "t", Matching(1e3)).overall.value > 100 * both.overall.value
    assert bias_variance(far, "t", Matching(0.1)).overall.state == "not_identified"


def test_pairs_of_one_run_never_count():
    rows = [
        ModelPoint(f"r{i}@{s}", f"r{i}", "f", estimate(1.0, 1e-6), {"t": estimate(i + 100 * s, 0.1)})
        for i in range(6)
        for s in range(2)
    ]
    found = bias_variance(rows, "t", Matching(0.1))
    assert found.pairs == 4 * 15
    assert found.runs == 6
    few = [p for p in rows if p.run in ("r0", "r1")]
    assert bias_variance(few, "t", Matching(0.1)).overall.state == "not_identified"


def test_families_that_differ_show_across_and_not_within():
    rng = stream("families")
    rows = [
        point(f"{f}{i}", f, 1.0, {"t": k + 0.1 * rng.standard_normal()}) for k, f in enumerate("abc") for i in range(4)
    ]
    found = bias_variance(rows, "t", Matching(0.1))
    assert found.across_families.low > found.within_family.high
    assert found.across_families.value == pytest.approx(np.mean([1, 1, 4]) / 2, abs=0.4)


def test_a_slope_is_taken_out_of_matched_pairs():
    rows = [point(str(i), "f", i, {"t": 2.0 * i}, error=0.001) for i in range(8)]
    assert bias_variance(rows, "t", Matching(10.0)).overall.value > 10
    assert bias_variance(rows, "t", Matching(10.0, slope=2.0)).overall.value == pytest.approx(0.0, abs=1e-5)


def test_errors_of_common_rows_cancel():
    rows = [point(str(i), "f", 1.0, {"t": v}) for i, v in enumerate([0.0, 0.1, 0.2, 0.0, 0.1, 0.3])]
    common = Matching(0.1, error_covariance=np.full((6, 6), 0.01))
    assert bias_variance(rows, "t", common).measurement == pytest.approx(0.0, abs=1e-12)
    y = np.array([0.0, 0.1, 0.2, 0.0, 0.1, 0.3])
    assert bias_variance(rows, "t", common).overall.value == pytest.approx(y.var(ddof=1))


@pytest.mark.parametrize(("runs", "error"), [(6, 0.2), (12, 1.0), (20, 0.2)])
def test_coverage(runs, error):
    inside = []
    for key in range(400):
        rng = stream("bias coverage", key, runs)
        y = rng.standard_normal(runs) + error * rng.standard_normal(runs)
        x = rng.uniform(size=runs)
        rows = [point(str(i), "f", x[i], {"t": y[i]}, error) for i in range(runs)]
        found = bias_variance(rows, "t", Matching(0.6)).overall
        inside.append(found.low <= 1.0 <= found.high)
    assert 0.91 <= np.mean(inside) <= 0.98


def test_common_and_specific_parts_add_up_to_the_mean_over_tasks():
    rng = stream("tasks")
    rows = [point(str(i), "f", 1.0, dict(zip("abc", rng.standard_normal(3), strict=True))) for i in range(9)]
    found = task_variance(rows, "abc", Matching(1.0))
    each = [bias_variance(rows, task, Matching(1.0)).overall.value for task in "abc"]
    assert found.common.value + found.specific.value == pytest.approx(np.mean(each))
    assert found.tasks == ("a", "b", "c")


def test_what_all_tasks_share_and_what_one_has_are_told_apart():
    def found(shared, own, key):
        rng = stream("parts", key)
        level, errors = shared * rng.standard_normal(25), 0.1 * rng.standard_normal((25, 4))
        y = level[:, None] + own * rng.standard_normal((25, 4)) + errors
        return task_variance([point(str(i), "f", 1.0, dict(zip("abcd", y[i], strict=True))) for i in range(25)],
                             "abcd", Matching(1.0))  # fmt: skip

    together = [found(1.0, 0.0, key) for key in range(80)]
    apart = [found(0.0, 1.0, key) for key in range(80)]
    assert np.mean([t.common.value for t in together]) == pytest.approx(1.0, abs=0.1)
    assert np.mean([t.specific.value for t in together]) == pytest.approx(0.0, abs=0.002)
    assert np.mean([t.common.value for t in apart]) == pytest.approx(0.0, abs=0.05)
    assert np.mean([t.specific.value for t in apart]) == pytest.approx(1.0, abs=0.05)
    for rows, part, truth in ((together, "common", 1.0), (apart, "common", 0.0), (apart, "specific", 1.0)):
        ends = [getattr(t, part) for t in rows]
        assert np.mean([e.low <= truth <= e.high for e in ends]) > 0.88


def test_points_without_an_interval_are_left_out_and_bad_arguments_refused():
    rows = [point(str(i), "f", 1.0, {"t": float(i)}) for i in range(6)]
    lost = ModelPoint("x@1", "x", "f", estimate(1.0, 0.1), {"t": not_identified("drift")})
    bare = ModelPoint("y@1", "y", "f", estimate(1.0, 0.1), {"t": Estimate(1e6)})
    found = bias_variance([*rows, lost, bare], "t", Matching(1.0))
    assert found == bias_variance(rows, "t", Matching(1.0))
    assert bias_variance([], "t", Matching(1.0)).overall.state == "not_identified"
    with pytest.raises(BadInput, match="above 0"):
        bias_variance(rows, "t", Matching(0.0))
    with pytest.raises(BadInput, match=r"shape \(6, 6\)"):
        bias_variance(rows, "t", Matching(1.0, error_covariance=np.eye(2)))
    with pytest.raises(BadInput, match="2 different tasks"):
        task_variance(rows, ["t", "t"], Matching(1.0))
