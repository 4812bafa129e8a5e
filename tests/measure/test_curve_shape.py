"""A real double-descent peak is found and named, noise and ripples are not, named errors."""

from __future__ import annotations

import numpy as np
import pytest

from limen.arrays.random import stream
from limen.measure.curve_shape import Shape, shape_of

FEATURES = 40


def random_feature_losses(n: list[int], ridge: float, seeds: int = 8, rows: int = 400) -> np.ndarray:
    """Squared loss [seeds, rows, k] of (ridge) least squares on 40 random ReLU features of 10 inputs, noise 0.5."""
    rng = stream("test", "random features")
    projection, teacher = rng.normal(size=(10, FEATURES)), rng.normal(size=10) / np.sqrt(10)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(count, 10))
        return np.maximum(x @ projection, 0) / np.sqrt(FEATURES), x @ teacher + 0.5 * rng.normal(size=count)

    x_test, y_test = draw(rows)
    losses = np.empty((seeds, rows, len(n)))
    for s in range(seeds):
        x, y = draw(max(n))
        for i, count in enumerate(n):
            a, b = x[:count], y[:count]
            if ridge:
                w = np.linalg.solve(a.T @ a + ridge * np.eye(FEATURES), a.T @ b)
            else:
                w = np.linalg.lstsq(a, b, rcond=None)[0]
            losses[s, :, i] = (x_test @ w - y_test) ** 2
    return losses


N = [10, 20, 40, 80, 160, 320]


def test_the_peak_of_unpenalised_random_features_is_found_at_n_equal_d() -> None:
    losses = random_feature_losses(N, ridge=0.0)
    assert losses.mean(axis=(0, 1))[2] > 2 * losses.mean(axis=(0, 1))[0]
    by_row = shape_of(N, losses.mean(axis=0), FEATURES)
    assert (by_row.kind, by_row.at, by_row.near_dimension) == ("peak", 40, True)
    assert by_row.rise == pytest.approx(np.ptp(losses.mean(axis=(0, 1))[[0, 1, 2]]), rel=0.5)
    assert "peaks at n = 40" in by_row.reason()
    assert "near the number of features" in by_row.reason()


def test_a_penalty_removes_the_peak() -> None:
    assert shape_of(N, random_feature_losses(N, ridge=3.0).mean(axis=0), FEATURES).kind == "falling"


def test_a_curve_that_ends_in_a_rise_is_rising() -> None:
    losses = random_feature_losses(N[:3], ridge=0.0)
    shape = shape_of(N[:3], losses.mean(axis=0), FEATURES)
    assert (shape.kind, shape.at) == ("rising", 40)
    assert "still rises at n = 40" in shape.reason()


def test_the_order_of_label_counts_and_units_does_not_matter() -> None:
    losses = random_feature_losses(N, ridge=0.0).mean(axis=0)
    order = stream("test", "order").permutation(len(N))
    rows = stream("test", "rows").permutation(losses.shape[0])
    one, other = shape_of(N, losses, FEATURES), shape_of(np.array(N)[order], losses[rows][:, order], FEATURES)
    assert (one.kind, one.at) == (other.kind, other.at)
    assert one.rise == pytest.approx(other.rise)


def test_noise_on_a_flat_curve_is_seldom_called_a_rise() -> None:
    rng = stream("test", "flat")
    found = sum(shape_of(N, rng.normal(size=(60, 6))).kind != "falling" for _ in range(1000))
    assert found <= 25  # level 1 % by construction


def test_a_ripple_at_the_flat_end_is_not_a_peak_however_many_rows_show_it() -> None:
    rng = stream("test", "ripple")
    means = np.array([3.0, 2.0, 1.5, 1.2, 1.1, 1.11])
    losses = means + 0.001 * rng.normal(size=(5000, 6))
    assert shape_of(N, losses).kind == "falling"
    assert shape_of(N, losses + np.array([0, 0, 0, 0, 0, 0.5])).kind == "rising"


def test_a_peak_far_from_the_dimension_is_not_blamed_on_it() -> None:
    losses = random_feature_losses(N, ridge=0.0).mean(axis=0)
    assert not shape_of(N, losses, dimension=500).near_dimension
    assert not shape_of(N, losses).near_dimension


def test_units_without_spread() -> None:
    assert shape_of([1, 2], [[1.0, 2.0], [1.0, 2.0]]) == Shape("rising", 2, 1.0)
    assert shape_of([1, 2], [[1.0, 1.0], [1.0, 1.0]]) == Shape("falling")


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([[1.0, 2.0]], r"expected \[2 or more units, 2\], got shape \(1, 2\)"),
        ([[1.0], [2.0]], r"expected \[2 or more units, 2\], got shape \(2, 1\)"),
        ([[1.0, np.nan], [2.0, 1.0]], "losses: expected finite values"),
    ],
)
def test_named_errors(losses: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shape_of([1, 2], losses)
