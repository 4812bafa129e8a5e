"""Leave-one-out against refits: closed form for the squared loss, Newton's step and its check for the log loss."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

import limen
from limen.adapt import approximate_left_out as approximate
from limen.adapt.approximate_left_out import approximate_left_out
from limen.adapt.ball import Rows
from limen.adapt.leave_one_out import leave_one_out
from limen.adapt.left_out import refits, settle, steering
from limen.adapt.losses import one_hot, per_example_loss
from limen.adapt.penalised import WeightedRows
from limen.adapt.probe_rows import probe_rows
from limen.adapt.ridge import ridge_grid
from limen.adapt.ridge_rows import ridge_rows
from limen.records.errors import LimenError

PENALTIES = np.array([1e-3, 0.05, 1.0])
INTERCEPTS = ["penalized", "free"]


def table(n=40, d=4, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) + 0.3
    y = (x @ rng.normal(size=(d, classes)) + rng.gumbel(size=(n, classes))).argmax(axis=1)
    return x, y, rng.uniform(0.2, 3, n)


def weighted(x, y, a):
    return WeightedRows(x, y, int(y.max()) + 1, a / a.sum())


def refit(x, y, shares, penalty, intercept, classes):
    """The logistic probe by a general minimiser: [K, d + 1], the intercept last. Shares need not sum to 1."""
    u = np.column_stack([x, np.ones(len(x))])
    on = np.ones(u.shape[1])
    on[-1] = intercept == "penalized"
    target = one_hot(y, classes)

    def objective(flat):
        w = flat.reshape(classes, -1)
        z = u @ w.T
        log_p = z - scipy.special.logsumexp(z, axis=1, keepdims=True)
        value = -(shares @ (target * log_p).sum(axis=1)) + penalty / 2 * (on * w**2).sum()
        return value, ((np.exp(log_p) - target).T @ (shares[:, None] * u) + penalty * on * w).ravel()

    def hessian(flat):
        z = u @ flat.reshape(classes, -1).T
        p = scipy.special.softmax(z, axis=1)
        spread = np.einsum("i,ic,cd->icd", shares, p, np.eye(classes)) - np.einsum("i,ic,id->icd", shares, p, p)
        full = np.einsum("icd,ij,ik->cjdk", spread, u, u).reshape(flat.size, -1)
        # a common shift of a free intercept moves no score: it is given a curvature, which moves nothing else
        shift = np.kron(np.ones(classes), 1 - on)
        return full + np.diag(np.tile(penalty * on, classes)) + np.outer(shift, shift)

    flat = np.zeros(classes * u.shape[1])
    for _ in range(60):  # Newton's method, halved until the objective falls
        value, gradient = objective(flat)
        step, length = -np.linalg.solve(hessian(flat), gradient), 1.0
        while objective(flat + length * step)[0] > value + 1e-16 and length > 1e-6:
            length /= 2
        flat = flat + length * step
        if np.abs(gradient).max() < 1e-13:
            break
    return flat.reshape(classes, -1), hessian(flat)


def at_minimum(x, y, a, penalty, intercept):
    rows = probe_rows(weighted(x, y, a), intercept)
    w, _ = refit(x, y, a / a.sum(), penalty, intercept, rows.classes)
    return rows, w, rows.inner(w[:, :-1], w[:, -1])


# ---------------------------------------------------------------- squared loss


@pytest.mark.parametrize("intercept", INTERCEPTS)
@pytest.mark.parametrize("d", [4, 15])
def test_squared_loss_equals_refits_without_each_row(intercept, d):
    x, y, a = table(12, d)
    a[3] = 0.0
    found = ridge_rows(weighted(x, y, a), PENALTIES, intercept)
    u = np.column_stack([x, np.ones(12)])
    on = np.append(np.ones(d), float(intercept == "penalized"))
    for k, penalty in enumerate(PENALTIES):

        def solve(kept, penalty=penalty):
            s = np.where(kept, a / a.sum(), 0.0)
            return np.linalg.solve(u.T @ (s[:, None] * u) + penalty * np.diag(on), u.T @ (s[:, None] * one_hot(y, 3)))

        whole = u @ solve(np.ones(12, dtype=bool))
        out = np.stack([u[i] @ solve(np.arange(12) != i) for i in range(12)])
        np.testing.assert_allclose(found.training_loss[k], ((whole - one_hot(y, 3)) ** 2).sum(1), rtol=1e-8)
        np.testing.assert_allclose(found.leave_one_out_loss[k], ((out - one_hot(y, 3)) ** 2).sum(1), rtol=1e-7)
        np.testing.assert_array_equal(found.leave_one_out_wrong[k], out.argmax(1) != y)


@pytest.mark.parametrize("d", [4, 50])
def test_squared_loss_is_the_grid_of_label_counts_at_all_rows(d):
    x, y, a = table(40, d)
    result = leave_one_out(x, y, PENALTIES, loss="squared", sample_weight=a)
    grid = ridge_grid(Rows(np.column_stack([x, np.ones(40)]), y, 3, "squared"), [40], PENALTIES, a)
    np.testing.assert_allclose(result.training_loss, grid.training_loss[0], rtol=1e-9)
    np.testing.assert_allclose(result.leave_one_out_loss, grid.leave_one_out_loss[0], rtol=1e-9)
    np.testing.assert_allclose(result.leave_one_out_error, grid.leave_one_out_error[0])
    assert result.method == "exact"
    assert result.checks == ()


def test_blocks_of_rows_change_nothing(monkeypatch):
    x, y, a = table()
    whole = ridge_rows(weighted(x, y, a), PENALTIES, "free")
    monkeypatch.setattr("limen.adapt.ridge_rows.BLOCK", 7)
    blocks = ridge_rows(weighted(x, y, a), PENALTIES, "free")
    np.testing.assert_allclose(blocks.leave_one_out_loss, whole.leave_one_out_loss, rtol=1e-10)


# ---------------------------------------------------------------- log loss: the formula


@pytest.mark.parametrize("intercept", INTERCEPTS)
@pytest.mark.parametrize(("n", "d"), [(40, 4), (12, 20)])
def test_the_full_hessian_gives_newtons_step_from_the_minimum(intercept, n, d):
    x, y, a = table(n, d)
    rows, w, inner = at_minimum(x, y, a, 0.02, intercept)
    s, u = a / a.sum(), np.column_stack([x, np.ones(n)])
    _, hessian = refit(x, y, s, 0.02, intercept, 3)
    found = approximate_left_out(rows, inner, 0.02)
    p = scipy.special.softmax(u @ w.T, axis=1)
    for i in range(n):
        spread = np.diag(p[i]) - np.outer(p[i], p[i])
        without = hessian - s[i] * np.kron(spread, np.outer(u[i], u[i]))
        step = np.linalg.solve(without, s[i] * np.kron(p[i] - one_hot(y[i : i + 1], 3)[0], u[i]))
        z = (w + step.reshape(w.shape)) @ u[i]
        np.testing.assert_allclose(found[i] - found[i].mean(), z - z.mean(), atol=1e-8)


@pytest.mark.parametrize("intercept", INTERCEPTS)
def test_newtons_step_nears_the_real_leave_outs_with_the_square_of_its_length(intercept):
    worst = []
    for n in (100, 400):  # four times the rows: steps a quarter as long
        x, y, _ = table(n, 3)
        rows, _, inner = at_minimum(x, y, np.ones(n), 0.01, intercept)
        found = approximate_left_out(rows, inner, 0.01)
        errors, lengths = [], []
        for i in range(0, n, n // 20):
            shares = np.full(n, 1 / n)
            shares[i] = 0.0
            w, _ = refit(x, y, shares, 0.01, intercept, 3)
            z = w[:, :-1] @ x[i] + w[:, -1]
            errors.append(np.abs((found[i] - found[i].mean()) - (z - z.mean())).max())
            lengths.append(np.abs(inner @ rows.coordinates[i] - (z - z.mean())).max())
        assert np.mean(errors) < 0.1 * np.mean(lengths)
        worst.append(np.mean(errors))
    assert worst[1] < worst[0] / 8


@pytest.mark.parametrize("intercept", INTERCEPTS)
def test_refits_are_the_minimisers_without_each_row(intercept):
    x, y, a = table(30, 4)
    rows, _, inner = at_minimum(x, y, a, 0.01, intercept)
    which = np.array([2, 17, 29])
    found = refits(rows, inner, 0.01, steering(rows, inner, 0.01), which)
    assert found.unsettled.max() <= 1e-3
    for k, i in enumerate(which):
        shares = a / a.sum()
        shares[i] = 0.0
        w, _ = refit(x, y, shares, 0.01, intercept, 3)
        expected = rows.inner(w[:, :-1], w[:, -1]) @ rows.coordinates.T
        z = (w[:, :-1] @ x.T + w[:, -1:]).T
        np.testing.assert_allclose(expected.T, z - z.mean(axis=1, keepdims=True), atol=1e-9)
        np.testing.assert_allclose(found.weights[k] @ rows.coordinates.T, expected, atol=2e-5)


def test_settling_reaches_the_minimum_from_nothing():
    x, y, a = table()
    rows, _, inner = at_minimum(x, y, a, 0.01, "penalized")
    zero = np.zeros_like(inner)
    settled = settle(rows, zero, 0.01, steering(rows, zero, 0.01))
    np.testing.assert_allclose(settled.weights[0], inner, atol=1e-5)


def test_class_blocks_are_the_step_of_each_class_by_itself(monkeypatch):
    x, y, a = table(40, 4)
    rows, _, inner = at_minimum(x, y, a, 0.02, "penalized")
    full = approximate_left_out(rows, inner, 0.02)
    monkeypatch.setattr(approximate, "MOST_UNKNOWNS", 5)
    monkeypatch.setattr(approximate, "NEGLIGIBLE", 0.0)
    found = approximate_left_out(rows, inner, 0.02)
    p = scipy.special.softmax(rows.coordinates @ inner.T, axis=1)
    u, s = rows.coordinates, rows.shares
    for c in range(3):
        weight = s * p[:, c] * (1 - p[:, c])
        block = u.T @ (weight[:, None] * u) + 0.02 * np.eye(u.shape[1])
        for i in range(40):
            without = block - weight[i] * np.outer(u[i], u[i])
            step = np.linalg.solve(without, s[i] * (p[i, c] - (y[i] == c)) * u[i])
            assert found[i, c] == pytest.approx(u[i] @ (inner[c] + step), abs=1e-5)
    assert np.abs(found - full).max() > 1e-3, "the coupling of classes is left out"


def test_classes_that_cannot_move_are_passed_over(monkeypatch):
    x, y, a = table(60, 4, classes=8)
    rows, _, inner = at_minimum(x, y, a, 0.003, "penalized")
    monkeypatch.setattr(approximate, "MOST_UNKNOWNS", 5)
    some = approximate_left_out(rows, inner, 0.003)
    monkeypatch.setattr(approximate, "NEGLIGIBLE", 0.0)
    every = approximate_left_out(rows, inner, 0.003)
    differ = np.abs(some - every)
    assert 0 < differ.max() < 0.011
    losses = [per_example_loss(scores, y, "log") for scores in (some, every)]
    assert np.abs(losses[0] - losses[1]).max() < 0.011


def test_precision_of_the_blocks_does_not_show(monkeypatch):
    x, y, a = table(60, 6, classes=5)
    rows, _, inner = at_minimum(x, y, a, 0.003, "penalized")
    monkeypatch.setattr(approximate, "MOST_UNKNOWNS", 5)
    single = approximate_left_out(rows, inner, 0.003)
    monkeypatch.setattr(approximate, "SINGLE_PRECISION_CONDITION", 0.0)
    double = approximate_left_out(rows, inner, 0.003)
    assert 0 < np.abs(single - double).max() < 1e-4


def test_on_a_sphere_the_step_stays_tangent():
    # on the sphere the radial part of a step is taken away: with w the only direction nothing moves at all
    rows = probe_rows(weighted(np.zeros((6, 1)), np.array([0, 0, 0, 0, 1, 1]), np.ones(6)), "penalized")
    weights = rows.inner(np.zeros((2, 1)), np.array([0.2, -0.2]))
    np.testing.assert_allclose(approximate_left_out(rows, weights, 0.1, sphere=True), rows.coordinates @ weights.T)
    assert np.abs(approximate_left_out(rows, weights, 0.1) - rows.coordinates @ weights.T).max() > 0.05


# ---------------------------------------------------------------- log loss: the public function


@pytest.mark.parametrize("intercept", INTERCEPTS)
def test_the_public_function_agrees_with_real_leave_outs_of_every_row(intercept):
    x, y, a = table(24, 3, seed=3)
    labels = np.array(["ant", "bee", "cat"])[y]
    result = limen.leave_one_out(x, labels, [0.02, 0.5], intercept=intercept, sample_weight=a, check_rows=24)
    for k, penalty in enumerate([0.02, 0.5]):
        real = np.empty(24)
        for i in range(24):
            shares = a / a.sum()
            shares[i] = 0.0
            w, _ = refit(x, y, shares, penalty, intercept, 3)
            real[i] = per_example_loss((w[:, :-1] @ x[i] + w[:, -1])[None], y[[i]], "log")[0]
        check = result.checks[k]
        np.testing.assert_array_equal(check.rows, np.arange(24))
        np.testing.assert_allclose(check.left_out_loss, real, atol=2e-3)
        np.testing.assert_allclose(check.approximate_loss, result.row_losses[k])
        assert check.mean_difference == pytest.approx((result.row_losses[k] - real).mean(), abs=1e-3)
        assert check.largest_difference == pytest.approx(np.abs(result.row_losses[k] - real).max(), abs=2e-3)
        whole, _ = refit(x, y, a / a.sum(), penalty, intercept, 3)
        train = per_example_loss(x @ whole[:, :-1].T + whole[:, -1], y, "log")
        assert result.training_loss[k] == pytest.approx(np.average(train, weights=a), abs=1e-4)
        assert result.leave_one_out_loss[k] == pytest.approx(np.average(result.row_losses[k], weights=a))
        assert result.leave_one_out_loss[k] == pytest.approx(np.average(real, weights=a), rel=0.1)
    assert 0 < result.leave_one_out_error[0] < 1
    assert result.best == [0.02, 0.5][int(result.leave_one_out_loss.argmin())]


def test_only_ratios_of_weights_count_and_a_row_of_weight_zero_is_scored_by_the_fit_on_all():
    x, y, a = table(30, 3)
    a[5] = 0.0
    left, right = (leave_one_out(x, y, [0.05], sample_weight=scale * a) for scale in (1.0, 100.0))
    np.testing.assert_allclose(left.row_losses, right.row_losses, rtol=1e-6)
    assert 5 not in left.checks[0].rows
    w, _ = refit(x, y, a / a.sum(), 0.05, "penalized", 3)
    own = per_example_loss((w[:, :-1] @ x[5] + w[:, -1])[None], y[[5]], "log")[0]
    assert left.row_losses[0, 5] == pytest.approx(own, abs=1e-4)


def test_the_intercept_and_the_weights_change_the_result():
    x, y, a = table(30, 3)
    plain, free = (leave_one_out(x + 2, y, [0.5], intercept=i).leave_one_out_loss[0] for i in INTERCEPTS)
    heavy = leave_one_out(x + 2, y, [0.5], sample_weight=a).leave_one_out_loss[0]
    assert abs(plain - free) > 1e-3
    assert abs(plain - heavy) > 1e-3


def test_the_check_is_always_there_and_always_printed():
    x, y, _ = table(60, 3)
    result = leave_one_out(x, y, PENALTIES)
    assert [len(check.rows) for check in result.checks] == [20, 20, 20]
    shown = repr(result).splitlines()
    assert "20 rows really left out" in shown[1]
    for check, line in zip(result.checks, shown[2:], strict=True):
        assert f"{check.mean_difference:+.4f}" in line
        assert f"{check.largest_difference:.4f}" in line
    again = leave_one_out(x, y, PENALTIES, check_rows=7)
    assert set(again.checks[0].rows) < set(result.checks[0].rows)
    assert np.isnan(leave_one_out(x, y, [1.0], check_rows=1).checks[0].error_of_mean)


def test_a_class_of_one_row_left_out_is_a_class_never_seen():
    x, y, _ = table(30, 3)
    y[y == 2] = 1
    y[4] = 2
    x[4] = (4.0, -4.0, 4.0)
    result = leave_one_out(x, y, [0.01], check_rows=30)
    shares = np.full(30, 1 / 30)
    shares[4] = 0.0
    w, _ = refit(x, y, shares, 0.01, "penalized", 3)
    real = per_example_loss((w[:, :-1] @ x[4] + w[:, -1])[None], np.array([2]), "log")[0]
    assert result.checks[0].left_out_loss[4] == pytest.approx(real, rel=1e-3)
    assert real > np.log(3), "worse than a guess"
    assert result.row_losses[0, 4] > np.log(3)
    assert result.notes[0].startswith("1 of 3 classes have one row (2)")
    assert result.notes[0] in repr(result)
    squared = leave_one_out(x, y, [0.01], loss="squared", intercept="free")
    assert squared.row_losses[0, 4] >= 1.0, "its own score is 0"
    with pytest.raises(LimenError, match=r"at least two rows a class, got one of 2(.|\n)*goes to −∞"):
        leave_one_out(x, y, [0.01], intercept="free")


def test_separable_rows_with_a_tiny_penalty_have_a_finite_answer_and_its_check():
    x = np.r_[np.linspace(-2, -1, 15), np.linspace(1, 2, 15)][:, None]
    y = np.repeat([0, 1], 15)
    result = leave_one_out(x, y, [1e-3, 1e-8])
    assert np.isfinite(result.row_losses).all()
    assert result.training_loss[1] < 1e-5 < result.training_loss[0]
    assert all(np.isfinite(check.left_out_loss).all() for check in result.checks)
    assert result.leave_one_out_loss[1] < result.leave_one_out_loss[0], "the gap between the classes is wide"


def test_a_penalty_below_rounding_is_refused_by_name():
    x, y, _ = table(20, 2)
    with pytest.raises(LimenError, match=r"penalties: error: expected at least .* beside features of this size"):
        leave_one_out(1e6 * x, y, [1.0, 1e-9])
    large = leave_one_out(1e6 * x, y, [1e9], intercept="free")
    usual = leave_one_out(x, y, [1e-3], intercept="free")
    np.testing.assert_allclose(large.row_losses, usual.row_losses, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.array([[1.0], [np.nan], [2.0], [3.0]])}, "expected finite numbers, got nan in row 1"),
        ({"y": [0, 0, 0, 0]}, "expected at least two classes"),
        ({"y": [0, 1, 0]}, r"expected one label a row \(4\)"),
        ({"penalties": [1.0, 0.0]}, r"penalties: error: expected positive, finite numbers, got \[1.0, 0.0\]"),
        ({"penalties": [-1.0]}, "expected positive, finite numbers"),
        ({"penalties": [np.inf]}, "expected positive, finite numbers"),
        ({"penalties": []}, "expected positive, finite numbers"),
        ({"sample_weight": [1, 1, 1]}, "sample_weight: error"),
        ({"sample_weight": [1, 1, -1, 1]}, "sample_weight: error"),
        ({"sample_weight": [1, 1, np.nan, 1]}, "sample_weight: error"),
        ({"sample_weight": [0, 0, 0, 0]}, "sample_weight: error"),
        ({"sample_weight": [0, 1, 0, 0]}, "at least two rows of positive weight"),
        ({"loss": "hinge"}, 'expected "log" or "squared", got \'hinge\''),
        ({"intercept": "none"}, 'expected "penalized" or "free"'),
        ({"check_rows": 0}, "never returned unchecked"),
        ({"check_rows": 1.5}, "expected a whole number of at least 1, got 1.5"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"X": np.array([[0.0], [1.0], [2.0], [3.0]]), "y": [0, 1, 0, 1], "penalties": [1.0]} | change
    with pytest.raises(LimenError, match=message):
        leave_one_out(**given)


def test_a_fit_that_did_not_settle_is_noted(monkeypatch):
    x, y, _ = table(60, 3)
    monkeypatch.setattr("limen.adapt.leave_one_out.TOLERANCE", 10.0)
    monkeypatch.setattr("limen.adapt.left_out.NEWTON_STEPS", 1)
    result = leave_one_out(x, y, [1e-4])
    assert result.notes[-1].startswith("penalty 0.0001: the fit did not settle")
    assert result.notes[-1] in repr(result)
    assert result.checks[0].unsettled > 0.001


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_a_column_twice_is_that_column_times_the_root_of_two(loss):
    x, y, a = table(30, 3)
    twice = leave_one_out(np.hstack([x, x]), y, [0.01], loss=loss, sample_weight=a)
    scaled = leave_one_out(np.sqrt(2) * x, y, [0.01], loss=loss, sample_weight=a)
    np.testing.assert_allclose(twice.row_losses, scaled.row_losses, rtol=1e-4)


@pytest.mark.parametrize("loss", ["log", "squared"])
@pytest.mark.parametrize("kind", ["float16", "float32", "strided", "int"])
def test_how_the_features_are_stored_does_not_matter(loss, kind):
    x, y, _ = table(40, 3)
    x = np.round(8 * x) / 8 if kind != "int" else np.round(4 * x)
    stored = np.repeat(x, 2, axis=1)[:, ::2] if kind == "strided" else x.astype(kind)
    left, right = (leave_one_out(rows, y, [0.05], loss=loss).row_losses for rows in (stored, x))
    np.testing.assert_allclose(left, right, rtol=1e-4)


def test_equal_rows_have_equal_losses():
    x, y, _ = table(20, 3)
    for loss in ("log", "squared"):
        result = leave_one_out(np.tile(x, (2, 1)), np.tile(y, 2), [0.02], loss=loss)
        np.testing.assert_allclose(result.row_losses[0, :20], result.row_losses[0, 20:], rtol=1e-6)
