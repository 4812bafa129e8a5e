"""The recorder inside other people's loops: a transformers callback and a Lightning callback.

Neither library is imported before its callback is made.

transformers    the loss of an update reaches callbacks through the log only, so the Trainer has to log every step and
                must not replace losses that are not numbers: logging_strategy="steps", logging_steps=1,
                logging_nan_inf_filter=False
Lightning       divides the loss of every batch by accumulate_grad_batches; the loss of an update is the sum of what
                its batches returned, NaN where one returned nothing

Both flush before a checkpoint is written, so that a resume finds its update.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Unpack

from limen.measure.recorder.asked import Options
from limen.measure.recorder.recorder import Recorder, record
from limen.records.errors import BadInput, Problem


def transformers_callback(path: str | Path, *, modes: Any = None, **options: Unpack[Options]) -> Any:
    """A `TrainerCallback` that records; `limen.record`'s keywords.

    Raises BadInput where transformers is not installed, and when training begins: arguments of the Trainer under which
    losses do not arrive, or what `limen.record` refuses.
    """
    base = _imported(("transformers",), "TrainerCallback", "pip install transformers")

    class RecorderCallback(base):  # type: ignore[misc, valid-type]
        """Begins with training, closes a row at every log of a loss, ends with training."""

        run: Recorder | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **loop: Any) -> None:
            """Check the arguments and begin."""
            _check_arguments(args)
            chosen: Options = {"batch_size": args.train_batch_size * args.gradient_accumulation_steps}
            if args.world_size > 1:
                chosen = {"batch_size": int(chosen["batch_size"] or 0) * args.world_size}
            chosen = {**chosen, **options}
            self.run = record(loop["model"], loop["optimizer"], path, modes=modes, **chosen)
            self.run.__enter__()

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **loop: Any) -> None:
            """The loss of the update that was just made."""
            if self.run is not None and "loss" in logs:
                skipped = bool(getattr(loop.get("optimizer"), "step_was_skipped", False))
                self.run.step(logs["loss"], skipped=skipped)

        def on_save(self, args: Any, state: Any, control: Any, **loop: Any) -> None:
            """Make durable what the checkpoint has seen."""
            if self.run is not None:
                self.run.flush()

        def on_train_end(self, args: Any, state: Any, control: Any, **loop: Any) -> None:
            """Write what is left."""
            if self.run is not None:
                self.run.end()

    return RecorderCallback()


def lightning_callback(path: str | Path, *, modes: Any = None, **options: Unpack[Options]) -> Any:
    """A Lightning `Callback` that records; `limen.record`'s keywords.

    Raises BadInput where Lightning is not installed, and when training begins: more than one optimizer, manual
    optimization, or what `limen.record` refuses.
    """
    base = _imported(("lightning.pytorch", "pytorch_lightning"), "Callback", "pip install lightning")

    class RecorderCallback(base):  # type: ignore[misc, valid-type]
        """Begins with training, closes a row after every batch that ended in an update, ends with training."""

        run: Recorder | None = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            """Begin."""
            if len(trainer.optimizers) != 1:
                what = f"expected one optimizer, got {len(trainer.optimizers)}"
                raise BadInput(Problem("optimizer", what, fix="record each of them with limen.record in its own loop"))
            if not getattr(pl_module, "automatic_optimization", True):
                what = "expected automatic optimization, got a module that steps its optimizer itself"
                raise BadInput(Problem("pl_module", what, fix="call limen.record and run.step in training_step"))
            self.losses: list[float] = []
            self.attempted = False
            self.run = record(pl_module, trainer.optimizers[0], path, modes=modes, **options)
            self.run.__enter__()

        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            """An update is about to be made, unless the scaler skips it."""
            self.attempted = True

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            """Collect the loss; close the row where an update was made or skipped."""
            if self.run is None or not self.run.active:
                return
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            self.losses.append(float("nan") if loss is None else float(loss.detach()))
            if self.attempted or self.run.waiting:
                self.run.step(sum(self.losses), skipped=not self.run.waiting)
                self.losses.clear()
                self.attempted = False

        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
            """Make durable what the checkpoint has seen."""
            if self.run is not None:
                self.run.flush()

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            """Write what is left."""
            if self.run is not None:
                self.run.end()

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            """Write what is left; the run did not end in order."""
            if self.run is not None:
                self.run.end(in_order=False)

    return RecorderCallback()


def _check_arguments(args: Any) -> None:
    """Refuse settings of the Trainer under which the loss of an update is not the one logged."""
    wanted = (
        ("logging_strategy", str(getattr(args.logging_strategy, "value", args.logging_strategy)), "steps"),
        ("logging_steps", args.logging_steps, 1),
        ("logging_nan_inf_filter", args.logging_nan_inf_filter, False),
    )
    problems = [
        Problem(f"TrainingArguments.{name}", f"expected {right!r}, got {now!r}", fix=f"{name}={right!r}")
        for name, now, right in wanted
        if now != right
    ]
    if problems:
        raise BadInput(problems)


def _imported(modules: tuple[str, ...], name: str, fix: str) -> Any:
    """A class of the first of some modules that is installed."""
    for module in modules:
        try:
            return getattr(import_module(module), name)
        except ImportError:
            continue
    raise BadInput(Problem("callback", f"{' or '.join(modules)} is not installed", fix=fix))
