"""Laws of every world of labelled rows: samples, losses, posterior and Bayes risk tell of one and the same law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.data.worlds.clustered_rows import ClusteredRows
from limen.data.worlds.embeddings import KernelMixture, embeddings, smoothed
from limen.data.worlds.finite_class import finite_class
from limen.data.worlds.gaussian_classes import GaussianClasses, gaussian_classes
from limen.data.worlds.imbalance import long_tail
from limen.data.worlds.label_noise import LabelNoise
from limen.data.worlds.population import Population
from limen.data.worlds.subclusters import Subclusters, subclusters
from limen.data.worlds.world import LOSSES, LinearScores, expected_loss

ROWS = 20_000
RNG = np.random.default_rng(0)
MEANS = np.array([[1.5, 0.0, 0.3], [-1.0, 0.8, 0.0], [0.0, -1.2, 0.5]])
GAUSSIAN = GaussianClasses(MEANS, long_tail(3, 4.0))
REAL = (RNG.normal(size=(90, 3)) + MEANS[np.arange(90) % 3], np.arange(90) % 3)
LAWS = {
    "gaussian": GAUSSIAN,
    "two gaussians": GaussianClasses(MEANS[:2], np.array([0.8, 0.2])),
    "noisy gaussian": LabelNoise(GAUSSIAN, 0.2),
    "subclusters": Subclusters(RNG.normal(size=(2, 2, 3)) * 1.5),
    "noisy subclusters": LabelNoise(Subclusters(RNG.normal(size=(3, 1, 3)), 9.0), 0.1),
    "kernel mixture": KernelMixture(*REAL, 0.4),
    "finite class": finite_class(20, 3),
    "clustered rows": ClusteredRows(GAUSSIAN, size=1, shared=0.6),
}
POPULATIONS = {
    "gaussian rows": gaussian_classes(3, 3, 2000, label_noise=0.1),
    "subcluster rows": subclusters(3, 3, 2000),
    "smoothed rows": smoothed("real", REAL, copies=5),
    "embeddings": embeddings("real", REAL),
    "noisy embeddings": LabelNoise(embeddings("real", REAL), 0.25),
}
WORLDS = {**LAWS, **POPULATIONS}


def linear(classes: int) -> LinearScores:
    rng = np.random.default_rng(classes)
    return LinearScores(0.7 * rng.normal(size=(3, classes)), 0.3 * rng.normal(size=classes))


def curved(classes: int):
    rule = linear(classes)
    return lambda x: rule(np.tanh(x) + np.abs(x[:, ::-1]) / 3)


@pytest.mark.parametrize("rule", [linear, curved])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", WORLDS)
def test_the_mean_loss_of_a_sample_is_the_population_loss(name, loss, rule):
    """Within 4.5 standard errors of the sample and of the quadrature together."""
    world = WORLDS[name]
    rows, scores = world.sample(ROWS, np.random.default_rng(1)), rule(world.classes)
    losses = expected_loss(scores(rows.features), np.eye(world.classes)[rows.labels], loss)
    exact = world.population_integral(scores, loss)
    assert exact.error < 0.01 * exact.value
    assert abs(losses.mean() - exact.value) < 4.5 * np.hypot(losses.std() / np.sqrt(ROWS), exact.error)
    assert world.population_loss(scores, loss) == exact.value


@pytest.mark.parametrize("name", LAWS)
def test_the_posterior_is_the_frequency_of_the_label_among_rows_that_have_it(name):
    """In six groups of rows by posterior, for each class, within 4.5 standard errors."""
    law = LAWS[name]
    rows = law.sample(ROWS, np.random.default_rng(2))
    posterior = law.posterior(rows.features)
    assert np.allclose(posterior.sum(axis=1), 1, atol=1e-12)
    for c in range(law.classes):
        for part in np.array_split(np.argsort(posterior[:, c], kind="stable"), 6):
            p, hit = posterior[part, c], rows.labels[part] == c
            assert abs(hit.mean() - p.mean()) < 4.5 * np.sqrt((p * (1 - p)).sum()) / len(part) + 1e-4


@pytest.mark.parametrize("name", LAWS)
def test_the_bayes_risk_is_the_loss_of_the_posterior_and_no_rule_is_better(name):
    law = LAWS[name]
    rules = [curved(law.classes), lambda x: 2 * np.log(law.posterior(x) + 1e-300)]
    for loss in LOSSES:
        best, own = law.bayes_integral(loss), law.posterior
        if loss == "log":
            own = lambda x: np.log(np.maximum(law.posterior(x), 1e-300))  # noqa: E731
        attained = law.population_integral(own, loss)
        # two quadratures of one integrand where a closed form exists, one and the same elsewhere
        assert abs(attained.value - best.value) < 5 * np.hypot(attained.error, best.error) + 1e-9
        for rule in rules:
            assert law.population_integral(rule, loss).value > best.value - 5 * best.error - 1e-9
    assert law.bayes_risk == law.bayes_integral("log").value
    assert law.bayes_error == law.bayes_integral("zero-one").value


@pytest.mark.parametrize("name", WORLDS)
def test_nodes_are_probabilities(name):
    for at in WORLDS[name].nodes():
        assert abs(at.weights.sum() - 1) < 1e-12
        assert at.weights.min() >= 0
        assert np.allclose(at.conditional.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("name", POPULATIONS)
def test_losses_of_finite_populations_are_exact_and_ignore_the_order_of_rows(name):
    world = POPULATIONS[name]
    exact = world.population_integral(linear(world.classes))
    assert exact.error == 0
    inner = world.world if isinstance(world, LabelNoise) else world
    order = np.random.default_rng(3).permutation(len(inner))
    turned = replace(inner, features=inner.features[order], labels=inner.labels[order])
    turned = replace(world, world=turned) if isinstance(world, LabelNoise) else turned
    assert turned.population_loss(linear(world.classes)) == pytest.approx(exact.value, rel=1e-13)


@pytest.mark.parametrize("name", WORLDS)
def test_a_missing_bayes_risk_has_a_stated_reason(name):
    world = WORLDS[name]
    assert (world.bayes_risk is None) == world.bayes_note.startswith("unknown: ")
    assert (world.bayes_error is None) == (world.bayes_risk is None)
    assert (world.bayes_risk is None) == ("embeddings" in name)


@pytest.mark.parametrize("name", WORLDS)
def test_samples_are_reproducible_and_streams_differ(name):
    world = WORLDS[name]
    one, again, other = (world.sample(9, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one.features, again.features)
    assert np.array_equal(one.labels, again.labels)
    assert not np.array_equal(one.features, other.features)
    assert one.classes == tuple(str(c) for c in range(world.classes))
    assert one.labels.dtype == np.int64


@pytest.mark.parametrize("name", WORLDS)
def test_misuse_says_what_was_expected_and_what_came(name):
    world = WORLDS[name]
    with pytest.raises(ValueError, match=r"scores: expected shape .* got"):
        world.population_loss(lambda x: x[:, :1])
    with pytest.raises(ValueError, match=r"loss: expected one of log, squared, zero-one, got 'hinge'"):
        world.population_loss(linear(world.classes), "hinge")
    if world.bayes_risk is not None:
        with pytest.raises(ValueError, match=r"loss: expected one of .* got 'hinge'"):
            world.bayes_integral("hinge")


def test_a_population_without_law_has_no_posterior():
    with pytest.raises(ValueError, match=r"real: expected a population with a known law, got rows alone"):
        POPULATIONS["embeddings"].posterior(np.zeros((1, 3)))


def test_a_population_whose_law_has_other_classes_is_refused():
    with pytest.raises(ValueError, match=r"law: expected 2 classes, got 3"):
        Population("p", np.zeros((2, 3)), np.array([0, 1]), 2, GAUSSIAN)
