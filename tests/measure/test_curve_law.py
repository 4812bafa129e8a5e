"""The law is recovered from its own points, agrees with a slow fit, keeps its symmetries, and says when it is lost."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from limen.arrays.random import stream
from limen.measure.curve_law import (
    EXPONENTS,
    Law,
    NotIdentified,
    fit_law,
    labels_needed,
    predict,
)

N = np.array([50, 100, 200, 400, 800, 1600, 3200])
LAWS = [
    (0.5, 3.0, 1.0, 0.7),
    (0.5, 3.0, -1.0, 0.7),
    (0.0, 2.0, 0.0, 0.3),
    (1.2, 30.0, 200.0, 1.0),
    (0.1, 0.5, 0.2, 0.15),
    (2.0, 300.0, 0.0, 1.9),
]


def sides(e: float, a: float, c: float, exponent: float, n: np.ndarray = N) -> tuple[np.ndarray, np.ndarray]:
    x = n.astype(float) ** -exponent
    return e - a * x + c * x**2, e + a * x + c * x**2


def fitted(law: Law | NotIdentified) -> Law:
    assert isinstance(law, Law), law
    return law


def numbers(law: Law | NotIdentified) -> tuple[float, float, float, float]:
    law = fitted(law)
    return law.asymptote, law.amplitude, law.curvature, law.exponent


def noisy(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = stream("test", "noisy curve", seed)
    train, test = sides(0.5, 3.0, 1.0, 0.7)
    return train + 0.005 * rng.normal(size=N.size), test + 0.005 * rng.normal(size=N.size)


@pytest.mark.parametrize("truth", LAWS)
def test_noiseless_points_give_the_law_back(truth: tuple[float, float, float, float]) -> None:
    law = fit_law(N, *sides(*truth))
    assert numbers(law) == pytest.approx(truth, rel=1e-6, abs=1e-6)
    assert fitted(law).residual < 1e-8


@pytest.mark.parametrize("truth", [(0.5, 3.0, 0.7), (0.0, 2.0, 0.3), (1.2, 30.0, 1.0)])
def test_noiseless_held_out_points_give_the_one_sided_law_back(truth: tuple[float, float, float]) -> None:
    e, a, exponent = truth
    law = fitted(fit_law(N, None, e + a * N**-exponent))
    assert (law.asymptote, law.amplitude, law.exponent) == pytest.approx(truth, rel=1e-6, abs=1e-6)
    assert law.curvature == 0.0
    assert not law.two_sided


@pytest.mark.parametrize("lowered", [0.0, 0.55])
@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_the_least_squares_optimum_of_a_brute_grid(seed: int, lowered: float) -> None:
    """Lowered by 0.55 the free asymptote would be negative, so the sign is forced."""
    train, test = (side - lowered for side in noisy(seed))
    law = fitted(fit_law(N, train, test))
    target = np.concatenate([train, test])

    def rss(exponent: float) -> float:
        x = N**-exponent
        x = x / x.max()
        top, bottom = (np.stack([np.ones(N.size), s * x, x**2, -(x**2)], axis=1) for s in (-1, 1))
        return float(nnls(np.concatenate([top, bottom]), target)[1]) ** 2

    reached = law.residual**2 * 2 * N.size
    assert reached <= min(rss(a) for a in np.linspace(*EXPONENTS, 3001)) * (1 + 1e-9)
    assert reached == pytest.approx(rss(law.exponent), rel=1e-6)


def test_the_fit_ignores_the_order_of_points() -> None:
    train, test = noisy(0)
    order = stream("test", "order").permutation(N.size)
    weights = np.sqrt(N)
    one, other = fit_law(N, train, test, weights), fit_law(N[order], train[order], test[order], weights[order])
    assert numbers(one) == numbers(other)


def test_the_fit_scales_with_the_loss_and_with_the_unit_of_labels() -> None:
    train, test = noisy(1)
    e, a, c, exponent = numbers(fit_law(N, train, test))
    assert numbers(fit_law(N, 4 * train, 4 * test)) == pytest.approx((4 * e, 4 * a, 4 * c, exponent), rel=1e-5)
    scaled = (e, a * 10**exponent, c * 10 ** (2 * exponent), exponent)
    assert numbers(fit_law(10 * N, train, test)) == pytest.approx(scaled, rel=1e-5)


def test_weights_count_points() -> None:
    train, test = noisy(2)
    weights = np.array([1, 1, 1, 1, 1, 1, 3])
    repeated = np.concatenate([np.arange(7), [6, 6]])
    one, other = fit_law(N, train, test, weights), fit_law(N[repeated], train[repeated], test[repeated])
    assert numbers(one) == pytest.approx(numbers(other), rel=1e-5)
    assert numbers(one) != pytest.approx(numbers(fit_law(N, train, test)), rel=1e-4)


def test_signs_are_forced_and_the_train_side_is_used() -> None:
    train, test = sides(0.0, 2.0, 0.0, 0.5)
    law = fitted(fit_law(N, train - 0.05, test - 0.05))
    assert law.asymptote == 0.0
    assert law.amplitude > 0
    bent = fitted(fit_law(N, noisy(3)[0] - 0.1, noisy(3)[1]))
    assert bent.asymptote < fitted(fit_law(N, *noisy(3))).asymptote


def test_the_two_sided_law_finds_the_floor_of_least_squares() -> None:
    """OLS, Gaussian design: E train = σ²(1 − d/n), E test = σ²(1 + d/(n−d−1)): floor σ² = 1, exponent near 1."""
    n, d = np.array([256, 512, 1024, 2048, 4096]), 30
    train, test = 1 - d / n, 1 + d / (n - d - 1)
    law = fitted(fit_law(n, train, test, n))
    assert law.asymptote == pytest.approx(1.0, abs=3e-4)
    assert law.exponent == pytest.approx(1.0, abs=0.1)
    alone = fitted(fit_law(n, None, test, n))
    assert abs(law.asymptote - 1) < abs(alone.asymptote - 1)


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ((N[:3], [0.4] * 3, [0.6, 0.5, 0.45]), "4 or more distinct label counts, got 3"),
        (([5, 5, 7, 7, 9], [0.4] * 5, [0.6] * 5), "4 or more distinct label counts, got 3"),
        ((N, 0.5 - 900 / N**2.6, 0.5 + 900 / N**2.6), "exponent is the largest of its prior range 0.05 to 2.0"),
        ((N, 2 - N**-0.01, 2 + N**-0.01), "smallest of its prior range"),
        ((N, 0.5 + 0.01 * np.sin(N), 0.5 - 3 * N**-0.7), "does not fall with the label count"),
    ],
)
def test_each_reason_why_the_law_is_lost(points: tuple, reason: str) -> None:
    law = fit_law(*points)
    assert isinstance(law, NotIdentified)
    assert reason in law.reason


@pytest.mark.parametrize("truth", LAWS)
@pytest.mark.parametrize("over", [0.001, 0.02, 0.2])
def test_labels_needed_is_the_smallest_label_count_at_the_target(truth: tuple, over: float) -> None:
    e, a, c, exponent = truth
    law = Law(e, a, c, exponent, True, 0.0)
    needed = labels_needed(law, e + over)
    if isinstance(needed, NotIdentified):
        assert predict(law, 1e12) > e + over
        return
    assert predict(law, needed) <= e + over + 1e-12
    turn = 0 if c >= 0 else (a / (-2 * c)) ** (-1 / exponent)
    assert needed == 1 or needed - 1 <= turn or predict(law, needed - 1) > e + over


def test_labels_needed_says_when_no_label_count_is_enough() -> None:
    law = Law(0.5, 3.0, 0.0, 0.05, True, 0.0)
    assert "below the asymptote" in labels_needed(law, 0.49).reason  # type: ignore[union-attr]
    assert "below the asymptote" in labels_needed(law, 0.5).reason  # type: ignore[union-attr]
    assert "only past 1e+12 labels" in labels_needed(law, 0.501).reason  # type: ignore[union-attr]
    assert labels_needed(Law(0.5, 3.0, -4.0, 0.7, True, 0.0), 5.0) == 5  # where the branch that falls begins


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ((N, [0.1, 0.2], np.ones(7)), r"expected one length, got \[7, 2, 7, 7\]"),
        ((N, None, np.full(7, np.nan)), "test: expected finite values, got 7"),
        ((-N, None, np.ones(7)), "expected numbers above 0, got -3200"),
        ((N, None, np.ones(7), np.zeros(7)), "expected numbers above 0"),
    ],
)
def test_named_errors(points: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_law(*points)
