"""What is seen of one update while its gradients are still there: scalars, sketch, projections, anchors."""

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
        self._settings: OptimizerSettings | None = None
        self._last: Scalars = NONE
        self._path = 0.0
        self._since = 0
        self._gone = False

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
        with np.errstate(all="ignore"):
            move = self.stretchwise.mover(optimizer, update)
            self._made = self.reader.recursive(update, self._products, self._visit(), move)
        self.stretchwise.take_gradients()

    def look(self, optimizer: Any) -> Observed:
        """The update that was just made."""
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

    def check(self, weights_norm: float | None = None) -> None:
        """Hold positions to projections taken anew (where there are modes); the new ones are kept."""
        projections = self.tools.projections
        if projections is None or self._gone or not self._since:
            return
        projections.take()
        apart = projections.track.drift(projections.anew(self.tools.reference))
        norm = self.weights_norm() if weights_norm is None else weights_norm
        allowed = drift_allowed(self._path, norm, self._since)
        self.self_tests.append(SelfTest(self.done, "drift", apart, allowed))
        self._path, self._since = 0.0, 0

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
                scalars = anew
        else:
            scalars, products = self.reader.anew(update, visit)
            sketched = self.tools.sketch.taken()
        self._products = products
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
    """Whether the recursion of scalars may go on: all but the learning rate is the same."""
    names = ("momentum", "dampening", "nesterov", "weight_decay", "maximize")
    return all(getattr(a, name) == getattr(b, name) for name in names)


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
