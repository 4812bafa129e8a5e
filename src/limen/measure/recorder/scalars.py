"""The exact scalars of one update, read once from memory: two ways that must agree.

Anew (slow, plain): θ, g and u are formed stretch by stretch (`Update.formed`) and multiplied out.

By recursion, for SGD with a buffer: b = βb₀ + cg ties three of the products to those of the update before (index 0),
so that only ⟨b, b⟩, ⟨θ', b⟩, ⟨θ_ref, b⟩ and ⟨G, G⟩ are taken (o' = θ' − θ_ref):

    ⟨o, g⟩ = (⟨o, b⟩ − β⟨o, b⟩₀)/c,   ⟨o, b⟩ = ⟨o', b⟩ + η⟨u, b⟩,   ‖g‖² = ‖G‖² + 2λ⟨θ, g⟩ − λ²‖θ‖²
    Nesterov (c = 1, u = g + βb):   ⟨g, b⟩ = (‖b‖² + ‖g‖² − β²‖b‖₀²)/2

Products of float32 weights are summed in float32 over at most 65,536 numbers and then in float64: relative to ‖x‖‖y‖
their rounding is below 1e-6, and ⟨o', b⟩ from two such products is off by about 3e-10·‖θ‖‖b‖. The recursion is right
only while nobody else changes weights or buffers; it is held to the plain way every `every` updates, and the plain way
is taken after each change of setting, and at every update where decay is decoupled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from limen.measure.recorder.flat import Array, FlatParameters
from limen.measure.recorder.sketch import CountSketch, Place, Stretch, added
from limen.measure.recorder.update_rule import Formed, Update
from limen.records.trajectory import Floats

SMALLEST_SHARE = 0.05
"""c below which the recursion would lose too many digits."""
Visitor = Callable[[Stretch, Array], None]
Move = Callable[[int], float]
"""Makes the update of a stretch, by its number; gives ⟨G, G⟩ of it."""
Planned = tuple[int, Array, Array, Array, Place, Stretch]
"""Group, θ', θ_ref and b of one stretch, and where it goes in the sketch."""


@dataclass(frozen=True, slots=True)
class Products:
    """By parameter group [G]: what the next update's recursion needs, taken at θ'."""

    buffer2: Floats
    """⟨b, b⟩"""
    offset_buffer: Floats
    """⟨o', b⟩"""
    weights_buffer: Floats
    """⟨θ', b⟩; 0 without decay."""
    weights2: Floats
    """⟨θ', θ'⟩; 0 without decay."""
    offset2: Floats
    """⟨o', o'⟩"""


@dataclass(frozen=True, slots=True)
class Scalars:
    """The numbers of one row (see limen.records.trajectory)."""

    velocity_norm2: float
    gradient_norm2: float
    offset_dot_gradient: float
    offset_dot_velocity: float
    offset_norm2: float
    step_norm2: float

    @property
    def finite(self) -> bool:
        """Whether weights, gradient and buffers are numbers."""
        return bool(np.isfinite([self.velocity_norm2, self.gradient_norm2, self.offset_norm2]).all())


