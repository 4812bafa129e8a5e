"""Spectral contrastive loss: against loops, without bias by enumeration, its least value a matrix factorisation."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.arrays.random import stream  # noqa: E402
from limen.models.architectures.registry import build  # noqa: E402
from limen.pretrain.examples import Batch  # noqa: E402
from limen.pretrain.objectives.spectral import START, Spectral, spectral_loss  # noqa: E402
from limen.pretrain.views.strengths import Augmentation  # noqa: E402

pytestmark = pytest.mark.torch
SIMILAR = np.array([[0.2, 0.1, 0.0, 0.05], [0.1, 0.1, 0.05, 0.0], [0.0, 0.05, 0.15, 0.05], [0.05, 0.0, 0.05, 0.05]])
"""w_{xx'} of four views, symmetric with sum 1."""


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def population_loss(f, w):
    """−2 E f(x)ᵀf(x⁺) + E (f(x)ᵀf(x′))², one pair at a time."""
    margin, views = w.sum(axis=1), range(len(w))
    return sum(
        -2 * w[x, y] * float(f[x] @ f[y]) + margin[x] * margin[y] * float(f[x] @ f[y]) ** 2
        for x in views
        for y in views
    )


@pytest.mark.parametrize("size", [2, 3, 9])
def test_equals_the_loops(size):
    f, similar = (stream("spectral", size, part).standard_normal((size, 4)) for part in range(2))
    apart = [float(f[i] @ similar[j]) ** 2 for i in range(size) for j in range(size) if i != j]
    slow = -2 * np.mean([float(f[i] @ similar[i]) for i in range(size)]) + np.mean(apart)
    assert float(spectral_loss(torch.from_numpy(f), torch.from_numpy(similar))) == pytest.approx(slow, rel=1e-12)


@pytest.mark.parametrize("size", [2, 3])
def test_a_batch_of_independent_pairs_is_without_bias(size):
    f = stream("spectral bias").standard_normal((4, 2))
    pairs = [(SIMILAR[x, y], x, y) for x in range(4) for y in range(4) if SIMILAR[x, y] > 0]
    mean = 0.0
    for batch in product(pairs, repeat=size):
        one, two = f[[x for _, x, _ in batch]], f[[y for _, _, y in batch]]
        mean += math.prod(p for p, _, _ in batch) * float(spectral_loss(torch.from_numpy(one), torch.from_numpy(two)))
    assert mean == pytest.approx(population_loss(f, SIMILAR), rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_least_value_is_that_of_the_factorisation(k):
    margin = SIMILAR.sum(axis=1)
    adjacency = SIMILAR / np.sqrt(np.outer(margin, margin))
    values, vectors = np.linalg.eigh(adjacency)
    values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
    best = vectors * np.sqrt(np.maximum(values, 0)) / np.sqrt(margin)[:, None]
    least = -(np.maximum(values, 0) ** 2).sum()
    assert population_loss(best, SIMILAR) == pytest.approx(least, rel=1e-10)
    for key in range(20):
        rng = stream("spectral minimum", key)
        other = best + rng.standard_normal(best.shape) * rng.choice([0.01, 0.3, 2.0])
        assert population_loss(other, SIMILAR) > least


def test_it_is_the_distance_to_the_adjacency():
    margin = SIMILAR.sum(axis=1)
    adjacency = SIMILAR / np.sqrt(np.outer(margin, margin))
    f = stream("spectral identity").standard_normal((4, 3))
    scaled = f * np.sqrt(margin)[:, None]
    expected = ((adjacency - scaled @ scaled.T) ** 2).sum() - (adjacency**2).sum()
    assert population_loss(f, SIMILAR) == pytest.approx(expected, rel=1e-12)


def test_known_values():
    assert float(spectral_loss(torch.zeros(5, 3), torch.zeros(5, 3))) == 0.0
    one = torch.zeros(6, 3)
    one[:, 1] = 1.0
    assert float(spectral_loss(one, one)) == -1.0


@pytest.mark.parametrize("pairs", ["label", "views"])
def test_a_batch_is_the_loss_of_its_pairs(pairs):
    encoder = build({"name": "mlp", "hidden": [5], "in_channels": 1, "image_size": 4}).double()
    encoder.initialise(stream("spectral encoder"))
    inputs, others = (torch.from_numpy(stream("spectral inputs", i).random((6, 1, 4, 4))) for i in range(2))
    objective = Spectral(pairs=pairs, projection=3)
    assert objective.partners == (1 if pairs == "label" else 0)
    head = objective.head(encoder, stream("head")).double()
    found = objective.batch_loss(encoder, head, Batch(inputs, None, others[:, None]), stream("v"))
    similar = others if pairs == "label" else inputs
    torch.testing.assert_close(found, spectral_loss(head(encoder(inputs)), head(encoder(similar))))
    noisy = Spectral(Augmentation(noise=0.5), pairs, projection=3)
    assert float(noisy.batch_loss(encoder, head, Batch(inputs, None, others[:, None]), stream("v"))) != float(found)


def test_the_head_starts_near_zero_and_may_be_left_out():
    encoder = build({"name": "mlp", "hidden": [64], "in_channels": 1, "image_size": 4})
    head = Spectral(projection=64).head(encoder, stream("head"))
    scale = float(head[2].weight.detach().std()) * START * math.sqrt(64)
    assert scale == pytest.approx(math.sqrt(2 / 64), rel=0.05)
    assert isinstance(Spectral(projection=0).head(encoder, stream("head")), torch.nn.Identity)


def test_every_option_that_changes_the_loss_is_part_of_the_name():
    names = {Spectral(**c).loss_name(8) for c in ({}, {"pairs": "label"}, {"views": Augmentation(noise=0.1)})}
    assert len(names) == 3
