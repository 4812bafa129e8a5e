"""The grid over penalties × nested label counts against refits of every cell, row by row."""

from __future__ import annotations

import numpy as np
import pytest

from limen.adapt.ball import Rows
from limen.adapt.losses import one_hot
from limen.adapt.ridge import RidgeGrid, ridge_grid, ridge_path, ridge_weights

PENALTIES = np.array([1e-4, 0.03, 2.0])
COUNTS = (3, 5, 9, 14, 30)  # p = 9: kernel, square and Gram cases
TABLES = [name for name in RidgeGrid.__dataclass_fields__ if name not in ("counts", "penalties")]


def problem(n=30, p=9, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return Rows(rng.normal(size=(n, p)), rng.integers(0, classes, n), classes, "squared"), rng.uniform(0.2, 3, n)


def refit(x, y, a, absolute):
    """Minimiser of Σ a_i‖Wᵀx_i − y_i‖² + absolute·‖W‖² as ordinary least squares with p made-up rows."""
    p = x.shape[1]
    root = np.sqrt(a)[:, None]
    stacked = np.vstack([root * x, np.sqrt(absolute) * np.eye(p)])
    return np.linalg.lstsq(stacked, np.vstack([root * y, np.zeros((p, y.shape[1]))]), rcond=None)[0]


@pytest.mark.parametrize("weighted", [False, True])
def test_every_cell_equals_refits_without_each_row(weighted):
    rows, a = problem()
    a = a if weighted else np.ones(len(rows))
    grid = ridge_grid(rows, COUNTS, PENALTIES, a if weighted else None)
    targets = one_hot(rows.labels, 3)
    for i, n in enumerate(COUNTS):
        for j, penalty in enumerate(PENALTIES):
            x, y, w, absolute = rows.features[:n], targets[:n], a[:n], a[:n].sum() * penalty
            whole = refit(x, y, w, absolute)
            z = x @ whole
            out = np.array(
                [x[k] @ refit(np.delete(x, k, 0), np.delete(y, k, 0), np.delete(w, k), absolute) for k in range(n)]
            )
            hat = np.sqrt(w)[:, None] * x @ refit(x, np.eye(n), w, absolute) / np.sqrt(w)
            train = np.average(((z - y) ** 2).sum(1), weights=w)
            expected = {
                "norms": np.linalg.norm(whole),
                "training_loss": train,
                "training_error": np.average(z.argmax(1) != rows.labels[:n], weights=w),
                "leave_one_out_loss": np.average(((out - y) ** 2).sum(1), weights=w),
                "leave_one_out_error": np.average(out.argmax(1) != rows.labels[:n], weights=w),
                "effective_dimension": np.trace(hat),
                "gcv": train / (1 - np.trace(hat) / n) ** 2,
            }
            for name in TABLES:
                assert getattr(grid, name)[i, j] == pytest.approx(expected[name], rel=1e-7), (name, n, penalty)


def test_nested_counts_change_nothing_but_the_work():
    rows, a = problem()
    grid = ridge_grid(rows, COUNTS, PENALTIES, a)
    for i, n in enumerate(COUNTS):
        alone = ridge_grid(rows.take(np.arange(n)), [n], PENALTIES, a[:n])
        for name in TABLES:
            np.testing.assert_allclose(getattr(grid, name)[i], getattr(alone, name)[0], rtol=1e-9)


def test_kernel_and_gram_agree_where_both_apply():
    # 9 rows in 9 features (Gram) are the same problem with a tenth feature that is always 0 (kernel)
    rows, a = problem()
    wide = Rows(np.hstack([rows.features, np.zeros((30, 1))]), rows.labels, 3, "squared")
    left, right = (ridge_grid(case, [9], PENALTIES, a) for case in (rows, wide))
    for name in TABLES:
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=1e-8)


def test_blocks_of_rows_change_nothing(monkeypatch):
    rows, a = problem()
    whole = ridge_grid(rows, COUNTS, PENALTIES, a)
    monkeypatch.setattr("limen.adapt.ridge.BLOCK", 4)
    blocks = ridge_grid(rows, COUNTS, PENALTIES, a)
    for name in TABLES:
        np.testing.assert_allclose(getattr(blocks, name), getattr(whole, name), rtol=1e-10)


def test_a_whole_weight_is_a_repeated_row_and_weight_zero_is_no_row():
    rows, _ = problem(20)
    times = np.arange(20) % 3
    repeated = rows.take(np.repeat(np.arange(20), times))
    weighted = ridge_grid(rows, [20], PENALTIES, times.astype(float))
    for name in ("norms", "training_loss", "training_error", "effective_dimension"):
        np.testing.assert_allclose(
            getattr(weighted, name), getattr(ridge_grid(repeated, [len(repeated)], PENALTIES), name), rtol=1e-9
        )
    kept = np.flatnonzero(times)
    without = ridge_grid(rows.take(kept), [len(kept)], PENALTIES, times[kept].astype(float))
    for name in TABLES:
        np.testing.assert_allclose(getattr(weighted, name), getattr(without, name), rtol=1e-9)