class Reader:
    """Takes the products of an update with one pass over the weights, and the sketch on the way."""

    def __init__(self, reference: list[Array], sketch: CountSketch, groups: int) -> None:
        self.reference = reference
        self.sketch = sketch
        self.groups = groups
        self._offset = np.empty(max(s.stop - s.start for s in sketch.stretches), dtype=reference[0].dtype)
        self._plan: list[Planned] = []
        self._for: tuple[list[Array], list[Array]] | None = None

    def anew(self, update: Update, visit: Visitor | None = None) -> tuple[Scalars, Products]:
        """Everything multiplied out; `visit` is shown minus the velocity of every stretch."""
        rate = update.settings.learning_rate
        recurs = update.buffers is not None and any(update.settings.weight_decay)
        sums = np.zeros((8, self.groups))
        for stretch in self.sketch.stretches:
            index, where = stretch.parameter, stretch.where
            after = update.after[index][where]
            offset = np.subtract(after, self.reference[index][where], out=self._offset[: after.size])
            formed = update.formed(index, where)
            buffer = formed.buffer.astype(offset.dtype, copy=False)
            self.sketch.add(stretch, buffer)
            if visit is not None:
                visit(stretch, buffer)
            sums[:, update.weights.groups[index]] += _products(offset, formed, after if recurs else None)
        totals = sums.sum(1)
        buffer2, offset_buffer, gradient2, offset_gradient, direction_gradient, direction2, offset2 = totals[:7]
        row = Scalars(
            velocity_norm2=buffer2,
            gradient_norm2=gradient2,
            offset_dot_gradient=offset_gradient + rate * direction_gradient,
            offset_dot_velocity=-offset_buffer,
            offset_norm2=offset2,
            step_norm2=rate**2 * direction2,
        )
        weights2 = self._weights2(update) if recurs else np.zeros(self.groups)
        return row, Products(sums[0], sums[1], sums[7], weights2, sums[6])

    def products(self, weights: FlatParameters, buffers: list[Array]) -> Products:
        """`Products` of weights and buffers as they are: the plain reading, which needs no gradient."""
        found = np.zeros((5, self.groups))
        after = weights.kept("after", weights.parameters)
        for stretch in self.sketch.stretches:
            index, where = stretch.parameter, stretch.where
            now, buffer = after[index][where], buffers[index][where]
            offset = np.subtract(now, self.reference[index][where], out=self._offset[: now.size])
            pairs = ((buffer, buffer), (offset, buffer), (now, buffer), (now, now), (offset, offset))
            found[:, weights.groups[index]] += [float(a.dot(b)) for a, b in pairs]
        return Products(*found)

    def position(self, weights: FlatParameters) -> Floats:
        """S(θ − θ_ref) [d] of the weights as they are."""
        after = weights.kept("after", weights.parameters)
        for stretch in self.sketch.stretches:
            index, where = stretch.parameter, stretch.where
            now = after[index][where]
            self.sketch.add(stretch, np.subtract(now, self.reference[index][where], out=self._offset[: now.size]))
        return self.sketch.taken()

    def _weights2(self, update: Update) -> Floats:
        """⟨θ', θ'⟩ by group."""
        found = np.zeros(self.groups)
        for group, after in zip(update.weights.groups, update.after, strict=True):
            found[group] += float(after.dot(after))
        return found

    def recursive(
        self, update: Update, last: Products, visit: Visitor | None = None, move: Move | None = None
    ) -> tuple[Scalars, Products]:
        """The same from four products and those of the update before; see `can_recur`.

        `move` makes the update of every stretch before it is read, where torch has not made it.
        """
        buffer2, weights_buffer, reference_buffer, raw2 = np.zeros((4, self.groups)).tolist()
        for index, (group, after, reference, buffer, place, stretch) in enumerate(self._planned_for(update)):
            if move is not None:
                raw2[group] += move(index)
            buffer2[group] += float(buffer.dot(buffer))
            weights_buffer[group] += float(after.dot(buffer))
            reference_buffer[group] += float(reference.dot(buffer))
            added(place, buffer)
            if visit is not None:
                visit(stretch, buffer)
        if move is None:
            for group, raw in zip(update.weights.groups, update.raw, strict=True):
                raw2[group] += float(raw.dot(raw))
        taken = np.array([buffer2, weights_buffer, reference_buffer, raw2])
        return _recurred(update, last, (taken[0], taken[1] - taken[2], taken[1], taken[3]))

    def _planned_for(self, update: Update) -> list[Planned]:
        """Views of every stretch, made anew only when torch has moved a tensor."""
        assert update.buffers is not None
        if self._for is None or self._for[0] is not update.after or self._for[1] is not update.buffers:
            self._for = (update.after, update.buffers)
            self._plan = []
            for stretch in self.sketch.stretches:
                index, where = stretch.parameter, stretch.where
                buffer = update.buffers[index][where]
                views = (update.after[index][where], self.reference[index][where], buffer)
                place = self.sketch.place(stretch, buffer.dtype.type)
                self._plan.append((update.weights.groups[index], *views, place, stretch))
        return self._plan


