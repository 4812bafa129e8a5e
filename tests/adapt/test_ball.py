"""Laws of the ball solver and its certificate."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from limen.adapt.ball import Rows, certify, minimise, minimise_subsets, start_from
from limen.adapt.losses import per_example_loss


def random_rows(seed=0, n=60, p=4, classes=3, loss="log", signal=1.0):
    """Rows with class means, the constant feature last; every class appears."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes).astype(np.int64)
    means = signal * rng.normal(size=(classes, p - 1))
    features = np.hstack([means[labels] + rng.normal(size=(n, p - 1)), np.ones((n, 1))])
    return Rows(features, labels, classes, loss)


def mean_loss(rows, weights):
    """Slow and obvious: one row at a time."""
    total = 0.0
    for x, y in zip(rows.features, rows.labels, strict=True):
        z = x @ weights
        if rows.loss == "log":
            total += float(np.log(np.exp(z - z.max()).sum()) + z.max() - z[y])
        else:
            total += float(((z - np.eye(rows.classes)[y]) ** 2).sum())
    return total / len(rows)


def in_ball(rng, shape, radius):
    direction = rng.normal(size=shape)
    return direction * (radius * rng.uniform() ** (1 / direction.size) / np.linalg.norm(direction))


def reference_minimum(rows, radius):
    """min of the mean loss over the ball by a general constrained solver with a numerical gradient of its own."""
    p, k = rows.features.shape[1], rows.classes

    def objective(flat):
        return mean_loss(rows, flat.reshape(p, k))

    start = np.full(p * k, 1e-3)
    found = scipy.optimize.minimize(
        objective,
        start,
        method="SLSQP",
        constraints=[{"type": "ineq", "fun": lambda w: radius**2 - w @ w}],
        options={"maxiter": 2000, "ftol": 1e-12},
    )
    assert found.x @ found.x <= radius**2 * (1 + 1e-7)
    return float(found.fun)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    loss=st.sampled_from(["log", "squared"]),
    radius=st.floats(0.05, 20.0),
    classes=st.integers(2, 4),
)
def test_the_certificate_at_any_point_lies_below_the_loss_of_every_feasible_point(seed, loss, radius, classes):
    rows = random_rows(seed, n=24, p=3, classes=classes, loss=loss)
    rng = np.random.default_rng(seed)
    anywhere = certify(rows, in_ball(rng, (3, classes), radius), radius)
    for _ in range(20):
        other = in_ball(rng, (3, classes), radius)
        assert anywhere.minimum <= mean_loss(rows, other) + 1e-12
    assert anywhere.gap >= -1e-12
    assert anywhere.minimum <= minimise(rows, radius, tolerance=1e-8).loss + 1e-12


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), loss=st.sampled_from(["log", "squared"]), radius=st.floats(0.05, 50.0))
def test_the_dual_form_is_the_loss_less_the_gap(seed, loss, radius):
    rows = random_rows(seed, n=30, p=4, loss=loss)
    weights = in_ball(np.random.default_rng(seed), (4, 3), radius)
    fit = certify(rows, weights, radius)
    scale = max(1.0, fit.loss, fit.gap)
    assert abs(fit.minimum - (fit.loss - fit.gap)) <= 1e-12 * scale
    assert abs(fit.loss - mean_loss(rows, weights)) <= 1e-12 * scale


@pytest.mark.parametrize("loss", ["log", "squared"])
@pytest.mark.parametrize("radius", [0.3, 1.5, 40.0])
def test_minimum_of_tiny_problems_agrees_with_a_general_solver(loss, radius):
    rows = random_rows(3, n=18, p=3, classes=3, loss=loss)
    fit = minimise(rows, radius, tolerance=1e-8)
    assert fit.converged
    expected = reference_minimum(rows, radius)
    assert fit.minimum <= expected + 1e-7  # SLSQP keeps the constraint up to 1e-7
    assert abs(fit.loss - expected) < 1e-6


@pytest.mark.parametrize("penalty", [1.0, 0.03, 1e-3])
def test_agrees_with_scikit_learn_at_the_penalty_of_the_same_norm(penalty):
    rows = random_rows(5, n=200, p=6, classes=4)
    # scikit-learn: C·Σℓ + ‖W‖²/2 without its own intercept: the constant feature is penalised as in the ball
    model = LogisticRegression(C=1 / (penalty * len(rows)), fit_intercept=False, tol=1e-10, max_iter=20_000)
    weights = model.fit(rows.features, rows.labels).coef_.T
    fit = minimise(rows, float(np.linalg.norm(weights)), tolerance=1e-9)
    assert abs(fit.loss - mean_loss(rows, weights)) < 1e-6
    assert certify(rows, weights, fit.radius).gap < 1e-6


