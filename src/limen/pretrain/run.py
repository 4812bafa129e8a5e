"""One pretraining run from its specification to its record: weights at every checkpoint and the losses of each.

The record (kind `pretrain`):

arrays   `step-000100/encoder.…` and `step-000100/head.…`: all tensors of the checkpoint at update 100
data     architecture, loss_name, layers, counts of examples
         checkpoints[{step, heldout_losses[batch], training_losses[batch]}]: batch losses behind L_pre and L̂_pre, the
         same batches and augmentation draws at every checkpoint (`limen.measure.pretraining` makes Estimates of them)
         trace{step, loss, learning_rate}: loss along the run, mean over windows, at most 2,000 points
         diverged{step, learning_rate, reason, …} or null
         seconds{train, evaluate}: the only field that differs between two runs of equal specification

Randomness is keyed by purpose, seed and step, never drawn from a global generator.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from limen.arrays.random import stream
from limen.models.architectures.registry import build
from limen.pretrain.augmentation import Augmentation
from limen.pretrain.checkpoints import Arrays, CheckpointKeeper, pack
from limen.pretrain.determinism import deterministic
from limen.pretrain.evaluate import BatchLosses, Scored, evaluate
from limen.pretrain.images import batch_tensor, channel_moments, load_images, split_images
from limen.pretrain.loop import Diverged, Outcome, Training, train
from limen.pretrain.objectives.nt_xent import NTXent
from limen.pretrain.samplers import Sampler
from limen.pretrain.spec import OBJECTIVE, PretrainSpec
from limen.records.errors import BadInput, Problem
from limen.records.observer import StepObserver
from limen.records.stage import StageRecord

VERSION = 2
TRACE_POINTS = 2000


def pretrain(spec: Mapping[str, Any], observers: Sequence[StepObserver] = ()) -> StageRecord:
    """Train the encoder that `spec` (keys of `PretrainSpec`, short forms allowed) describes and measure its losses.

    A loss that is no longer finite ends the run; the record then holds the checkpoints before it and says so.
    Raises BadInput for a wrong specification or images that cannot be used.
    """
    run = PretrainSpec.parse(spec)
    training, heldout = _examples(run)
    with deterministic(run.threads):
        objective = make_objective(run, channels=training.shape[3])
        model = make_model(run, objective, training)
        keeper = CheckpointKeeper(run.checkpoints)
        outcome = train(_training(run, objective, model, training), (keeper, *observers))
        begun = time.perf_counter()
        scored = Scored(objective, model, run.batch_size, run.split_seed)
        losses, diverged = _measure(run, scored, keeper.checkpoints, (training, heldout), outcome)
    seconds = {"train": outcome.seconds, "evaluate": time.perf_counter() - begun}
    kept = {step: keeper.checkpoints[step] for step in losses}
    return StageRecord(
        kind="pretrain",
        version=VERSION,
        data={
            "architecture": model["encoder"].architecture,
            "layers": list(model["encoder"].layers),
            "objective": run.objective["name"],
            "loss_name": objective.loss_name(run.batch_size),
            "batch_size": run.batch_size,
            "seed": run.seed,
            "training_examples": len(training),
            "heldout_examples": len(heldout),
            "steps": run.steps,
            "updates": outcome.done,
            "checkpoints": [{"step": step, **asdict(found)} for step, found in losses.items()],
            "trace": _trace(outcome, _learning_rates(run)),
            "diverged": None if diverged is None else {**asdict(diverged), "reason": diverged.reason},
            "seconds": seconds,
        },
        arrays=pack(kept),
    )


def make_objective(run: PretrainSpec, channels: int) -> NTXent:
    """The objective on images of `channels` channels; without a named augmentation, the usual one for them."""
    options = {k: v for k, v in run.objective.items() if k in OBJECTIVE}
    named = run.objective.get("augmentation")
    augmentation = Augmentation.usual(channels) if named is None else Augmentation(**named)
    return NTXent(augmentation, **{**OBJECTIVE, **options})


def make_model(run: PretrainSpec, objective: NTXent, training: NDArray[np.generic]) -> Any:
    """Encoder and head with weights drawn for this run's seed and the normalisation of its training images."""
    given = {"in_channels": int(training.shape[3]), "image_size": int(training.shape[1])}
    wrong = [
        Problem(f"architecture.{key}", f"expected {value}, as in the images of {run.data}, got {run.architecture[key]}")
        for key, value in given.items()
        if run.architecture.get(key, value) != value
    ]
    if wrong:
        raise BadInput(wrong)
    with torch.random.fork_rng():  # torch draws default weights on construction; they are replaced at once
        encoder = build({**run.architecture, **given})
        encoder.initialise(stream("pretrain/encoder-weights", run.seed))
        head = objective.head(encoder.dimension(), stream("pretrain/head-weights", run.seed))
    encoder.set_normalisation(*channel_moments(training, np.arange(len(training))))
    return nn.ModuleDict({"encoder": encoder, "head": head})


