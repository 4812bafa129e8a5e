"""What is seen of one update while its gradients are still there: scalars, sketch, projections, anchors.

Scalars and positions follow by recursion, which is right only while nobody else changes the weights. They are taken
anew, and what was said is held to that (self-tests): at every shard, flush and end; and before an update that finds
other weights than the last one left, which three numbers of every parameter show (`mark`). From there on rows are
right again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from limen.measure.recorder.anchors import Anchors
from limen.measure.recorder.flat import Array, FlatParameters
from limen.measure.recorder.projections import Projections
from limen.measure.recorder.scalars import Products, Reader, Scalars, Visitor, can_recur
from limen.measure.recorder.sketch import CountSketch
from limen.measure.recorder.stretchwise import Stretchwise
from limen.measure.recorder.track import LinearTrack, drift_allowed
from limen.measure.recorder.update_rule import Update, settings_of
from limen.records.errors import BadInput
from limen.records.trajectory import NOT_FINITE, RECORDED, SKIPPED, Floats, OptimizerSettings, SelfTest

AGREE = 1e-3
"""Largest relative difference of the two ways to the scalars."""
NONE = Scalars(*[float("nan")] * 6)


@dataclass(frozen=True, slots=True)
class Observed:
    """One update; `position` S(θ_k − θ_ref) and `velocity` S v_k [d] are None where weights are no numbers."""

    settings: OptimizerSettings
    scalars: Scalars
    excluded: int
    position: Floats | None
    velocity: Floats | None


@dataclass(frozen=True, slots=True)
class Instruments:
    """What looks at the weights."""

    weights: FlatParameters
    reference: list[Array]
    sketch: CountSketch
    projections: Projections | None
    anchors: Anchors


class Observation:
    """Looks at one update after the other."""

    def __init__(self, instruments: Instruments, kind: str, groups: int, every: int, done: int) -> None:
        self.tools = instruments
        self.kind = kind
        self.every = every
        self.done = done
        self.reader = Reader(instruments.reference, instruments.sketch, groups)
        self.stretchwise = Stretchwise(instruments.weights, instruments.sketch.stretches)
        self._made: tuple[Scalars, Products] | None = None
        self.track = LinearTrack(np.zeros(instruments.sketch.dimension))
        self.self_tests: list[SelfTest] = []
        self._products: Products | None = None
        self._update: Update | None = None
        self._settings: OptimizerSettings | None = None
        self._last: Scalars = NONE
        self._path = 0.0
        self._since = 0
        self._gone = False
        self._anew_at = -1
        """The update after which scalars were last taken anew."""
        self._reported = False
        """Whether a change from outside was reported since the last shard."""
        self._mark = self._marked()

    def expect(self) -> None:
        """Before an update: where the weights are not as the last one left them, everything is taken anew."""
        self.stretchwise.forget()
        if self._gone:
            return
        with np.errstate(all="ignore"):
            if self._changed():
                self._anew_at = -1
                self._take_anew(report=not self._reported)
                self._reported, self._products = True, None  # buffers may be others too

    def make(self, optimizer: Any) -> None:
        """Make the update that is due and read it on the way, where that is torch's bit for bit; else torch does."""
        self._made = None
        try:
            settings = settings_of(optimizer, self.kind)
        except BadInput:
            return  # said after the update
        if not self._recurs(settings) or (self.done + 1) % self.every == 0:
            return
        if not self.stretchwise.ready(optimizer, settings):
            return
        update = Update(optimizer, settings, self.tools.weights)
        assert self._products is not None
        if not can_recur(update, self._products):
            return
        try:
            with np.errstate(all="ignore"):
                move = self.stretchwise.mover(optimizer, update)
                self._made = self.reader.recursive(update, self._products, self._visit(), move)
            self.stretchwise.take_gradients()
        except BaseException:  # as much of the update is made as before an interrupt in torch's
            self._lost()
            raise

    def look(self, optimizer: Any) -> Observed:
        """The update that was just made; where an exception comes up on the way, it leaves no half of a row."""
        done, rows = self.done, self._rows()
        try:
            observed = self._look(optimizer)
        except BaseException:
            self.done = done
            if self.tools.projections is not None:
                self.tools.projections.take_back(self._rows() - rows)
            self._lost()
            raise
        self._mark = self._marked()
        return observed

    def _look(self, optimizer: Any) -> Observed:
        self.done += 1
        self.stretchwise.end_trial(optimizer)
        settings = settings_of(optimizer, self.kind)
        update = Update(optimizer, settings, self.tools.weights)
        with np.errstate(all="ignore"):  # weights that are no numbers are a value of the row
            scalars, sketched = self._scalars(update)
        self._settings, self._last = settings, scalars
        if self._gone or not scalars.finite:
            return self._not_finite(settings, scalars)
        position = self.track.moved(sketched, settings)
        self._path += float(np.sqrt(scalars.step_norm2))
        self._since += 1
        if self.tools.projections is not None:
            self.tools.projections.close_row(settings)
        self._hold_to_anchors(position, scalars.offset_norm2)
        return Observed(settings, scalars, RECORDED, position, -sketched)

    def skipped(self, settings: OptimizerSettings) -> Observed:
        """An update that was not made: weights and buffers are as they were."""
        self.done += 1
        if self.tools.projections is not None:
            self.tools.projections.repeat_row(finite=not self._gone)
        return Observed(settings, self._last, SKIPPED, self.track.position, -self.track.buffer)

    def check(self) -> bool:
        """Hold scalars and positions to what is taken anew, which is kept; whether that was done.

        Not where weights are no numbers, and not where they were changed since the last update: rows do not speak of
        these, and the next update finds it.
        """
        self._reported = False
        if self._gone or not self._since:
            return False
        with np.errstate(all="ignore"):
            if self._changed():
                if self.tools.projections is not None:
                    self.tools.projections.take()
                return False
            self._take_anew(report=True)
        return True

    def _take_anew(self, *, report: bool) -> None:
        """Products, projections and sketch of the weights (and buffers) as they are; self-tests where asked for."""
        tests: list[SelfTest] = []
        tools, buffers = self.tools, self._buffers()
        if self._products is not None and buffers is not None and self._anew_at != self.done:
            products = self.reader.products(tools.weights, buffers)
            apart = _products_apart(self._products, products, self._last.step_norm2)
            tests.append(SelfTest(self.done, "recursion", apart, AGREE))
            self._products, self._anew_at = products, self.done
        allowed = drift_allowed(self._path, self.weights_norm(), self._since)
        tracks = [(self.track, self.reader.position(tools.weights))]
        if tools.projections is not None:
            tools.projections.take()
            tracks.insert(0, (tools.projections.track, tools.projections.anew(tools.reference)))
        for track, anew in tracks:
            tests.append(SelfTest(self.done, "drift", track.drift(anew), allowed))
        if report:
            self.self_tests += tests
        self._path, self._since = 0.0, 0

    def _buffers(self) -> list[Array] | None:
        """Momentum buffers as the last update left them; None where scalars do not go by recursion."""
        return self._update.buffers if self._update is not None and can_recur(self._update, self._products) else None

    def _marked(self) -> Array | None:
        """First, middle and last number of every parameter; None where weights are not in this memory."""
        weights = self.tools.weights
        if any(parameter.device.type != "cpu" for parameter in weights.parameters):
            return None
        now = weights.kept("after", weights.parameters)
        return np.array([view[at] for view in now if view.size for at in (0, view.size // 2, view.size - 1)])

    def _changed(self) -> bool:
        """Whether weights are others than the last update left, as far as their marks tell."""
        now = self._marked()
        return self._mark is not None and now is not None and not np.array_equal(self._mark, now, equal_nan=True)

    def _rows(self) -> int:
        """Rows that projections have, taken or held."""
        return 0 if self.tools.projections is None else self.tools.projections.rows

    def _lost(self) -> None:
        """After an exception inside a reading: nothing of it is left, and the next update is read anew."""
        self.tools.sketch.taken()
        self._made = self._products = None
        if self._mark is not None:
            self._mark = np.full_like(self._mark, np.nan)

    def weights_norm(self) -> float:
        """‖θ‖."""
        now = self.tools.weights.kept("after", self.tools.weights.parameters)
        return float(np.sqrt(sum(float(view.dot(view)) for view in now)))

    def _scalars(self, update: Update) -> tuple[Scalars, Floats]:
        """By recursion where that holds, anew at first, after a change and every `every` updates."""
        visit, made = self._visit(), self._made
        self._made = None
        if made is not None:
            scalars, products = made
            sketched = self.tools.sketch.taken()
        elif self._recurs(update.settings) and self._products is not None and can_recur(update, self._products):
            scalars, products = self.reader.recursive(update, self._products, visit)
            sketched = self.tools.sketch.taken()
            if self.done % self.every == 0:
                anew, products = self.reader.anew(update)
                self.tools.sketch.taken()
                self.self_tests.append(SelfTest(self.done, "recursion", _apart(scalars, anew), AGREE))
                scalars, self._anew_at = anew, self.done
        else:
            scalars, products = self.reader.anew(update, visit)
            sketched, self._anew_at = self.tools.sketch.taken(), self.done
        self._products, self._update = products, update
        return scalars, sketched

    def _recurs(self, settings: OptimizerSettings) -> bool:
        """Whether the products of the update before are there, made under the same setting but for the rate."""
        return self._products is not None and self._settings is not None and _alike(self._settings, settings)

    def _visit(self) -> Visitor | None:
        """What keeps the buffers of an update for the projections."""
        return None if self.tools.projections is None or self._gone else self.tools.projections.visit

    def _not_finite(self, settings: OptimizerSettings, scalars: Scalars) -> Observed:
        """Weights that are no numbers stay so: the row is kept, everything else has ended."""
        if self.tools.projections is not None:
            if not self._gone:
                self.tools.projections.take()
            self.tools.projections.repeat_row(finite=False)
        self._gone = True
        return Observed(settings, scalars, NOT_FINITE, None, None)

    def _hold_to_anchors(self, position: Floats, offset_norm2: float) -> None:
        """Exact and sketched displacements must agree within 4√(2/d)."""
        allowed = 4 * float(np.sqrt(2 / self.tools.sketch.dimension))
        for exact, sketched in self.tools.anchors.look(self.done, position, offset_norm2):
            if exact > 0:
                self.self_tests.append(SelfTest(self.done, "sketch", abs(sketched / exact - 1), allowed))


def _alike(a: OptimizerSettings, b: OptimizerSettings) -> bool:
    """Whether the recursion of scalars may go on: all but rate and momentum is the same, and a buffer was kept."""
    names = ("dampening", "nesterov", "weight_decay", "maximize")
    return (a.momentum != 0) == (b.momentum != 0) and all(getattr(a, name) == getattr(b, name) for name in names)


def _products_apart(a: Products, b: Products, step_norm2: float) -> float:
    """Largest difference, each relative to what it could be."""
    offset2, buffer2 = (float(abs(x).sum()) for x in (b.offset2, b.buffer2))
    reach = np.sqrt(offset2) + np.sqrt(step_norm2)
    return float(
        max(
            abs(float((a.offset2 - b.offset2).sum())) / (reach**2 or 1),
            abs(float((a.offset_buffer - b.offset_buffer).sum())) / (reach * np.sqrt(buffer2) or 1),
            abs(float((a.buffer2 - b.buffer2).sum())) / (buffer2 or 1),
        )
    )


def _apart(a: Scalars, b: Scalars) -> float:
    """Largest difference, each relative to what it could be."""
    reach = np.sqrt(b.offset_norm2) + np.sqrt(b.step_norm2)
    return float(
        max(
            abs(a.gradient_norm2 - b.gradient_norm2) / (b.gradient_norm2 or 1),
            abs(a.offset_dot_gradient - b.offset_dot_gradient) / (reach * np.sqrt(b.gradient_norm2) or 1),
            abs(a.offset_norm2 - b.offset_norm2) / (reach**2 or 1),
            abs(a.step_norm2 - b.step_norm2) / (b.step_norm2 or 1),
        )
    )
