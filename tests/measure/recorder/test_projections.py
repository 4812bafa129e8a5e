"""Projections: blocked and one by one give the same rows; the recursion is held to what is projected anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recorder_cases import Modes, network  # noqa: E402

from limen.measure.recorder.flat import FlatParameters  # noqa: E402
from limen.measure.recorder.projections import Projections, basis_of  # noqa: E402
from limen.measure.recorder.sketch import CountSketch  # noqa: E402
from limen.measure.recorder.track import LinearTrack, drift_allowed  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402
from limen.records.trajectory import OptimizerSettings  # noqa: E402

pytestmark = pytest.mark.torch
SAID = OptimizerSettings("SGD", 0.1, 0.9, 0.0, False, (0.0,), False, False)


def _made(held):
    net = network()
    weights = FlatParameters(list(net.parameters()), [0] * 4)
    names = [name for name, _ in net.named_parameters()]
    basis, values = basis_of(Modes(net), names, weights)
    return Projections(basis, weights, held), weights, values


def _fed(held, steps=13):
    projections, weights, _ = _made(held)
    rng = np.random.default_rng(0)
    buffers = rng.standard_normal((steps, weights.total), dtype=np.float32)
    for index, buffer in enumerate(buffers):
        parts = weights.split(buffer)
        for stretch in CountSketch(weights.sizes, 64, 0).stretches:
            projections.visit(stretch, parts[stretch.parameter][stretch.where])
        projections.close_row(replace(SAID, learning_rate=0.1 if index < 6 else 0.01))
    return projections, buffers


@pytest.mark.parametrize("held", [1, 2, 8, 20])
def test_rows_do_not_depend_on_how_many_buffers_are_held(held):
    projections, buffers = _fed(held)
    positions, velocities = projections.first(13)
    rates = np.where(np.arange(13) < 6, 0.1, 0.01)
    truth = -buffers.astype(float) @ projections.basis.T.astype(float)
    np.testing.assert_allclose(velocities, truth, atol=1e-5)
    np.testing.assert_allclose(positions, np.cumsum(rates[:, None] * truth, axis=0), atol=1e-5)
    assert projections.first(0)[0].shape == (0, 3)


def test_rows_that_are_not_yet_closed_stay():
    projections, _ = _fed(8)
    first = projections.first(10)
    np.testing.assert_array_equal(first[0], projections.first(10)[0])
    projections.drop(10)
    second = projections.first(3)
    assert len(first[0]) == 10
    assert len(second[0]) == 3
    assert not np.array_equal(first[0][-1], second[0][0])


def test_skipped_rows_repeat_and_rows_without_numbers_are_none():
    projections, _ = _fed(8, 3)
    projections.repeat_row(finite=True)
    projections.repeat_row(finite=False)
    positions, velocities = projections.first(5)
    np.testing.assert_array_equal(positions[3], positions[2])
    np.testing.assert_array_equal(velocities[3], velocities[2])
    assert np.isnan(positions[4]).all()


def test_a_basis_follows_the_memory_order_of_the_weights():
    conv = torch.nn.Conv2d(3, 4, 3, bias=False).to(memory_format=torch.channels_last)
    weights = FlatParameters([conv.weight], [0])
    reference = weights.copy()
    direction = torch.randn(4, 3, 3, 3)
    direction /= direction.norm()
    modes = type("M", (), {"vectors": direction.reshape(1, -1).numpy(), "eigenvalues": np.ones(1)})
    basis, _ = basis_of(modes, ["weight"], weights)
    with torch.no_grad():
        conv.weight += 0.5 * direction
    found = Projections(basis, weights, 1).anew(reference)
    assert found[0] == pytest.approx(0.5 * float(direction.square().sum()), rel=1e-5)


def test_counts_that_do_not_fit_are_named():
    net = network()
    weights = FlatParameters(list(net.parameters()), [0] * 4)
    names = [name for name, _ in net.named_parameters()]
    modes = Modes(net)
    modes.eigenvalues = modes.eigenvalues[:2]
    with pytest.raises(BadInput, match="one vector an eigenvalue"):
        basis_of(modes, names, weights)


def test_modes_that_are_no_numbers_or_not_orthonormal_are_refused():
    net = network()
    weights = FlatParameters(list(net.parameters()), [0] * 4)
    names = [name for name, _ in net.named_parameters()]
    modes = Modes(net)
    modes.eigenvalues = np.array([3.0, np.nan, 1.0])
    modes.vectors[2] = 2 * modes.vectors[1]
    with pytest.raises(BadInput) as caught:
        basis_of(modes, names, weights)
    assert [problem.what.split(",")[0] for problem in caught.value.problems] == [
        "expected finite eigenvalues",
        "expected orthonormal directions",
    ]
    modes = Modes(net)
    modes.vectors[0, 0] = np.nan
    with pytest.raises(BadInput, match="expected orthonormal directions, got products off by nan"):
        basis_of(modes, names, weights)


def test_drift_is_told_and_taken_back():
    track = LinearTrack(np.zeros(2))
    track.moved(np.array([1.0, 0.0]), SAID)
    assert track.drift(np.array([-0.1, 3.0])) == pytest.approx(3.0)
    np.testing.assert_array_equal(track.position, [-0.1, 3.0])
    assert track.drift(np.array([-0.1, 3.0])) == 0


def test_rounding_of_float32_weights_stays_inside_the_allowed_drift():
    """A thousand updates of float32 weights, projected by recursion and anew: the honest case must pass."""
    rng = np.random.default_rng(0)
    n = 4000
    basis = np.linalg.qr(rng.standard_normal((n, 3)))[0].T.astype(np.float32)
    weights = rng.standard_normal(n).astype(np.float32)
    start, norm = weights.copy(), float(np.linalg.norm(weights))
    track, path = LinearTrack(np.zeros(3)), 0.0
    for _ in range(1000):
        buffer = 1e-3 * rng.standard_normal(n).astype(np.float32)
        weights = weights - np.float32(0.1) * buffer
        track.moved((basis @ buffer).astype(np.float64), SAID)
        path += 0.1 * float(np.linalg.norm(buffer))
    apart = track.drift(basis.astype(float) @ (weights - start).astype(float))
    assert 0 < apart < drift_allowed(path, norm, 1000)
    assert drift_allowed(path, norm, 1000) < 0.01 * path
