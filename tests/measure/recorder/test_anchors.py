"""Anchors: births by octaves, places that are used again, lags on the grid, exact values, bounded cost."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.measure.recorder.anchors import PLACES, Anchors, on_grid  # noqa: E402
from limen.measure.recorder.flat import FlatParameters  # noqa: E402

pytestmark = pytest.mark.torch


def _walked(steps, places, size=50):
    """A random walk watched by anchors, with every position kept; the sketch is the identity."""
    torch.manual_seed(0)
    parameters = [
        torch.nn.Parameter(torch.randn(size, dtype=torch.float64)),
        torch.nn.Parameter(torch.randn(3).double()),
    ]
    weights = FlatParameters(parameters, [0, 0])
    anchors = Anchors(weights, weights.copy(), places, size + 3)

    def now():
        return np.concatenate([p.detach().numpy().copy() for p in parameters])

    path, pairs = [now()], []
    for step in range(1, steps + 1):
        with torch.no_grad():
            for parameter in parameters:
                parameter += torch.randn_like(parameter)
        path.append(now())
        offset = path[-1] - path[0]
        pairs += anchors.look(step, offset, float(offset @ offset))
    return anchors, np.array(path), pairs


def test_values_are_the_displacements_whatever_place_a_copy_has():
    anchors, path, pairs = _walked(1200, places=3)
    rows = anchors.rows
    assert {birth for birth, _, _ in rows} == {0, 64, 128, 256, 512, 1024}
    for birth, lag, value in rows:
        assert value == pytest.approx(np.sum((path[birth + lag] - path[birth]) ** 2), rel=1e-12)
        assert on_grid(lag, 20 if birth == 0 else 10)
    for exact, sketched in pairs:
        assert sketched == pytest.approx(exact)


def test_the_oldest_birth_after_the_reference_makes_room():
    anchors, _, _ = _walked(1200, places=3)
    assert [anchor.birth for anchor in anchors._anchors] == [0, 256, 512, 1024]
    last = {birth: max(lag for b, lag, _ in anchors.rows if b == birth) + birth for birth in (0, 64, 128, 1024)}
    assert last[64] <= 512
    assert last[128] <= 1024
    assert last[0] > 1100
    assert last[1024] > 1100
    assert not any(birth for birth, _, _ in _walked(100, places=0)[0].rows)


@pytest.mark.parametrize("begin", [4096, 16_384, 131_072])
def test_readings_between_t_and_twice_t_do_not_grow(begin):
    births = [begin >> shift for shift in range(PLACES["full"])]
    readings = sum(on_grid(step - birth) for birth in births for step in range(begin + 1, 2 * begin + 1))
    assert 35 <= readings <= 75
