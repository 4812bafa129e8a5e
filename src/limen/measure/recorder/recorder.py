"""The recorder: an observer of a training loop that writes a trajectory and changes nothing.

It reads weights, gradients and buffers inside a hook that torch calls right after `optimizer.step()`, so it does not
matter when gradients are cleared; `step(loss)` then closes the row. Training gives the same weights bit for bit, also
where the update is made here (limen.measure.recorder.stretchwise).
What a row means: limen.records.trajectory. What it costs: limen.measure.recorder.forecast and docs/recording.md.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import numpy as np

from limen.measure.recorder.asked import Asked, Options
from limen.measure.recorder.forecast import Forecast
from limen.measure.recorder.observation import Observation, Observed
from limen.measure.recorder.record_file import RecordFile
from limen.measure.recorder.start import Start, foretold, identities, started
from limen.measure.recorder.trained import not_readable
from limen.measure.recorder.update_rule import settings_of, unwrapped
from limen.records.errors import BadInput, Problem
from limen.records.observer import Step
from limen.records.trajectory import NOT_FINITE, RECORDED


def record(model: Any, optimizer: Any, path: str | Path, *, modes: Any = None, **options: Unpack[Options]) -> Recorder:
    """Record a training loop: `with record(…) as run:` around it and `run.step(loss)` after every `optimizer.step()`.

    `modes` has `eigenvalues` [k] and `vectors` [k, n] (a curvature): positions and velocities along them are recorded.
    Raises BadInput, all problems at once: an optimizer whose updates are not known, a folder that is in use, modes of
    another model, more memory than allowed; while training: a missing `optimizer.step()`, parameters that change.
    """
    run = Recorder(path, Asked(modes=modes, **options))
    run.prepare(model, optimizer)
    return run


class Recorder:
    """One recording: a context manager in one's own loop, a `limen.records.observer.StepObserver` elsewhere."""

    def __init__(self, path: str | Path, asked: Asked | None = None) -> None:
        self.path = Path(path)
        self.asked = asked or Asked()
        self.active = _first_rank()
        self._start: Start | None = None
        self._forecast: Forecast | None = None
        self._observation: Observation | None = None
        self._file: RecordFile | None = None
        self._hooks: list[Any] = []
        self._pending: Observed | None = None
        self._failure: Exception | None = None
        self._missed = False
        """Whether an update was made that has no row."""
        self._handled: BaseException | None = None
        """What was being handled when recording began: no sign that the run failed."""

    @property
    def forecast(self) -> Forecast:
        """Memory and disk that this recording takes, on every rank. Raises BadInput before a model is known."""
        if self._forecast is None:
            raise BadInput(
                Problem("forecast", "expected a prepared recording", fix="limen.record(model, optimizer, …)")
            )
        return self._forecast

    @property
    def done(self) -> int:
        """Updates recorded."""
        return self._file.done if self._file is not None else 0

    @property
    def waiting(self) -> bool:
        """Whether an update was made whose `step` has not been called yet."""
        return self._pending is not None or self._failure is not None

    @property
    def durable(self) -> int:
        """Updates that survive a kill."""
        return self._file.durable if self._file is not None else 0

    def prepare(self, model: Any, optimizer: Any) -> None:
        """Check everything that can be checked before training. Raises BadInput."""
        if self.active:
            self._start = started(model, unwrapped(optimizer), self.path, self.asked)
            self._forecast = self._start.forecast
        else:
            self._forecast = foretold(model, unwrapped(optimizer), self.asked)

    def begin(self, model: Any, optimizer: Any, steps: int = 0) -> None:
        """Take the reference and look at every update from here on; `steps` is not needed. Raises BadInput."""
        if not self.active or self._hooks:
            return
        if self._file is not None:
            raise BadInput(Problem("record", "this recording has ended", fix="limen.record(…, resume=True)"))
        if self._start is None:
            self.prepare(model, optimizer)
        assert self._start is not None
        self._observation, self._file = self._start.opened()
        self._handled = sys.exception()
        optimizer = self._start.optimizer
        self._hooks = [
            optimizer.register_step_pre_hook(_not_compiled(self._before_update)),
            optimizer.register_step_post_hook(_not_compiled(self._after_update)),
        ]

    def step(self, loss: Any, *, batch_size: int | None = None, skipped: bool = False) -> None:
        """Close the row of the update just made. `loss` is a number, a tensor or a `Step`.

        `batch_size` where it is not the one given at the start; `skipped` where the caller knows that a gradient scaler
        skipped the update. Raises BadInput where no update, or more than one, was made since the last call.
        """
        if not self.active:
            return
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if self._observation is None or self._file is None:
            raise BadInput(Problem("step", "expected a recording that has begun", fix="with limen.record(…) as run:"))
        value = _number(loss.loss if isinstance(loss, Step) else loss)
        if batch_size is not None and batch_size < 1:
            raise BadInput(Problem("batch_size", f"expected at least 1, got {batch_size}"))
        observed, self._pending = self._pending, None
        if observed is None:
            observed = self._skipped(known=skipped)
        if observed.excluded == RECORDED and not np.isfinite(value):
            observed = replace(observed, excluded=NOT_FINITE)
        self._file.add(observed, value, batch_size or self._file.batch_size)

    def flush(self) -> None:
        """Make every recorded update durable now, such as before a checkpoint of the weights is saved."""
        if self._file is not None:
            self._file.flush(ended=False)

    def end(self, *, in_order: bool | None = None) -> None:
        """Write what is left and look no more; nothing happens at a second call.

        `in_order` says whether the run ended as it should; left out, it did unless an exception that came up since
        `begin` is being handled (as in a `finally`), or an update was made that has no row: `step` was not called after
        the last one, or what `step` raised was passed over.
        Raises what went wrong at an update that no `step` has reported, unless an exception is on its way already.
        """
        if not self._hooks:
            return
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        raised = sys.exception() is not self._handled
        self._handled = None  # an exception holds the frames that it came through
        if in_order is None:
            in_order = not raised and not self.waiting and not self._missed
        assert self._file is not None
        self._file.flush(ended=in_order)
        failure, self._failure = self._failure, None
        if failure is not None and not raised:
            raise failure

    def __enter__(self) -> Self:
        if self.active:
            if self._start is None:
                raise BadInput(Problem("record", "expected a model", fix="with limen.record(model, optimizer, path)"))
            self.begin(None, self._start.optimizer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(in_order=None if kind is None else False)

    def _before_update(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Torch's hook before an update: it is made here where that gives the same weights for less."""
        if self._observation is not None and not self.waiting:
            self._observation.expect()
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if self.waiting or closure is not None or self._observation is None or self._problems(optimizer):
            return  # torch makes it; what is wrong is said after it
        if getattr(optimizer, "found_inf", None) is None:
            self._observation.make(optimizer)

    def _after_update(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Torch's hook; what goes wrong is raised by the next `step`, not inside the optimizer."""
        if self._observation is not None:
            self._observation.stretchwise.give_back()
        if self._failure is None:
            try:
                self._observe(optimizer)
            except Exception as failure:
                self._failure, self._missed = failure, True
            except BaseException:
                self._missed = True
                raise

    def _observe(self, optimizer: Any) -> None:
        assert self._observation is not None
        assert self._start is not None
        if self._pending is not None:
            what = "expected run.step(loss) after every optimizer.step(), got a second update"
            raise BadInput(Problem("step", what, fix="call run.step(loss) right after optimizer.step()"))
        problems = self._problems(optimizer)
        if problems:
            raise BadInput(problems)
        found = getattr(optimizer, "found_inf", None)
        if found is not None and float(found) > 0:  # a fused optimizer that skips inside
            self._pending = self._observation.skipped(settings_of(optimizer, self._start.kind))
        else:
            self._pending = self._observation.look(optimizer)

    def _problems(self, optimizer: Any) -> list[Problem]:
        """What keeps the update from being read: gradients, or parameters that are others now."""
        assert self._start is not None
        chosen = self._start.trained
        problems = not_readable(chosen.parameters, chosen.names)
        if identities(optimizer) != self._start.identities:
            what = "the optimizer's trained parameters are not those that recording began with"
            cause = "parameters were frozen, unfrozen, added or created anew"
            problems.append(Problem("optimizer", what, cause=cause, fix="end this recording and begin another"))
        return problems

    def _skipped(self, *, known: bool) -> Observed:
        """The row of an update that a scaler skipped; raises BadInput where there is no sign of one."""
        assert self._observation is not None
        assert self._start is not None
        gradients = [p.grad for p in self._start.trained.parameters if p.grad is not None]
        if not known and all(bool(gradient.isfinite().all()) for gradient in gradients):
            what = "expected optimizer.step() before run.step(loss), and there was none"
            cause = "gradients are being accumulated, or a scaler skipped the update and its gradients were cleared"
            fix = "call run.step after optimizer.step() only; with GradScaler before zero_grad(), or skipped=True"
            raise BadInput(Problem("step", what, cause=cause, fix=fix))
        return self._observation.skipped(settings_of(self._start.optimizer, self._start.kind))


def _not_compiled(hook: Any) -> Any:
    """A hook that torch.compile leaves alone where it compiles the optimizer's step."""
    import torch

    return torch.compiler.disable(hook)


def _number(loss: Any) -> float:
    """A loss given as a number or as a tensor of one. Raises BadInput."""
    try:
        return float(getattr(loss, "detach", lambda: loss)())
    except (TypeError, ValueError, RuntimeError) as error:
        shape = getattr(loss, "shape", None)
        got = type(loss).__name__ if shape is None else f"shape {tuple(shape)}"
        what = f"expected a loss that is one number, got {got}"
        raise BadInput(Problem("loss", what, fix="run.step(loss.mean())")) from error


def _first_rank() -> bool:
    """Whether this process is the one that records: rank 0, or the only one."""
    import torch.distributed as distributed

    return not (distributed.is_available() and distributed.is_initialized() and distributed.get_rank() != 0)
