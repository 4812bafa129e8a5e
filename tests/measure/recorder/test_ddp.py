"""Two processes under DistributedDataParallel record what one process with the whole batch does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recorder_cases import Modes, batches, network, train  # noqa: E402

from limen.measure.recorder.read import read_run  # noqa: E402
from limen.measure.recorder.recorder import record  # noqa: E402

WORKER = Path(__file__).parent / "ddp_worker.py"
STEPS, SIZE = 60, 16
OPTIONS = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}
SCALARS = ("velocity_norm2", "gradient_norm2", "offset_norm2", "step_norm2")
PRODUCTS = ("offset_dot_gradient", "offset_dot_velocity")

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo"),
]


def test_rank_0_records_the_run_of_one_process_with_the_same_batch(tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, str(WORKER), str(tmp_path / "two")],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), **OPTIONS)
    with record(net, optimizer, tmp_path / "one", modes=Modes(net), batch_size=SIZE, every=25) as run:
        train(net, optimizer, batches(STEPS, SIZE), run.step)
    two, one = read_run(tmp_path / "two"), read_run(tmp_path / "one")
    assert (two.info.steps, two.info.ended, two.info.batch_size, two.info.damaged) == (STEPS, True, SIZE, 0)
    assert two.info.parameters == one.info.parameters
    np.testing.assert_allclose(two.loss, one.loss, rtol=1e-6)
    for name in SCALARS:
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), rtol=1e-5, err_msg=name)
    for name in PRODUCTS:
        scale = np.sqrt(one.offset_norm2 * one.velocity_norm2) + 1e-12
        assert np.abs(getattr(two, name) - getattr(one, name)).max() <= 1e-5 * scale.max(), name
    for name in ("positions", "velocities", "sketch"):
        there, here = getattr(two, name), getattr(one, name)
        assert np.abs(there - here).max() <= 1e-5 * np.abs(here).max(), name
    np.testing.assert_allclose(two.displacements.value, one.displacements.value, rtol=1e-5)
    assert two.displacements.lag.tolist() == one.displacements.lag.tolist()
    assert all(test.passed for test in two.info.self_tests)