def test_a_boundary_minimiser_has_the_radius_as_norm_and_a_gradient_against_it():
    rows = random_rows(1, n=100, p=5)
    fit = minimise(rows, 0.5, tolerance=1e-10)
    gradient_along = fit.gap - 0.5 * fit.gradient_norm
    assert np.isclose(np.linalg.norm(fit.weights), 0.5, rtol=1e-9)
    assert gradient_along < 0
    assert np.isclose(-gradient_along, 0.5 * fit.gradient_norm, atol=1e-9)


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_an_interior_minimiser_has_no_gradient_and_does_not_depend_on_the_radius(loss):
    rows = random_rows(2, n=300, p=4, loss=loss, signal=0.3)
    far, farther = minimise(rows, 1e3, tolerance=1e-9), minimise(rows, 1e4, tolerance=1e-8)
    assert far.converged
    assert farther.converged
    assert np.linalg.norm(far.weights) < 100
    assert far.gradient_norm < 1e-11
    assert abs(far.loss - farther.loss) < 1e-8


def test_separable_rows_use_the_whole_ball_and_the_loss_falls_to_nothing():
    rows = random_rows(4, n=40, p=10, classes=2, signal=3.0)
    losses = [minimise(rows, radius, tolerance=1e-9) for radius in (0.3, 1.0, 3.0)]
    for fit in losses:
        assert fit.converged
        assert np.isclose(np.linalg.norm(fit.weights), fit.radius, rtol=1e-6)
    assert losses[0].loss > losses[1].loss > losses[2].loss
    assert losses[2].loss < 1e-4


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_fewer_rows_than_features_gives_the_minimum_over_the_whole_space(loss):
    rows = random_rows(6, n=12, p=30, loss=loss)
    fit = minimise(rows, 0.4, tolerance=1e-8)
    assert fit.converged
    # an orthogonal change of coordinates that mixes span and complement changes nothing
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 30)))[0]
    turned = minimise(Rows(rows.features @ turn, rows.labels, rows.classes, loss), 0.4, tolerance=1e-8)
    assert abs(fit.loss - turned.loss) < 2e-8
    # no descent direction outside the span either: the gradient certificate is of the full space
    assert fit.weights.shape == (30, 3)
    assert fit.gap <= 1e-8


@pytest.mark.parametrize(("radius", "tolerance"), [(0.5, 1e-6), (5.0, 1e-6), (200.0, 1e-4)])
def test_warm_and_cold_starts_agree_within_the_tolerance(radius, tolerance):
    rows = random_rows(7, n=150, p=8, classes=5)
    cold = minimise(rows, radius, tolerance=tolerance)
    rng = np.random.default_rng(0)
    for start in (in_ball(rng, (8, 5), 10 * radius), minimise(rows, radius / 2).weights, np.zeros((8, 5))):
        warm = minimise(rows, radius, start, tolerance=tolerance)
        assert warm.converged
        assert abs(warm.loss - cold.loss) <= tolerance


def test_a_warm_start_saves_passes():
    rows = random_rows(7, n=400, p=20, classes=5)
    cold = minimise(rows, 10.0, tolerance=1e-5)
    assert minimise(rows, 10.0, cold.weights, tolerance=1e-5).products < cold.products


def test_float32_passes_are_certified_in_float64():
    rows = random_rows(8, n=2500, p=60, classes=10)
    assert rows.features.size * rows.classes >= 1_000_000  # large enough for the single-precision path
    fast = minimise(rows, 20.0, tolerance=1e-4)
    exact = minimise(rows, 20.0, tolerance=1e-8)
    assert fast.converged
    assert exact.converged
    assert fast.weights.dtype == np.float64
    assert fast.minimum <= exact.loss
    assert exact.minimum <= fast.loss
    assert fast.loss - exact.loss <= 1e-4
    assert abs(fast.loss - mean_loss(rows, fast.weights)) < 1e-12
    assert fast.gap == certify(rows, fast.weights, 20.0).gap


