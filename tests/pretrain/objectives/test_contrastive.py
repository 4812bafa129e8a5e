"""Contrastive loss: against loops over the definition, its expectation by enumeration, collisions of a batch."""

from __future__ import annotations

import math
from itertools import permutations, product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.arrays.random import stream  # noqa: E402
from limen.models.architectures.registry import build  # noqa: E402
from limen.pretrain.examples import Batch  # noqa: E402
from limen.pretrain.objectives.contrastive import Contrastive, contrastive_loss  # noqa: E402
from limen.pretrain.views.strengths import Augmentation  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch
SURROGATES = ("logistic", "hinge")


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def surrogate(v: list[float], kind: str) -> float:
    """ℓ of the margins of one anchor."""
    if kind == "hinge":
        return max(0.0, 1 + max(-x for x in v))
    return math.log2(1 + sum(math.exp(-x) for x in v))


def slow_loss(anchors, similar, negatives, kind):
    """The definition with blocks: anchors [B][d], similar [B][b][d], the negatives of i are the blocks after it."""
    total = 0.0
    for i, f in enumerate(anchors):
        mean = [sum(float(f @ s) for s in block) / len(block) for block in similar]
        total += surrogate([mean[i] - float(f @ np.mean(similar[(i + n) % len(anchors)], axis=0))
                            for n in range(1, negatives + 1)], kind)  # fmt: skip
    return total / len(anchors)


@pytest.mark.parametrize("kind", SURROGATES)
@pytest.mark.parametrize(("size", "negatives", "block"), [(2, 1, 1), (5, 1, 3), (5, 4, 1), (7, 3, 2)])
def test_equals_the_loops(kind, size, negatives, block):
    rng = stream("contrastive", size, negatives)
    anchors, similar = rng.standard_normal((size, 3)), rng.standard_normal((size, block, 3))
    fast = contrastive_loss(torch.from_numpy(anchors), torch.from_numpy(similar.mean(axis=1)), negatives, kind)
    assert float(fast) == pytest.approx(slow_loss(anchors, similar, negatives, kind), rel=1e-12)


def _encoder():
    encoder = build({"name": "mlp", "hidden": [5], "in_channels": 1, "image_size": 4}).double()
    encoder.initialise(stream("contrastive encoder"))
    return encoder


@pytest.mark.parametrize("kind", SURROGATES)
def test_a_batch_with_partners_is_the_definition_on_a_sphere_of_the_radius(kind):
    encoder, rng = _encoder(), stream("contrastive batch")
    inputs, partners = torch.from_numpy(rng.random((6, 1, 4, 4))), torch.from_numpy(rng.random((6, 2, 1, 4, 4)))
    objective = Contrastive(pairs="label", negatives=2, block=2, surrogate=kind, radius=1.7)
    assert objective.partners == 2
    found = objective.batch_loss(encoder, objective.head(encoder, rng), Batch(inputs, None, partners), rng)

    def f(x):
        z = encoder(x[None])[0].detach().numpy()
        return 1.7 * z / math.sqrt(sum(v * v for v in z))

    similar = [[f(x) for x in row] for row in partners]
    assert float(found.detach()) == pytest.approx(slow_loss([f(x) for x in inputs], similar, 2, kind), rel=1e-12)


def test_views_of_an_example_are_drawn_independently_for_anchor_and_block():
    """With pairs of views the anchor has one view, and its block `block` others; without augmentation all are equal."""
    encoder, inputs = _encoder(), torch.from_numpy(stream("contrastive views").random((4, 1, 4, 4)))
    plain = Contrastive(pairs="views", block=3)
    assert plain.partners == 0
    head = plain.head(encoder, stream("head"))
    f = torch.nn.functional.normalize(encoder(inputs), dim=1)
    found = plain.batch_loss(encoder, head, Batch(inputs), stream("v"))
    torch.testing.assert_close(found, contrastive_loss(f, f, 1, "logistic"))
    noisy = Contrastive(Augmentation(noise=0.3), pairs="views", block=3)
    assert float(noisy.batch_loss(encoder, head, Batch(inputs), stream("v")).detach()) != pytest.approx(
        float(found.detach())
    )


@pytest.mark.parametrize("kind", SURROGATES)
@pytest.mark.parametrize("negatives", [1, 2])
def test_its_mean_over_independent_batches_is_the_population_loss(kind, negatives):
    """All batches of three independent (class, image, similar image) against all tuples of the definition."""
    joint = np.array([[0.3, 0.0], [0.2, 0.1], [0.0, 0.4]])
    rho, f = joint.sum(axis=0), stream("contrastive population", kind).standard_normal((3, 2))
    pairs = [
        (rho[c] * joint[x, c] / rho[c] * joint[y, c] / rho[c], x, y)
        for c in range(2) for x in range(3) for y in range(3) if joint[x, c] * joint[y, c] > 0
    ]  # fmt: skip
    marginal, population = joint.sum(axis=1), 0.0
    for p, x, y in pairs:
        for others in product(range(3), repeat=negatives):
            weight = p * math.prod(marginal[z] for z in others)
            population += weight * surrogate([float(f[x] @ f[y] - f[x] @ f[z]) for z in others], kind)
    batches = list(product(pairs, repeat=3))
    losses = [
        float(contrastive_loss(torch.from_numpy(f[[x for _, x, _ in b]]), torch.from_numpy(f[[y for _, _, y in b]]),
                               negatives, kind)) for b in batches
    ]  # fmt: skip
    weights = [math.prod(p for p, _, _ in b) for b in batches]
    assert float(np.dot(weights, losses)) == pytest.approx(population, rel=1e-12)


@pytest.mark.parametrize("radius", [0.5, 1.0, 2.0])
def test_negatives_collide_as_the_statement_says(radius):
    """Over all orders of five examples, cut to batches of three: two classes at the poles give the loss exactly."""
    labels = [0, 0, 0, 1, 1]
    tau = sum(labels.count(c) / 5 * (labels.count(c) - 1) / 4 for c in (0, 1))
    points = torch.tensor([[radius, 0.0], [-radius, 0.0]], dtype=torch.float64)
    losses = []
    for order in permutations(range(5), 3):
        f = points[[labels[i] for i in order]]
        losses.append(float(contrastive_loss(f, f, 1, "logistic")))
    expected = tau * 1 + (1 - tau) * math.log2(1 + math.exp(-2 * radius**2))
    assert np.mean(losses) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("negatives", [1, 3, 6])
def test_equal_representations_cost_the_value_at_zero(negatives):
    one = torch.ones(8, 2, dtype=torch.float64)
    assert float(contrastive_loss(one, one, negatives, "logistic")) == pytest.approx(math.log2(1 + negatives))
    assert float(contrastive_loss(one, one, negatives, "hinge")) == 1.0


def test_too_small_a_batch_is_named():
    encoder, objective = _encoder(), Contrastive(negatives=4)
    with pytest.raises(BadInput, match="more than the 4 negatives"):
        objective.batch_loss(encoder, torch.nn.Identity(), Batch(torch.zeros(4, 1, 4, 4).double()), stream("v"))


def test_every_option_is_part_of_the_name():
    changes = ({}, {"pairs": "label"}, {"negatives": 2}, {"block": 2}, {"surrogate": "hinge"}, {"radius": 2.0},
               {"views": Augmentation(noise=0.1)})  # fmt: skip
    assert len({Contrastive(**change).loss_name(64) for change in changes}) == len(changes)
    assert Contrastive().loss_name(32) == Contrastive().loss_name(64)
