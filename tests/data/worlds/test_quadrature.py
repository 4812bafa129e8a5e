"""Quadrature: known expectations, and errors that are as large as stated."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import scipy.special

from limen.data.worlds.quadrature import normal_line, normal_nodes, over_sets, uniform_nodes


@pytest.mark.parametrize("slope", [0.0, 1.0, 7.0, 40.0])
def test_the_line_integrates_softplus(slope):
    t, w = normal_line()

    def density(x):
        return np.logaddexp(0, slope * x + 1) * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)

    kink = [] if slope == 0 else [-1 / slope]
    reference = scipy.integrate.quad(density, -12, 12, points=kink, epsabs=1e-13, epsrel=1e-13, limit=500)[0]
    assert w @ np.logaddexp(0, slope * t + 1) == pytest.approx(reference, abs=3e-12)


FUNCTIONS = {
    "square": (lambda x: (x**2).sum(axis=-1), lambda d: d),
    "exponential": (lambda x: np.exp(x.sum(axis=-1) / np.sqrt(x.shape[-1])), lambda d: np.exp(0.5)),
    "half-space": (lambda x: (x.sum(axis=-1) > np.sqrt(x.shape[-1])) * 1.0, lambda d: scipy.special.ndtr(-1)),
}


@pytest.mark.parametrize("dimension", [1, 4, 30])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_known_expectations_lie_within_the_stated_error(name, dimension):
    """5.4 standard errors: the t quantile with 7 degrees of freedom at 99.9 %."""
    function, truth = FUNCTIONS[name]
    found = over_sets([float(function(x).mean()) for x in normal_nodes(dimension)])
    resolution = 1 / 16_384 if name == "half-space" else 0.0
    assert abs(found.value - truth(dimension)) <= 5.4 * found.error + resolution
    # plain random points of the same number would have this error
    random = np.random.default_rng(0).normal(size=(8 * 2048, dimension))
    assert found.error < 0.8 * function(random).std() / np.sqrt(8 * 2048)


def test_the_sets_differ_and_the_nodes_cannot_be_changed():
    nodes = uniform_nodes(2)
    assert not np.array_equal(nodes[0], nodes[1])
    assert nodes.min() > 0
    assert nodes.max() < 1
    with pytest.raises(ValueError, match="read-only"):
        nodes[0, 0, 0] = 0.5


def test_a_dimension_below_one_is_refused():
    with pytest.raises(ValueError, match=r"dimension: expected a whole number of at least 1, got 0"):
        uniform_nodes(0)