def _examples(run: PretrainSpec) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    images = load_images(run.data)
    if isinstance(run.heldout, str):
        training, heldout = images, load_images(run.heldout)
    else:
        split = split_images(images, run.heldout, run.split_seed)
        training, heldout = images[split.training], images[split.heldout]
    problems = []
    if len(training) < run.batch_size:
        what = f"expected at most the {len(training)} training examples, got {run.batch_size}"
        problems.append(Problem("batch_size", what))
    if len(heldout) < 2 * run.batch_size:
        what = f"expected at least 2 batches of {run.batch_size} held-out examples, got {len(heldout)} examples"
        fix = "hold out a larger share, or take a smaller batch_size"
        problems.append(Problem("heldout", what, "the held-out loss has an interval only from 2 batches on", fix))
    if problems:
        raise BadInput(problems)
    return training, heldout


def _training(run: PretrainSpec, objective: NTXent, model: Any, images: NDArray[np.generic]) -> Training:
    sampler = Sampler(run.sampling, len(images), run.batch_size, run.seed)

    def losses() -> Iterator[Callable[[], Any]]:
        for step, rows in enumerate(sampler.batches(0, run.steps)):
            rng = stream("pretrain/augment", run.seed, step)
            batch = batch_tensor(images, rows)
            yield partial(objective.batch_loss, model["encoder"], model["head"], batch, rng)

    return Training(model, _optimizer(run, model), losses(), _learning_rates(run), run.steps)


def _optimizer(run: PretrainSpec, model: Any) -> Any:
    classes = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    options = {k: v for k, v in run.optimizer.items() if k not in ("name", "learning_rate")}
    return classes[run.optimizer["name"]](model.parameters(), lr=run.optimizer["learning_rate"], **options)


def _learning_rates(run: PretrainSpec) -> Callable[[int], float]:
    return lambda done: float(run.optimizer["learning_rate"]) * run.schedule.factor(done, run.steps)


def _measure(
    run: PretrainSpec,
    scored: Scored,
    checkpoints: Mapping[int, Arrays],
    populations: tuple[NDArray[np.generic], NDArray[np.generic]],
    outcome: Outcome,
) -> tuple[dict[int, BatchLosses], Diverged | None]:
    """Losses of every checkpoint in order, up to the first at which they are no longer finite."""
    found: dict[int, BatchLosses] = {}
    for step, weights in sorted(checkpoints.items()):
        losses = evaluate(scored, weights, populations, run.evaluation)
        numbers = (*losses.heldout_losses, *losses.training_losses)
        if not all(math.isfinite(x) for x in numbers):
            first = next(x for x in numbers if not math.isfinite(x))
            last = outcome.losses[step - 1] if step else None
            rate = _learning_rates(run)(max(step - 1, 0))
            return found, Diverged(step, rate, str(first), last)
        found[step] = losses
    return found, outcome.diverged


def _trace(outcome: Outcome, learning_rate: Callable[[int], float]) -> dict[str, Any]:
    window = max(1, math.ceil(outcome.done / TRACE_POINTS))
    starts = range(0, outcome.done, window)
    return {
        "window": window,
        "step": [min(start + window, outcome.done) for start in starts],
        "loss": [float(np.mean(outcome.losses[start : start + window])) for start in starts],
        "learning_rate": [learning_rate(start) for start in starts],
    }