@pytest.mark.parametrize("radius", [0.05, 0.3, 0.8, 5.0])
def test_the_secular_equation_agrees_with_a_search_over_penalties(radius):
    rows = random_rows(9, n=80, p=5, loss="squared")
    fit = minimise(rows, radius)
    gram = rows.features.T @ rows.features / len(rows)
    target = rows.features.T @ np.eye(3)[rows.labels] / len(rows)

    def solution(penalty):
        return np.linalg.solve(gram + penalty * np.eye(5), target)

    low, high = 0.0, 1e6
    if np.linalg.norm(solution(0.0)) > radius:
        for _ in range(200):  # bisection on the norm, which falls with the penalty
            middle = (low + high) / 2
            low, high = (middle, high) if np.linalg.norm(solution(middle)) > radius else (low, middle)
    brute = solution(high if low > 0 else 0.0)
    assert np.allclose(fit.weights, brute, atol=1e-9)
    assert np.linalg.norm(fit.weights) <= radius * (1 + 1e-9)
    assert fit.gap < 1e-9


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_order_names_and_copies_of_rows_do_not_matter(loss):
    rows = random_rows(10, n=90, p=6, classes=4, loss=loss)
    base = minimise(rows, 2.0, tolerance=1e-8)
    rng = np.random.default_rng(0)
    order = rng.permutation(90)
    names = np.array([2, 0, 3, 1])
    variants = {
        "order": rows.take(order),
        "labels": Rows(rows.features, names[rows.labels], 4, loss),
        "copies": Rows(np.tile(rows.features, (3, 1)), np.tile(rows.labels, 3), 4, loss),
        "signs": Rows(-rows.features, rows.labels, 4, loss),
    }
    for name, variant in variants.items():
        assert abs(minimise(variant, 2.0, tolerance=1e-8).loss - base.loss) < 2e-8, name
    relabelled = minimise(variants["labels"], 2.0, tolerance=1e-10).weights[:, names]
    assert np.allclose(relabelled, minimise(rows, 2.0, tolerance=1e-10).weights, atol=1e-3)


def test_a_row_of_its_own_changes_the_answer():
    rows = random_rows(10, n=90, p=6, classes=4)
    one_more = rows.take(np.append(np.arange(90), 0))
    assert abs(minimise(rows, 2.0, tolerance=1e-9).loss - minimise(one_more, 2.0, tolerance=1e-9).loss) > 1e-5


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), loss=st.sampled_from(["log", "squared"]))
def test_the_minimum_falls_with_the_radius_and_is_convex_in_it(seed, loss):
    rows = random_rows(seed, n=40, p=4, loss=loss)
    a, b, c = (minimise(rows, radius, tolerance=1e-9).loss for radius in (0.5, 1.0, 1.5))
    assert a >= b - 1e-9 >= c - 2e-9
    assert b <= (a + c) / 2 + 1e-8


def test_a_fit_that_stops_short_says_so(monkeypatch):
    monkeypatch.setattr("limen.adapt.log_ball.ROUNDS", 1)
    monkeypatch.setattr("limen.adapt.log_ball.STEPS", 1)
    rows = random_rows(11, n=200, p=10, classes=5)
    fit = minimise(rows, 50.0, tolerance=1e-9)
    assert not fit.converged
    assert fit.gap > 1e-9
    monkeypatch.undo()
    assert fit.minimum <= minimise(rows, 50.0, tolerance=1e-9).loss


@pytest.mark.parametrize("radius", [0.0, -1.0, np.inf, np.nan])
def test_a_radius_that_is_none_is_refused(radius):
    with pytest.raises(ValueError, match="radius must be positive and finite"):
        minimise(random_rows(), radius)


@pytest.mark.parametrize("loss", ["log", "squared"])
@pytest.mark.parametrize("radius", [1e-12, 1e-6, 1e6])
def test_extreme_radii_are_solved(loss, radius):
    rows = random_rows(12, n=50, p=4, loss=loss, signal=0.5)
    fit = minimise(rows, radius, tolerance=1e-6)
    assert np.isfinite([fit.loss, fit.gap, fit.minimum]).all()
    assert fit.converged
    assert np.linalg.norm(fit.weights) <= radius * (1 + 1e-9)


def test_rows_without_signal_have_the_zero_adapter_as_best():
    features = np.vstack([np.eye(3), np.eye(3)])
    rows = Rows(features, np.array([0, 0, 0, 1, 1, 1]), 2)
    fit = minimise(rows, 3.0, tolerance=1e-9)
    assert np.isclose(fit.loss, np.log(2))
    assert np.allclose(fit.weights, 0)


def test_folds_that_start_at_a_fit_of_all_rows_forget_the_rows_left_out():
    """Many rows, a small radius: the fit of all rows is within the tolerance on every fold, and must not come back."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6000, 80))
    labels = (features @ rng.normal(size=(80, 4)) * 0.05 + rng.gumbel(size=(6000, 4))).argmax(axis=1)
    rows = Rows(features / np.sqrt(80), labels, 4)
    fold = np.arange(6000) % 5
    whole = minimise(rows, 2.0, tolerance=1e-5)

    def left_out(start, tolerance):
        found = minimise_subsets(rows, fold != np.arange(5)[:, None], 2.0, start, tolerance)
        scores = np.einsum("nd,ndk->nk", rows.features, found.weights[fold])
        return per_example_loss(scores, labels, "log").mean()

    exact, shipped = left_out(None, 1e-9), left_out(start_from(whole, 5, 1e-3), 1e-3)
    assert exact - whole.loss > 5e-4
    assert abs(shipped - exact) < 0.1 * (exact - whole.loss)
