"""A run of a study recorded for its limiting dynamics: eigenpairs and noise at its start, then every update.

The Hessian is that of the training loss at the weights the run begins with, over CURVATURE examples of the training set
in batches of the run's size; the noise along its modes over NOISE of them. BatchNorm is in train mode in both, as it is
in training. A loss that draws random views has no Hessian of its own: such a run is recorded without modes.

The spectral density, which tells how far weights move outside of the modes, has to be of at least half of the training
set (of fewer examples its laws saturate too early: limen.verdict.dynamics.problem). Pairs and density together take
some PRODUCTS products, each about a gradient of every example. They are of all training examples, or of as many as make
that SHARE of the run's own gradients; where these are less than half of the set, there is no density, and the verdict
says between which ends a law then lies.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limen.records.curvature import BatchNorm
from limen.records.errors import BadInput, Problem
from limen.records.observer import Step

MODES = 10
CURVATURE, NOISE = 512, 4096
"""Training examples behind the eigenpairs and behind the noise."""
PROBES, PROBE_STEPS = 4, 32
"""Of the spectral density."""
PRODUCTS = 2 * PROBES * PROBE_STEPS
"""Products with the Hessian behind pairs and density: a density's own, and about as many for the pairs."""
SHARE = 0.5
MEMORY = 1 << 30
"""Bytes that kept graphs and basis may take; beyond it products build graphs anew."""
LEAST_BATCHES = 16
"""Of the noise, where there are as many."""


class DynamicsRecording:
    """The observer of one run; `files` is what it leaves behind."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        from limen.measure.recorder.recorder import Recorder

        self.spec = dict(spec)
        self.folder = Path(tempfile.mkdtemp(prefix="limen-recording-"))
        self._removed = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)  # also of a failed run
        self.recorder: Recorder | None = None

    def begin(self, model: Any, optimizer: Any, steps: int) -> None:
        """Measure curvature and noise where the loss is no random one, then record. Raises BadInput."""
        from limen.measure.dynamics.attach import attach
        from limen.measure.recorder.asked import Asked
        from limen.measure.recorder.recorder import Recorder
        from limen.pretrain.populations import examples_of
        from limen.pretrain.spec import PretrainSpec

        run = PretrainSpec.parse(self.spec)
        training, _ = examples_of(run)
        curvature = noise = None
        if run.objective["name"] == "supervised" and not _viewed(run):
            curvature, noise = _measured(model, run, training)
        asked = Asked(modes=curvature, batch_size=run.batch_size, sampling=run.sampling, examples=len(training))
        self.recorder = Recorder(self.folder, asked)
        self.recorder.begin(model, optimizer, steps)
        attach(self.folder, curvature=curvature, noise=noise)

    def step(self, step: Step) -> None:
        """Close the row of one update."""
        assert self.recorder is not None
        self.recorder.step(step)

    def end(self) -> None:
        """Write what is left; a run that an exception ended did not end in order (the recorder sees it)."""
        if self.recorder is not None:
            self.recorder.end()

    def files(self) -> dict[str, bytes]:
        """The files of the recording; the folder is gone afterwards. Raises BadInput for a run that never began."""
        if self.recorder is None:
            raise BadInput(Problem("record", "expected a run that has begun"))
        found = {path.name: path.read_bytes() for path in sorted(self.folder.iterdir()) if path.is_file()}
        self._removed()
        return found


def density_examples(gradients: int, examples: int) -> int:
    """Training examples behind pairs and density in a run of so many gradients of one example; 0: no density.

    >>> density_examples(12_000 * 32, 1_000), density_examples(12_000 * 32, 700), density_examples(300 * 32, 700)
    (750, 700, 0)
    """
    afforded = min(examples, int(SHARE * gradients / PRODUCTS))
    return afforded if 2 * afforded >= examples else 0


def _viewed(run: Any) -> bool:
    """Whether inputs are changed at random before the encoder sees them.

    >>> from types import SimpleNamespace
    >>> runs = [SimpleNamespace(input="image", objective=named) for named in (
    ...     {}, {"augmentation": {}}, {"augmentation": {"noise": 0.0}}, {"augmentation": {"noise": 0.1}})]
    >>> [_viewed(run) for run in runs]
    [False, False, False, True]
    """
    from limen.pretrain.views.strengths import KINDS

    named = run.objective.get("augmentation")
    return named is not None and KINDS[run.input](**named) != KINDS[run.input]()


def single_losses(scores: Any, labels: Any, kind: str) -> Any:
    """The supervised loss of every example [B]; its mean is that of the batch.

    >>> import torch
    >>> single_losses(torch.zeros(2, 4), torch.tensor([0, 3]), "squared").tolist()
    [0.5, 0.5]
    """
    from torch.nn import functional

    if kind == "log":
        return -functional.log_softmax(scores, dim=1).gather(1, labels[:, None])[:, 0]
    return 0.5 * (scores - functional.one_hot(labels, scores.shape[1]).to(scores.dtype)).square().sum(dim=1)


def _measured(model: Any, run: Any, training: Any) -> tuple[Any, Any]:
    """Curvature and noise of the run's loss at the model's weights."""
    import numpy as np
    from torch import nn

    from limen.arrays.random import stream
    from limen.arrays.spectral_density import Probing
    from limen.measure.curvature.spectrum import curvature
    from limen.measure.noise.gradient_noise import LEAST_GROUPS, gradient_noise
    from limen.pretrain.objectives.supervised import supervised_loss

    kind = run.objective.get("loss", "log")

    def loss(net: Any, batch: tuple[Any, Any], reduction: str = "mean") -> Any:
        images, labels = batch
        scores = net["head"](net["encoder"](images))
        return supervised_loss(scores, labels, kind) if reduction == "mean" else single_losses(scores, labels, kind)

    rows = stream("record/examples", run.split_seed).permutation(len(training))

    def batches(examples: int, least: int) -> list[tuple[Any, Any]]:
        count = max(least, min(examples, len(training)) // run.batch_size)
        count = max(1, min(count, len(training) // run.batch_size))
        cut = (rows[i * run.batch_size : (i + 1) * run.batch_size] for i in range(count))
        return [(batch.inputs, batch.labels) for batch in (training.batch(np.asarray(at)) for at in cut)]

    normalised = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    mode: BatchNorm = "train" if normalised else "eval"
    dense = density_examples(run.steps * run.batch_size, len(training))
    found = curvature(
        model, loss, batches(max(dense, CURVATURE), 1), modes=MODES, batch_norm=mode, memory=MEMORY,
        density=Probing(PROBES, PROBE_STEPS, seed=run.split_seed) if dense else False, seed=run.split_seed,
    )  # fmt: skip
    if len(training) // run.batch_size < LEAST_GROUPS:
        return found, None  # fewer batches say nothing of their variance; `limen dynamics` says that noise is missing
    noise = gradient_noise(
        model, loss, batches(NOISE, LEAST_BATCHES), found, batch_size=run.batch_size, sampling=None,
        seed=run.split_seed,
    )  # fmt: skip
    return found, noise