def _products(offset: Array, formed: Formed, after: Array | None) -> list[float]:
    """⟨b,b⟩ ⟨o',b⟩ ⟨g,g⟩ ⟨o',g⟩ ⟨u,g⟩ ⟨u,u⟩ ⟨o',o'⟩ ⟨θ',b⟩ of one stretch; arrays that are the same are taken once."""
    buffer, direction, gradient = formed.buffer, formed.direction, formed.gradient
    buffer2, offset_buffer = float(buffer.dot(buffer)), float(offset.dot(buffer))
    plain = gradient is buffer
    return [
        buffer2,
        offset_buffer,
        buffer2 if plain else float(gradient.dot(gradient)),
        offset_buffer if plain else float(offset.dot(gradient)),
        buffer2 if plain and direction is buffer else float(direction.dot(gradient)),
        buffer2 if direction is buffer else float(direction.dot(direction)),
        float(offset.dot(offset)),
        0.0 if after is None else float(after.dot(buffer)),
    ]


def can_recur(update: Update, last: Products | None) -> bool:
    """Whether the products of the update before suffice for this one."""
    said = update.settings
    if said.decoupled and any(said.weight_decay):
        return False
    return last is not None and update.buffers is not None and 1 - said.dampening >= SMALLEST_SHARE


def _recurred(update: Update, last: Products, taken: tuple[Floats, Floats, Floats, Floats]) -> tuple[Scalars, Products]:
    """The identities of the header, by group."""
    buffer2, offset_buffer, weights_buffer, raw2 = taken
    said = update.settings
    rate, beta, share = said.learning_rate, said.momentum, 1 - said.dampening
    decays = np.array(said.weight_decay)
    if said.nesterov:
        lost = buffer2 - beta**2 * last.buffer2
        weights_part = weights_buffer + rate * beta * buffer2 - beta * last.weights_buffer
        gradient2 = (raw2 - decays**2 * last.weights2 + 2 * decays * weights_part + rate * decays * lost) / (
            1 - rate * decays
        )
        if update.altered.any():
            undone = (raw2 - beta * lost - beta**2 * buffer2) / (1 + beta)
            gradient2 = np.where(update.altered & (decays == 0), undone, gradient2)
        crossed = (lost + gradient2) / 2
        direction_buffer = crossed + beta * buffer2
        direction2 = gradient2 + 2 * beta * crossed + beta**2 * buffer2
    else:
        direction_buffer = direction2 = buffer2
        before = weights_buffer + rate * direction_buffer
        weights_gradient = (before - beta * last.weights_buffer) / share
        gradient2 = raw2 + 2 * decays * weights_gradient - decays**2 * last.weights2
    offset_gradient = (offset_buffer + rate * direction_buffer - beta * last.offset_buffer) / share
    weights_gradient = (weights_buffer + rate * direction_buffer - beta * last.weights_buffer) / share
    if said.nesterov:
        offset_direction = offset_gradient + beta * (offset_buffer + rate * direction_buffer)
        weights_direction = weights_gradient + beta * (weights_buffer + rate * direction_buffer)
    else:
        offset_direction = offset_buffer + rate * direction_buffer
        weights_direction = weights_buffer + rate * direction_buffer
    row = Scalars(
        velocity_norm2=float(buffer2.sum()),
        gradient_norm2=float(gradient2.sum()),
        offset_dot_gradient=float(offset_gradient.sum()),
        offset_dot_velocity=-float(offset_buffer.sum()),
        offset_norm2=float((last.offset2 - 2 * rate * offset_direction + rate**2 * direction2).sum()),
        step_norm2=rate**2 * float(direction2.sum()),
    )
    products = Products(
        buffer2,
        offset_buffer,
        weights_buffer,
        last.weights2 - 2 * rate * weights_direction + rate**2 * direction2 if decays.any() else last.weights2,
        last.offset2 - 2 * rate * offset_direction + rate**2 * direction2,
    )
    return row, products