def test_only_ratios_of_weights_count():
    rows, a = problem()
    left, right = (ridge_grid(rows, COUNTS, PENALTIES, scale * a) for scale in (1.0, 1e3))
    for name in TABLES:
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=1e-8)


def test_leave_one_out_survives_a_vanishing_penalty_with_fewer_rows_than_features():
    # λ → 0: r_i/(1 − h_i) → −(K⁻¹Y)_i/(K⁻¹)_ii although r and 1 − h both vanish
    rows, _ = problem(8, 20)
    inverse = np.linalg.inv(rows.features @ rows.features.T)
    limit = inverse @ one_hot(rows.labels, 3) / np.diag(inverse)[:, None]
    grid = ridge_grid(rows, [8], np.array([1e-14]))
    assert grid.leave_one_out_loss[0, 0] == pytest.approx((limit**2).sum(axis=1).mean(), rel=1e-8)


@pytest.mark.parametrize(("far", "digits"), [(1e3, 1e-6), (1e4, 1e-4)])
def test_a_row_that_determines_its_own_fit_still_has_a_leave_one_out_loss(far, digits):
    rows = Rows(np.array([[far, 0.0], [0.0, 1.0], [0.0, 1.1]]), np.array([0, 1, 1]), 2, "squared")
    # without the far row its direction and its class have no data: score 0, loss 1; the others fit each other
    near = [(1 - a * b / (a**2 + 3e-3)) ** 2 for a, b in ((1.0, 1.1), (1.1, 1.0))]
    grid = ridge_grid(rows, [3], np.array([1e-3]))
    assert grid.leave_one_out_loss[0, 0] == pytest.approx((1 + sum(near)) / 3, rel=digits)


def test_rounding_never_makes_a_leverage_exceed_one():
    rows = Rows(np.array([[1e9, 0.0], [0.0, 1.0], [0.0, 1.1]]), np.array([0, 1, 1]), 2, "squared")
    assert np.isfinite(ridge_grid(rows, [3], np.array([1e-3])).leave_one_out_loss).all()


def test_ties_of_classes_without_rows_go_to_the_lowest_label():
    # row 0 left out: only label 2 is left, with a negative score; labels 0 and 1 tie at exactly 0
    rows = Rows(np.array([[1.0, 0.1], [-1.0, 0.2]]), np.array([0, 2]), 3, "squared")
    grid = ridge_grid(rows, [2], PENALTIES)
    assert grid.leave_one_out_error[0].tolist() == [0.5] * 3


@pytest.mark.parametrize(("n", "p"), [(25, 4), (8, 20)])
def test_weights_are_the_stationary_point(n, p):
    rows, a = problem(n, p)
    w = ridge_weights(rows, 0.3, a)
    residual = rows.features @ w - one_hot(rows.labels, 3)
    gradient = rows.features.T @ (a[:, None] * residual) / a.sum() + 0.3 * w
    assert np.abs(gradient).max() < 1e-12
    assert ridge_grid(rows, [n], np.array([0.3]), a).norms[0, 0] == pytest.approx(np.linalg.norm(w), rel=1e-10)


def test_gcv_is_leave_one_out_when_all_leverages_are_equal():
    # a Hadamard design: every row has the same leverage
    x = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1.0]])
    grid = ridge_grid(Rows(x, np.array([0, 1, 1, 0]), 2, "squared"), [4], PENALTIES)
    np.testing.assert_allclose(grid.gcv, grid.leave_one_out_loss, rtol=1e-12)


def test_best_is_the_penalty_of_least_leave_one_out_loss():
    rows, _ = problem()
    grid = ridge_grid(rows, COUNTS, PENALTIES)
    for n, chosen in zip(COUNTS, grid.best(), strict=True):
        path = ridge_path(rows.take(np.arange(n)), PENALTIES)
        assert chosen == PENALTIES[path.leave_one_out_loss.argmin()]


@pytest.mark.parametrize(
    ("counts", "weights", "message"),
    [
        ([], None, "label counts must rise"),
        ([0, 3], None, "label counts must rise"),
        ([5, 5], None, "label counts must rise"),
        ([3, 31], None, "label counts must rise"),
        ([3], np.ones(29), "weights must be 30"),
        ([3], np.r_[-1.0, np.ones(29)], "weights must be 30"),
        ([3], np.r_[np.zeros(3), np.ones(27)], "all have weight 0"),
    ],
)
def test_what_makes_no_sense_is_refused(counts, weights, message):
    with pytest.raises(ValueError, match=message):
        ridge_grid(problem()[0], counts, PENALTIES, weights)
