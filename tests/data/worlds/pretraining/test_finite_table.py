"""Finite tables: exact proportions, and least losses against enumeration of the population and its minimisation."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize

from limen.arrays.random import stream
from limen.data.worlds.pretraining.finite_table import FiniteTable, collisions, contrastive, nt_xent
from limen.data.worlds.pretraining.names import HELDOUT, WORLDS

TABLES = [world for world in WORLDS.values() if isinstance(world, FiniteTable)]
SMALL = FiniteTable("small", np.array([[3, 0], [2, 0], [0, 5]]), copies=2)


@pytest.mark.parametrize("world", TABLES, ids=lambda w: w.name)
def test_a_table_has_exactly_its_probabilities(world):
    columns = world.columns("world:x")
    images, labels = columns["image"], columns["label"]
    assert images.shape == (world.rows, 8, 8, 1)
    counts = Counter(zip((image.tobytes() for image in images), labels.tolist(), strict=True))
    found = sorted((c, n / world.rows) for (_, c), n in counts.items())
    expected = sorted((c, p) for row in world.joint for c, p in enumerate(row) if p > 0)
    assert [c for c, _ in found] == [c for c, _ in expected]
    np.testing.assert_allclose([p for _, p in found], [p for _, p in expected], rtol=1e-12)
    assert len({image.tobytes() for image in images}) == len(world.joint)
    other = world.columns("world:x" + HELDOUT)
    assert {i.tobytes() for i in other["image"]} == {i.tobytes() for i in images}
    assert not np.array_equal(other["label"], labels)


@pytest.mark.parametrize("world", TABLES, ids=lambda w: w.name)
def test_the_supervised_optimum_is_that_of_the_loops(world):
    log = squared = 0.0
    for row in world.joint:
        q = row / row.sum()
        log -= sum(p * math.log(c) for p, c in zip(row, q, strict=True) if p > 0)
        squared += row.sum() * 0.5 * sum(c * (1 - c) for c in q)
    assert world.bayes("log") == pytest.approx(log, abs=1e-12)
    assert world.bayes("squared") == pytest.approx(squared, abs=1e-12)


@pytest.mark.parametrize("pairs", ["label", "views"])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_spectral_optimum_is_that_of_a_search(pairs, k):
    world = next(w for w in TABLES if w.name == "overlap")
    joint, p, rho = world.joint, world.images, world.classes
    similar = np.array([
        [sum(joint[x, c] * joint[y, c] / rho[c] for c in range(3)) if pairs == "label" else p[x] * (x == y)
         for y in range(6)] for x in range(6)
    ])  # fmt: skip

    def loss(flat):
        f = flat.reshape(6, k)
        products = f @ f.T
        return -2 * (similar * products).sum() + (np.outer(p, p) * products**2).sum()

    starts = [stream("spectral search", k, key).standard_normal(6 * k) for key in range(4)]
    best = min(minimize(loss, start, options={"maxiter": 2000}).fun for start in starts)
    assert best == pytest.approx(world.spectral(pairs, k), abs=1e-5)


def contrastive_population(f, groups, negatives, kind):
    """L_un where every group is one image: f [n_g, d], all tuples."""
    total, n = 0.0, range(len(groups))
    for c in n:
        for others in product(n, repeat=negatives):
            v = [float(f[c] @ f[c] - f[c] @ f[o]) for o in others]
            value = max(0.0, 1 + max(-x for x in v)) if kind == "hinge" else math.log2(1 + sum(math.exp(-x) for x in v))
            total += groups[c] * math.prod(groups[o] for o in others) * value
    return total


def nt_xent_population(z, groups, batch, temperature):
    """NT-Xent of a batch of single images whose views are themselves: all batches."""
    total = 0.0
    for rows in product(range(len(groups)), repeat=batch):
        value = np.mean([
            -1 / temperature + math.log(sum(
                (2 - (i == j)) * math.exp(float(z[rows[i]] @ z[rows[j]]) / temperature) for j in range(batch)
            )) for i in range(batch)
        ])  # fmt: skip
        total += math.prod(groups[r] for r in rows) * float(value)
    return total


def _simplex(n, radius):
    centred = np.eye(n) - 1 / n
    return radius * centred / np.linalg.norm(centred[0])


GROUPS = [np.array([0.5, 0.5]), np.array([0.7, 0.3]), np.full(3, 1 / 3), np.full(4, 1 / 4)]


@pytest.mark.parametrize("groups", GROUPS, ids=str)
@pytest.mark.parametrize("kind", ["logistic", "hinge"])
@pytest.mark.parametrize(("negatives", "radius"), [(1, 1.0), (2, 0.6), (3, 0.6)])
def test_a_simplex_has_the_least_contrastive_loss(groups, kind, negatives, radius):
    least = contrastive(groups, negatives, kind, radius)
    best = _simplex(len(groups), radius)
    assert contrastive_population(best, groups, negatives, kind) == pytest.approx(least, rel=1e-12)
    for key in range(12):
        rng = stream("contrastive other", key)
        other = best * rng.choice([0, 1]) + rng.standard_normal(best.shape) * rng.choice([0.05, 0.5])
        other *= radius / np.linalg.norm(other, axis=1, keepdims=True)
        assert contrastive_population(other, groups, negatives, kind) >= least - 1e-12


def test_spreading_a_class_over_several_points_costs_more():
    """Two classes of two images each, anywhere on the sphere, by enumeration of (x, x⁺, x⁻)."""
    least = contrastive(np.array([0.5, 0.5]), 1, "logistic", 1.0)
    for key in range(20):
        f = _simplex(2, 1.0).repeat(2, axis=0) + stream("spread", key).standard_normal((4, 2)) * 0.3
        f /= np.linalg.norm(f, axis=1, keepdims=True)
        value = np.mean([
            math.log2(1 + math.exp(-float(f[x] @ f[s] - f[x] @ f[n])))
            for x in range(4) for s in (x // 2 * 2, x // 2 * 2 + 1) for n in range(4)
        ])  # fmt: skip
        assert value > least


@pytest.mark.parametrize("groups", GROUPS, ids=str)
@pytest.mark.parametrize(("batch", "temperature"), [(2, 0.5), (3, 1.0), (4, 0.3)])
def test_a_simplex_has_the_least_nt_xent(groups, batch, temperature):
    least = nt_xent(groups, batch, temperature)
    best = _simplex(len(groups), 1.0)
    assert nt_xent_population(best, groups, batch, temperature) == pytest.approx(least, rel=1e-12)
    for key in range(8):
        other = best + stream("nt-xent other", key).standard_normal(best.shape) * 0.2
        other /= np.linalg.norm(other, axis=1, keepdims=True)
        assert nt_xent_population(other, groups, batch, temperature) >= least - 1e-12


def test_two_classes_on_a_sphere_are_the_formula_of_the_theory():
    tau, radius = 0.7**2 + 0.3**2, 1.3
    expected = tau + (1 - tau) * math.log2(1 + math.exp(-2 * radius**2))
    assert contrastive(np.array([0.7, 0.3]), 1, "logistic", radius) == pytest.approx(expected, rel=1e-12)


def test_collisions_are_a_law_and_unknown_for_unequal_groups():
    for groups in GROUPS:
        for negatives in (1, 5, 4000):
            assert collisions(groups, negatives).sum() == pytest.approx(1, rel=1e-9)
    expected = [math.comb(6, m) * 0.25**m * 0.75 ** (6 - m) for m in range(7)]
    np.testing.assert_allclose(collisions(np.full(4, 1 / 4), 6), expected, rtol=1e-12)
    assert collisions(np.array([0.7, 0.3]), 1)[1] == pytest.approx(0.58)
    unequal = np.array([0.5, 0.3, 0.2])
    assert contrastive(unequal, 1, "hinge", 1.0) is nt_xent(unequal, 2, 0.5) is collisions(unequal, 1) is None


def test_groups_are_classes_that_share_nothing_or_images():
    overlap = next(w for w in TABLES if w.name == "overlap")
    assert overlap.groups("label") is None
    np.testing.assert_allclose(overlap.groups("views"), overlap.images)
    np.testing.assert_allclose(SMALL.groups("label"), [0.5, 0.5])
    np.testing.assert_allclose(SMALL.groups("views"), [0.3, 0.2, 0.5])
