"""One pretraining run from its specification to its record: weights at every checkpoint and the losses of each.

The record (kind `pretrain`):

arrays   `step-000100/encoder.…` and `step-000100/head.…`: all tensors of the checkpoint at update 100
data     architecture, loss_name, layers, counts of examples; classes[] where there are labels; start, the update of the
         other run whose weights this one began with, where it did
         skipped_examples{data, heldout}[[row, reason]] and notes[], where rows were left out or there is more to tell
         checkpoints[{step, heldout_losses[batch], training_losses[batch]}]: batch losses behind L_pre and L̂_pre, the
         same batches and augmentation draws at every checkpoint (`limen.measure.pretraining` makes Estimates of them)
         trace{step, loss, learning_rate}: loss along the run, mean over windows, at most 2,000 points
         diverged{step, learning_rate, reason, …} or null
         optimum{value, source}, the least L_pre there is where it is known (`limen.pretrain.optimum`), or null
         seconds{train, evaluate}: the only field that differs between two runs of equal specification

Randomness is keyed by purpose, seed and step, never drawn from a global generator.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from limen.arrays.random import stream
from limen.pretrain.checkpoints import Arrays, CheckpointKeeper, pack
from limen.pretrain.determinism import deterministic
from limen.pretrain.evaluate import BatchLosses, Scored, evaluate
from limen.pretrain.examples import Batch, Examples
from limen.pretrain.loop import Before, Diverged, Outcome, Training, train
from limen.pretrain.memory import check_memory, saved_bytes
from limen.pretrain.model import load_start, make_model
from limen.pretrain.objectives.make import make_objective
from limen.pretrain.objectives.objective import Objective, drawn_batch
from limen.pretrain.optimizers import make_optimizer
from limen.pretrain.optimum import optimum_of
from limen.pretrain.place import Place
from limen.pretrain.populations import prepared_examples
from limen.pretrain.processes import Processes
from limen.pretrain.samplers import Sampler
from limen.pretrain.spec import PretrainSpec
from limen.pretrain.state import StateSaver, resume
from limen.records.errors import BadInput, Problem
from limen.records.observer import StepObserver
from limen.records.stage import StageRecord

VERSION = 3
TRACE_POINTS = 2000


@dataclass(frozen=True, slots=True)
class Around:
    """What is around a run and changes nothing of its result but the order of sums."""

    state: Place | None = None
    """Where its state is kept while it is unfinished."""
    processes: Processes = field(default_factory=Processes)
    """This process among those that torchrun started (`limen.pretrain.distributed`)."""
    tellers: tuple[StepObserver, ...] = ()
    """Observers that do not mind to miss the beginning of a run that is taken up."""


def pretrain(
    spec: Mapping[str, Any],
    observers: Sequence[StepObserver] = (),
    start: StageRecord | None = None,
    around: Around = Around(),
) -> StageRecord:
    """Train the encoder that `spec` (keys of `PretrainSpec`, short forms allowed) describes and measure its losses.

    `start` is the record of the run whose checkpoint `spec["start"]` this one begins with. A loss that is no longer
    finite ends the run; the record then holds the checkpoints before it and says so. An unfinished run whose state is
    around goes on where it was, unless observers would miss its beginning.
    Raises BadInput for a wrong specification, examples that cannot be used, a step that does not fit into memory.
    """
    run = PretrainSpec.parse(spec)
    if (run.start is None) != (start is None):
        missing, given = ("the step", "a record") if run.start is None else ("the record", "a step")
        raise BadInput(Problem("start", f"expected {missing} of the run to start from, got only {given}"))
    training, heldout, preprocessing = prepared_examples(run)
    with deterministic(run.threads):
        objective = make_objective(run, training)
        model = make_model(run, objective, training, preprocessing)
        if start is not None and run.start is not None:
            load_start(model, start, run.start)
        _check_memory(run, objective, model, training)
        keeper = CheckpointKeeper(run.checkpoints)
        optimizer = make_optimizer(run.optimizer, model.parameters())
        before, saver = _taken_up(None if observers else around.state, model, optimizer, keeper)
        batches = _batches(run, objective, model, training, (len(before.losses), around.processes))
        todo = Training(
            model, optimizer, batches, _learning_rates(run), run.steps, run.on_nan, before, around.processes
        )
        outcome = train(todo, (keeper, *saver, *observers, *around.tellers))
        begun = time.perf_counter()
        scored = Scored(objective, model, run.batch_size // run.accumulation, run.split_seed)
        losses, diverged = _measure(run, scored, keeper.checkpoints, (training, heldout), outcome)
    seconds = {"train": outcome.seconds, "evaluate": time.perf_counter() - begun, "waiting": outcome.waited}
    kept = {step: keeper.checkpoints[step] for step in losses}
    optimum = optimum_of(run)
    return StageRecord(
        kind="pretrain",
        version=VERSION,
        data={
            "architecture": model["encoder"].architecture,
            "layers": list(model["encoder"].layers),
            **({"preprocessing": preprocessing.plain()} if preprocessing.plain() else {}),
            "objective": run.objective["name"],
            "loss_name": objective.loss_name(run.batch_size // run.accumulation),
            "batch_size": run.batch_size,
            "seed": run.seed,
            "training_examples": len(training),
            "heldout_examples": len(heldout),
            **_told(training, heldout),
            **({"classes": list(training.classes)} if training.classes else {}),
            **({"start": run.start} if run.start is not None else {}),
            "steps": run.steps,
            "updates": outcome.done,
            "checkpoints": [{"step": step, **asdict(found)} for step, found in losses.items()],
            "trace": _trace(outcome, _learning_rates(run)),
            **({"skipped_updates": list(outcome.skipped)} if outcome.skipped else {}),
            "diverged": None if diverged is None else {**asdict(diverged), "reason": diverged.reason},
            "optimum": None if optimum is None else asdict(optimum),
            "seconds": seconds,
        },
        arrays=pack(kept),
    )


def _told(training: Examples, heldout: Examples) -> dict[str, Any]:
    """Rows that were left out, and what was done to inputs; nothing where there is nothing to tell."""
    parts = {"data": training, "heldout": heldout}
    skipped = {name: [list(row) for row in part.skipped] for name, part in parts.items() if part.skipped}
    notes = list(dict.fromkeys((*training.notes, *heldout.notes)))
    found = {"skipped_examples": skipped, "notes": notes}
    return {key: value for key, value in found.items() if value}


def _batches(
    run: PretrainSpec, objective: Objective, model: Any, training: Examples, at: tuple[int, Processes]
) -> Iterator[Sequence[Callable[[], Any]]]:
    """For each update from `at` on, the losses of the micro-batches of this process, to be computed."""
    first, processes = at
    sampler = Sampler(run.sampling, len(training), run.batch_size, run.seed)
    size = run.batch_size // run.accumulation
    for step, rows in enumerate(sampler.batches(first, run.steps), start=first):
        micros = []
        for number in processes.share(range(run.accumulation)):
            keys = (step,) if run.accumulation == 1 else (step, number)
            rng = stream("pretrain/augment", run.seed, *keys)
            part = rows[number * size : (number + 1) * size]
            batch = drawn_batch(objective, training, part, rng, model["encoder"].channels_last)
            micros.append(partial(_loss, run.precision, objective, model, batch, rng))
        yield micros


def _loss(precision: str, objective: Objective, model: Any, batch: Batch, rng: np.random.Generator) -> Any:
    if precision == "float32":
        return objective.batch_loss(model["encoder"], model["head"], batch, rng)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return objective.batch_loss(model["encoder"], model["head"], batch, rng).float()


def _taken_up(
    state: Place | None, model: Any, optimizer: Any, keeper: CheckpointKeeper
) -> tuple[Before, tuple[StepObserver, ...]]:
    """What the run had done when it was interrupted, and the observer that writes its state."""
    if state is None:
        return Before(), ()
    before = resume(state, model, optimizer, keeper) or Before()
    return before, (StateSaver(state, before, keeper),)


def _check_memory(run: PretrainSpec, objective: Objective, model: Any, training: Examples) -> None:
    """Raise BadInput where a step does not fit into memory, after a look at two small batches."""
    size = run.batch_size // run.accumulation
    least = getattr(objective, "negatives", 1) + 1
    small, large = least, 2 * least
    if large > min(size, len(training)):
        return  # so small a batch fits

    def saved(count: int) -> int:
        rng = stream("pretrain/memory", run.seed, count)
        batch = drawn_batch(objective, training, np.arange(count), rng, model["encoder"].channels_last)
        return saved_bytes(partial(_loss, run.precision, objective, model, batch, rng))

    buffers = {name: tensor.clone() for name, tensor in model.named_buffers()}
    each = (saved(large) - saved(small)) / (large - small)
    with torch.no_grad():  # batch statistics were looked at, too
        for name, tensor in model.named_buffers():
            tensor.copy_(buffers[name])
    check_memory(sum(p.numel() for p in model.parameters()), run.optimizer["name"], each, size)


def _learning_rates(run: PretrainSpec) -> Callable[[int], float]:
    return lambda done: float(run.optimizer["learning_rate"]) * run.schedule.factor(done, run.steps)


def _measure(
    run: PretrainSpec,
    scored: Scored,
    checkpoints: Mapping[int, Arrays],
    populations: tuple[Examples, Examples],
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
