"""What is measured where a run of a study begins: pairs, noise, and a density where the run is long enough for one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.pretrain.objectives.supervised import supervised_loss  # noqa: E402
from limen.pretrain.populations import examples_of  # noqa: E402
from limen.pretrain.spec import PretrainSpec  # noqa: E402
from limen.study.record_dynamics import (  # noqa: E402
    CURVATURE,
    MODES,
    PROBE_STEPS,
    PROBES,
    _measured,
    density_examples,
    single_losses,
)

pytestmark = pytest.mark.torch
SPEC = {"data": "digits:train", "batch_size": 32, "architecture": {"name": "linear"},
        "objective": {"name": "supervised", "loss": "squared"}}  # fmt: skip


def measured(steps: int) -> tuple[Any, Any, Any]:
    """Of a linear layer on pixels."""
    torch.manual_seed(0)
    run = PretrainSpec.parse({**SPEC, "steps": steps, "checkpoints": [0, steps]})
    training, _ = examples_of(run)
    model = torch.nn.ModuleDict({"encoder": torch.nn.Flatten(), "head": torch.nn.Linear(64, 10)})
    return *_measured(model, run, training), training


def test_a_short_run_has_pairs_and_noise_of_some_examples() -> None:
    found, noise, training = measured(300)
    assert found.density is None
    assert len(found.eigenvalues) == len(noise.variance) == MODES
    assert found.examples == CURVATURE
    assert len(training) >= 2 * CURVATURE


def test_a_long_run_has_a_density_of_all_examples_with_the_trace_of_the_hessian() -> None:
    found, noise, training = measured(100_000)
    count = found.examples
    assert count == len(training) // 32 * 32
    assert found.density.nodes.shape == (PROBES, PROBE_STEPS)
    assert noise.eigenvalues.tolist() == found.eigenvalues.tolist()
    # squared loss of one layer: H is the second moment of pixels and a 1, once an output
    pixels = training.batch(np.arange(len(training))).inputs.reshape(len(training), -1).numpy().astype(float)
    inputs = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)
    moments = np.linalg.eigvalsh(inputs.T @ inputs / len(inputs))
    scale = found.eigenvalues[0] / moments[-1]
    assert found.eigenvalues == pytest.approx(np.full(10, scale * moments[-1]), rel=1e-3)
    trace, error = (at[0] * found.parameters for at in (found.density.moments, found.density.moment_errors))
    assert abs(trace - 10 * scale * moments.sum()) < 4 * error
    assert error < 0.3 * trace


@pytest.mark.parametrize("kind", ["log", "squared"])
def test_losses_of_single_examples_are_those_of_batches_of_one(kind: str) -> None:
    draw = torch.Generator().manual_seed(0)
    scores, labels = torch.randn(7, 5, generator=draw), torch.randint(5, (7,), generator=draw)
    one_by_one = [float(supervised_loss(scores[i : i + 1], labels[i : i + 1], kind)) for i in range(7)]
    assert single_losses(scores, labels, kind).tolist() == pytest.approx(one_by_one, rel=1e-6)


LIMITS = [(0, 0), (255_999, 0), (256_000, 500), (512_000, 1000), (10**9, 1000)]


@pytest.mark.parametrize(("gradients", "examples"), LIMITS)
def test_a_density_is_of_half_of_the_examples_or_there_is_none(gradients: int, examples: int) -> None:
    assert density_examples(gradients, 1000) == examples
