"""Secant curvature: the Hessian for small steps of a smooth loss, the mean over the segment always, kinks included."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import curvature_cases as cases  # noqa: E402
from torch import nn  # noqa: E402

from limen.measure.curvature.secant import secant_curvature  # noqa: E402
from limen.measure.curvature.spectrum import curvature  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch


def test_on_a_smooth_loss_it_tends_to_the_hessian_with_the_square_of_the_scale():
    model, batches = cases.classifier(), cases.labelled()
    found = curvature(model, cases.cross_entropy, batches, modes=4, tolerance=1e-9)
    misses = []
    for scale in (1e-1, 1e-2):
        s = secant_curvature(model, cases.cross_entropy, batches, found, scale)
        assert (s.kind, s.scale, s.error_bounds) == ("secant", scale, None)
        misses.append(np.abs(s.eigenvalues - found.eigenvalues).max())
    assert misses[0] / misses[1] == pytest.approx(100, rel=0.3)


def test_it_is_the_mean_of_the_hessian_over_the_segment():
    model, batches = cases.classifier(), cases.labelled()
    found = curvature(model, cases.cross_entropy, batches, modes=2, tolerance=1e-9)
    s = secant_curvature(model, cases.cross_entropy, batches, found, 0.7)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    u, total = torch.from_numpy(found.vectors[0]), 0.0
    start = [p.detach().clone() for p in model.parameters()]
    for node, weight in zip(nodes, weights, strict=True):
        moved, offset = copy.deepcopy(model), 0
        with torch.no_grad():
            for p, before in zip(moved.parameters(), start, strict=True):
                p.copy_(before + 0.7 * node * u[offset : offset + p.numel()].view(p.shape))
                offset += p.numel()
        hessian = cases.dense_hessian(moved, cases.cross_entropy, batches)
        total += weight / 2 * (found.vectors[0] @ hessian @ found.vectors[0])
    assert np.isclose(s.eigenvalues[0], total, rtol=1e-6)


def test_with_relu_the_kinks_between_the_gradients_count():
    """|x| summed over shifted units: the Hessian is 0 almost everywhere, the secant sees the kinks it passes."""

    class Kinks(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([0.05, 1.0], dtype=torch.float64))

    def loss(model, batch):
        return nn.functional.relu(model.w[0] - batch[0]).mean() + model.w[1] ** 2 / 2

    at = torch.linspace(-1, 1, 201).double()
    model = Kinks()
    found = curvature(model, loss, [(at,)], modes=2, tolerance=1e-9)
    assert np.allclose(np.sort(found.eigenvalues), [0.0, 1.0])
    s = secant_curvature(model, loss, [(at,)], found, 0.5)
    flat = int(np.argmin(found.eigenvalues))
    assert s.eigenvalues[flat] == pytest.approx(0.5, rel=0.02)  # the density of kinks: 201 over a length of 2


def test_weights_are_put_back_bit_for_bit_also_when_the_loss_fails():
    model, batches = cases.classifier(), cases.labelled()
    found = curvature(model, cases.cross_entropy, batches, modes=2)
    before = copy.deepcopy(model.state_dict())
    secant_curvature(model, cases.cross_entropy, batches, found, 1e-3)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))

    def fails_when_moved(model, batch):
        loss = cases.cross_entropy(model, batch)
        return loss if torch.equal(model[0].weight, before["0.weight"]) else loss * float("nan")

    with pytest.raises(BadInput, match="finite"):
        secant_curvature(model, fails_when_moved, batches, found, 1e-3)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))


def test_misuse_is_named():
    model, batches = cases.classifier(), cases.labelled()
    found = curvature(model, cases.cross_entropy, batches, modes=1)
    with pytest.raises(BadInput, match="scale: error"):
        secant_curvature(model, cases.cross_entropy, batches, found, -1.0)
    with pytest.raises(BadInput, match="this model's parameters"):
        secant_curvature(cases.classifier(width=7), cases.cross_entropy, batches, found, 1.0)
