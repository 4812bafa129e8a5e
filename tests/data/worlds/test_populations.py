"""Finite populations: rows are the whole truth; embeddings, their smoothed copies, principal components."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from limen.adapt.feature_map import design_map
from limen.adapt.truth import Truth
from limen.data.worlds.embeddings import KernelMixture, embeddings, principal_components, smoothed
from limen.data.worlds.gaussian_classes import gaussian_classes
from limen.data.worlds.population import Population
from limen.data.worlds.subclusters import subclusters

# computed by the first version of the generators
GAUSSIAN_LAST, HEAVY_LAST = -0.39013795591203515, -0.2876996268193412
GAUSSIAN_COUNTS, HEAVY_COUNTS = [3379, 3267, 3337, 3291, 3372, 3354], [4010, 4023, 3927, 4009, 4031]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)), np.arange(60) % 3
WORLD = embeddings("real", (X, Y))


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_the_loss_of_an_adapter_is_the_one_that_truth_states(loss):
    phi = design_map(X[:30])
    truth, weights = Truth.of(WORLD, phi, loss), RNG.normal(size=(5, 3))
    assert WORLD.population_loss(lambda x: phi(x) @ weights, loss) == pytest.approx(truth.population_loss(weights))
    assert WORLD.population_loss(lambda x: phi(x) @ weights, "zero-one") == pytest.approx(
        truth.population_error(weights)
    )


def test_rows_are_drawn_with_replacement_and_equally_often():
    rows = WORLD.sample(60_000, np.random.default_rng(1))
    counts = np.array([(rows.features[:, 0] == value).sum() for value in X[:, 0]])
    assert counts.sum() == 60_000
    assert abs(counts / 60_000 - 1 / 60).max() < 4.5 * np.sqrt(1 / 60 / 60_000)


def test_everything_is_the_population():
    rows = WORLD.everything()
    assert np.array_equal(rows.features, X)
    assert np.array_equal(rows.labels, Y)
    assert rows.classes == ("0", "1", "2")


def test_a_rule_that_knows_the_rows_falls_below_the_bayes_risk_of_their_law():
    world = gaussian_classes(3, 2, 200, label_noise=0.2)
    known = {x.tobytes(): y for x, y in zip(world.features, world.labels, strict=True)}
    rule = lambda features: 50 * np.eye(3)[[known[x.tobytes()] for x in features]]  # noqa: E731
    assert world.population_loss(rule) < 1e-9 < world.bayes_risk
    assert world.bayes_risk > 0.5


def test_generators_of_populations_keep_their_rows():
    """Rows that docs/validation.md was computed on: a change here makes its tables those of other worlds."""
    gaussian = gaussian_classes(6, 16, 20_000, separation=0.9, seed=11)
    heavy = subclusters(5, 20, 20_000, separation=1.2, seed=12)
    assert float(gaussian.features[-1, -1]) == pytest.approx(GAUSSIAN_LAST, abs=1e-12)
    assert float(heavy.features[-1, -1]) == pytest.approx(HEAVY_LAST, abs=1e-12)
    assert (np.bincount(gaussian.labels).tolist(), np.bincount(heavy.labels).tolist()) == (
        GAUSSIAN_COUNTS,
        HEAVY_COUNTS,
    )


def test_the_posterior_of_a_kernel_mixture_is_a_ratio_of_sums():
    law, x = KernelMixture(X, Y, 0.7), 2 * RNG.normal(size=(20, 4))
    kernel = np.exp(-((x[:, None] - X) ** 2).sum(axis=2) / (2 * 0.7**2))
    sums = np.stack([kernel[:, c == Y].sum(axis=1) for c in range(3)], axis=1)
    assert np.allclose(law.posterior(x), sums / sums.sum(axis=1, keepdims=True), atol=1e-12)


def test_a_label_without_rows_has_posterior_zero():
    law = KernelMixture(X, np.where(Y == 1, 2, Y), 1.0)
    assert law.classes == 3
    assert law.posterior(X)[:, 1].max() == 0


def test_little_noise_leaves_nothing_to_guess_and_much_noise_everything():
    risks = [smoothed("s", (X, Y), copies=20, noise=noise).bayes_risk for noise in (0.01, 0.3, 1.0, 100.0)]
    assert risks[0] < 1e-6
    assert risks == sorted(risks)
    assert risks[-1] == pytest.approx(np.log(3), abs=1e-3)


def test_smoothed_rows_are_equal_numbers_of_copies_with_noise_of_the_stated_size():
    world = smoothed("s", (X.astype(np.float32), Y), copies=200, noise=0.3)
    moved = world.features - np.repeat(X, 200, axis=0)
    spread = (X - X.mean(axis=0)).std()
    assert moved.std() == pytest.approx(0.3 * spread, rel=4.5 / np.sqrt(2 * moved.size))
    assert np.array_equal(world.labels, np.repeat(Y, 200))
    assert np.isclose(world.law.width, 0.3 * spread)


def test_the_smoothed_bayes_risk_is_that_of_its_law():
    world = smoothed("s", (X, Y), copies=200, noise=0.5)
    exact = world.law.bayes_integral()
    spread = scipy.special.entr(world.posterior(world.features)).sum(axis=1).std() / np.sqrt(len(world))
    assert abs(world.bayes_risk - exact.value) < 4.5 * np.hypot(spread, exact.error)


def test_principal_components_keep_distances_and_come_in_order_of_variance():
    scores = principal_components(X, 4)
    assert np.allclose(scores @ scores.T, (X - X.mean(axis=0)) @ (X - X.mean(axis=0)).T, atol=1e-10)
    assert np.all(np.diff(scores.var(axis=0)) < 0)
    assert np.array_equal(principal_components(X, 2), scores[:, :2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Population("p", X, Y[:-1], 3),
            r"expected features \[N, d\] and labels \[N\] .* got \(60, 4\) and \(59,\)",
        ),
        (lambda: Population("p", X, Y, 2), r"labels: expected 0 to 1, got 0 to 2"),
        (lambda: Population("p", X, Y - 1, 3), r"labels: expected 0 to 2, got -1 to 1"),
        (lambda: Population("p", X[:0], Y[:0], 3), r"with N ≥ 1"),
        (
            lambda: embeddings("e", (np.where(X > 2, np.nan, X), Y)),
            r"e: expected finite features, got \d+ that are not",
        ),
        (lambda: embeddings("e", (X[:0], Y[:0])), r"with N ≥ 1"),
        (lambda: smoothed("s", (X, Y), copies=0), r"copies: expected a whole number of at least 1, got 0"),
        (lambda: smoothed("s", (X, Y), noise=0.0), r"spread of the features: expected a finite number above 0"),
        (lambda: KernelMixture(X, Y[:-1], 1.0), r"expected rows \[n, d\] and labels \[n\], got \(60, 4\) and \(59,\)"),
        (lambda: KernelMixture(X, Y, -1.0), r"width: expected a finite number above 0, got -1.0"),
        (lambda: gaussian_classes(2, 2, 0), r"with N ≥ 1"),
    ],
)
def test_misuse_says_what_was_expected_and_what_came(call, message):
    with pytest.raises(ValueError, match=message):
        call()
