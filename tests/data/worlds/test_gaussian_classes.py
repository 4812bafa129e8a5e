"""Gaussian classes: closed forms against quadrature and the textbook, invariances, priors."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from limen.data.worlds.class_world import ClassWorld
from limen.data.worlds.gaussian_classes import GaussianClasses, gaussian_classes
from limen.data.worlds.imbalance import long_tail
from limen.data.worlds.world import LOSSES, LinearScores

RNG = np.random.default_rng(0)
MEANS = RNG.normal(size=(4, 5))


@pytest.mark.parametrize("prior", [0.5, 0.9, 0.01])
@pytest.mark.parametrize("distance", [0.5, 2.0, 5.0])
def test_bayes_error_of_two_classes_is_the_textbook_formula(prior, distance):
    law = GaussianClasses(distance * np.array([[0.6, 0.0], [0.0, 0.8]]), np.array([prior, 1 - prior]))
    tau = np.log(prior / (1 - prior))
    known = prior * scipy.special.ndtr(-distance / 2 - tau / distance)
    known += (1 - prior) * scipy.special.ndtr(-distance / 2 + tau / distance)
    assert law.bayes_error == pytest.approx(known, abs=1e-14)


@pytest.mark.parametrize("prior", [0.5, 0.9])
def test_bayes_risk_of_two_classes_is_the_integral_of_the_entropy(prior):
    law = GaussianClasses(np.array([[-1.0], [1.0]]), np.array([prior, 1 - prior]))

    def entropy(x):
        joint = np.array([prior, 1 - prior]) * scipy.stats.norm.pdf(x - law.means[:, 0])
        return joint.sum() * scipy.special.entr(joint / joint.sum()).sum()

    assert law.bayes_risk == pytest.approx(scipy.integrate.quad(entropy, -10, 10, epsabs=1e-12)[0], abs=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [0.0, 0.5, 4.0])
def test_closed_forms_of_linear_scores_agree_with_the_nodes(loss, scale):
    rule = LinearScores(scale * RNG.normal(size=(5, 2)), RNG.normal(size=2))
    law = GaussianClasses(MEANS[:2], np.array([0.7, 0.3]))
    exact, nodes = law.population_integral(rule, loss), ClassWorld.population_integral(law, rule, loss)
    assert exact.error == 0
    assert abs(exact.value - nodes.value) < 5.4 * nodes.error + 1e-12


def test_the_squared_loss_of_many_classes_is_closed():
    rule = LinearScores(RNG.normal(size=(5, 4)), RNG.normal(size=4))
    law = GaussianClasses(MEANS, long_tail(4, 3.0))
    nodes = ClassWorld.population_integral(law, rule, "squared")
    assert abs(law.population_loss(rule, "squared") - nodes.value) < 5.4 * nodes.error


def test_a_constant_rule_predicts_the_lowest_label_among_ties():
    law = GaussianClasses(MEANS[:2], np.array([0.7, 0.3]))
    flat = np.zeros((5, 2))
    for intercept, error in (([0.0, 0.0], 0.3), ([1.0, 0.0], 0.3), ([0.0, 1.0], 0.7)):
        assert law.population_loss(LinearScores(flat, np.array(intercept)), "zero-one") == pytest.approx(error)


def test_bayes_risk_ignores_rotations_shifts_and_the_order_of_classes():
    law = GaussianClasses(MEANS, long_tail(4, 5.0))
    turn = np.linalg.qr(RNG.normal(size=(5, 5)))[0]
    order = np.array([2, 0, 3, 1])
    base = law.bayes_integral()
    for other in (
        GaussianClasses(MEANS @ turn + 3.0, law.priors),
        GaussianClasses(MEANS[order], law.priors[order]),
    ):
        found = other.bayes_integral()
        assert abs(found.value - base.value) < 5.4 * np.hypot(found.error, base.error)
    assert base.error < 1e-3


def test_a_dimension_without_signal_changes_nothing():
    wider = GaussianClasses(np.hstack([MEANS, np.zeros((4, 3))])).bayes_integral()
    found = GaussianClasses(MEANS).bayes_integral()
    assert abs(wider.value - found.value) < 5.4 * np.hypot(found.error, wider.error)


def test_a_class_of_share_zero_is_not_drawn_and_costs_nothing():
    two = GaussianClasses(MEANS[:2], np.array([0.4, 0.6]))
    three = GaussianClasses(MEANS[:3], np.array([0.4, 0.6, 0.0]))
    assert 2 not in three.sample(2000, np.random.default_rng(1)).labels
    found = three.bayes_integral()
    assert abs(found.value - two.bayes_risk) < 5.4 * found.error


def test_separation_and_imbalance_lower_the_bayes_risk():
    risks = [gaussian_classes(4, 5, 2000, separation=s, seed=1).bayes_risk for s in (0.0, 0.5, 1.0, 2.0)]
    assert sorted(risks, reverse=True) == risks
    assert risks[0] == pytest.approx(np.log(4), abs=1e-12)
    skewed = [GaussianClasses(0 * MEANS, long_tail(4, r)).bayes_risk for r in (1.0, 3.0, 30.0)]
    assert skewed == pytest.approx([scipy.special.entr(long_tail(4, r)).sum() for r in (1.0, 3.0, 30.0)], abs=1e-12)


def test_the_population_is_a_draw_of_its_law():
    """The mean entropy over 20,000 rows is the Bayes risk of the law, within 4.5 standard errors."""
    world = gaussian_classes(4, 5, 20_000, label_noise=0.1, seed=2)
    exact = world.law.bayes_integral()
    spread = scipy.special.entr(world.posterior(world.features)).sum(axis=1).std() / np.sqrt(len(world))
    assert abs(world.bayes_risk - exact.value) < 4.5 * np.hypot(spread, exact.error)


@pytest.mark.parametrize(
    ("means", "priors", "message"),
    [
        (MEANS[:1], None, r"means: expected finite \[K, d\] with K ≥ 2, got shape \(1, 5\)"),
        (MEANS[0], None, r"means: expected finite \[K, d\]"),
        (MEANS * np.nan, None, r"means: expected finite"),
        (MEANS, np.array([0.5, 0.5]), r"priors: expected 4 shares, got shape \(2,\)"),
        (MEANS, np.array([0.5, 0.5, 0.5, 0.5]), r"priors: expected shares .* got sum 2"),
        (MEANS, np.array([1.5, -0.5, 0.0, 0.0]), r"priors: expected shares of at least 0"),
    ],
)
def test_laws_that_are_none_are_refused(means, priors, message):
    with pytest.raises(ValueError, match=message):
        GaussianClasses(means, priors)
