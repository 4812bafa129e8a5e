"""Passes through torch are the passes of numpy, to the precision asked for; a device that is not there has a name."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from limen.adapt.curvature import scaled_gram
from limen.adapt.passes import Passes
from limen.adapt.probe_path import probe_path
from limen.adapt.quasi_newton import descend
from limen.records.errors import BadInput

torch = pytest.importorskip("torch")
module = pytest.importorskip("limen.adapt.torch_passes")
RNG = np.random.default_rng(2)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def case(classes, problems, n=700, r=9):
    x, y = RNG.normal(size=(n, r)), RNG.integers(0, classes, n)
    shares = None if problems is None else RNG.dirichlet(np.ones(n), size=problems)
    return x, y, classes, shares


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("problems", [None, 3])
@pytest.mark.parametrize("constant", [0.0, 0.7])
@pytest.mark.parametrize(("precision", "tolerance"), [(np.float32, 3e-6), (np.float64, 1e-13)])
def test_values_gradients_and_spreads_are_those_of_numpy(
    classes, problems, constant, precision, tolerance, monkeypatch
):
    monkeypatch.setattr(module, "BLOCK_SCORES", 1 << 10)  # several blocks
    x, y, classes, shares = case(classes, problems)
    here, there = Passes(x, y, classes, shares, np.float64, constant), module.TorchPasses(
        x, y, classes, shares, precision, constant
    )  # fmt: skip
    which = np.array([2, 0]) if problems else np.array([0, 0])
    weights = RNG.normal(size=(2, classes, x.shape[1] + bool(constant)))
    for asked, found in zip(here.measure(weights, which, True), there.measure(weights, which, True), strict=True):
        assert found.dtype == np.float64
        assert np.abs(asked - found).max() < tolerance * max(1.0, float(np.abs(asked).max()))
    assert not there.measure(weights, which)[2].any()
    spread = there.spread(weights[1], int(which[1]))
    assert spread.dtype == precision
    assert np.abs(here.spread(weights[1], int(which[1])) - spread).max() < tolerance
    assert there.count == 2 + 2 + 1


def test_sums_over_blocks_are_float64(monkeypatch):
    """Many equal losses of weight 1: a float32 running sum would lose the last digits of their total."""
    monkeypatch.setattr(module, "BLOCK_SCORES", 1 << 14)
    x, y = np.ones((300_000, 1), np.float32), np.zeros(300_000, np.int64)
    shares = np.ones((1, 300_000))
    value, gradient = module.TorchPasses(x, y, 2, shares)(np.zeros((1, 2, 1)), np.array([0]))
    assert value[0] == pytest.approx(3e5 * np.log(2), rel=1e-7)
    assert gradient[0, 0, 0] == pytest.approx(-1.5e5, rel=1e-7)


def test_the_solver_reaches_the_same_minimum_through_torch():
    x, y, classes, _ = case(4, None)
    values = np.full(9, 1.0)
    found = []
    for passes in (Passes(x, y, classes), module.TorchPasses(x, y, classes, None, np.float64)):
        curvature = scaled_gram(values, np.full(classes, 0.2), 0.1)
        start = 1e-3 * RNG.normal(size=(1, classes, 9))
        found.append(descend(passes, curvature, np.array([0.5]), (start, 1e-9), 200, lambda history: False))
    assert (found[0].gaps < 1e-9).all()
    assert (found[1].gaps < 1e-9).all()
    assert found[0].values == pytest.approx(found[1].values, abs=1e-9)


def test_tf32_is_off_inside_and_as_it_was_outside():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with module.exact_products(torch):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("device", ["cuda:63", "tpu", "meta"])
def test_a_device_that_is_not_there_has_a_name(device):
    x, y, classes, _ = case(2, None)
    with pytest.raises(BadInput) as caught:
        module.TorchPasses(x, y, classes, device=device)
    assert device in str(caught.value)
    assert "device=" in str(caught.value)


def test_importing_the_file_does_not_import_torch():
    code = "import sys, limen.adapt.torch_passes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("intercept", ["penalized", "free"])
def test_a_path_through_torch_is_the_path_of_numpy(intercept):
    x, y, _, _ = case(4, None)
    asked = {"penalties": [0.1, 0.003], "intercept": intercept, "tolerance": 1e-6}
    for here, there in zip(probe_path(x, y, **asked), probe_path(x, y, device="cpu", **asked), strict=True):
        assert there.certificate_.converged
        assert there.objective_ == pytest.approx(here.objective_, abs=2e-6)
    (here,), (there,) = (probe_path(x, y, radii=[0.5], intercept=intercept, device=d) for d in (None, "cpu"))
    assert there.objective_ == pytest.approx(here.objective_, abs=2e-4)
    with pytest.raises(BadInput, match="expected a GPU cuda:63"):
        probe_path(x, y, penalties=[0.1], device="cuda:63")
