"""What the last steps taught: pairs of a step s and the change y of the gradient along it, in float32.

For a gradient v and an approximate inverse Hessian P⁻¹ two answers follow:

    inverse    Hv ≈ ∇²F⁻¹v, the two-loop recursion of L-BFGS on top of P⁻¹ (Nocedal 1980)
    least      min_c ‖v − Σ_j c_j y_j‖: the least gradient at any W − Σ_j c_j s_j, F being quadratic over the last steps

A certificate is as good as the gradient is small, and the gradient of a quasi-Newton iterate swings: that of the
combined one is never larger (as minimal residuals beside conjugate gradients), and costs no pass over the rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from limen.adapt.feature_map import Matrix

MEMORY = 16
RIDGE = 1e-6
"""Relative shift of the normal equations of float32 numbers."""
LEAST_CURVATURE = 1e-10
CANCELLED = 0.2
"""Share of ‖v‖² below which the least is computed from its vector."""


class SecantPairs:
    """At most MEMORY pairs of shape [K, m] each."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.steps = np.zeros((MEMORY, shape[0] * shape[1]), dtype=np.float32)
        self.changes = np.zeros_like(self.steps)
        self.along = np.zeros(MEMORY)
        """⟨s_i, y_i⟩"""
        self.gram = np.zeros((MEMORY, MEMORY))
        """⟨y_i, y_j⟩"""
        self.order: list[int] = []
        """Slots, oldest first."""

    def add(self, step: Matrix, change: Matrix) -> None:
        """Learn from one step, if curvature along it was positive."""
        slot = self.order[0] if len(self.order) == MEMORY else len(self.order)
        unit = float(np.abs(change).max()) or 1.0  # so that squares neither over- nor underflow in float32
        s, y = (step.ravel() / unit).astype(np.float32), (change.ravel() / unit).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            along, size = float(s @ y), float(np.sqrt((s @ s) * (y @ y)))
        if not np.isfinite(size) or not along > LEAST_CURVATURE * size:
            return
        self.order = [*(kept for kept in self.order if kept != slot), slot]
        self.steps[slot], self.changes[slot], self.along[slot] = s, y, along
        self.gram[slot] = self.gram[:, slot] = self.changes @ y

    def shift(self, change: Matrix) -> None:
        """Another penalty: y + (λ − λ')s, `change` = λ − λ' on the coordinates that count in the norm [m]."""
        if not self.order:
            return
        moved = self.steps.reshape(MEMORY, *self.shape) * change.astype(np.float32)
        self.changes += moved.reshape(self.steps.shape)
        self.along = np.einsum("mk,mk->m", self.steps, self.changes).astype(np.float64)
        self.gram = (self.changes @ self.changes.T).astype(np.float64)
        kept = [slot for slot in self.order if self.along[slot] > 0]
        if len(kept) < len(self.order):  # slots in use come first
            for of in (self.steps, self.changes):
                of[: len(kept)] = of[kept]
            self.along[: len(kept)] = self.along[kept]
            self.gram[: len(kept), : len(kept)] = self.gram[np.ix_(kept, kept)]
            kept = list(range(len(kept)))
        self.order = kept

    def inverse(self, gradient: Matrix, plain: Callable[[NDArray[np.floating]], Matrix]) -> Matrix:
        """Hv: [K, m] → [K, m], `plain` applies P⁻¹."""
        q, shares = gradient.ravel().astype(np.float32), {}
        for slot in reversed(self.order):
            shares[slot] = np.float32(float(self.steps[slot] @ q) / self.along[slot])
            q -= shares[slot] * self.changes[slot]
        moved = plain(q.reshape(self.shape)).ravel().astype(np.float32)
        if self.order:
            last = self.order[-1]
            divided = float(self.changes[last] @ plain(self.changes[last].reshape(self.shape)).ravel())
            moved *= np.float32(self.along[last] / divided)
        for slot in self.order:
            along = float(self.changes[slot] @ moved) / self.along[slot]
            moved += (shares[slot] - np.float32(along)) * self.steps[slot]
        return moved.reshape(self.shape).astype(np.float64)

    def least_gradient(self, gradient: Matrix) -> tuple[float, Matrix]:
        """min_c ‖v − Σ_j c_j y_j‖² and c by slots.

        >>> pairs = SecantPairs((1, 2))
        >>> pairs.add(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0]]))  # F = w_1² + …
        >>> squared, shares = pairs.least_gradient(np.array([[3.0, 4.0]]))
        >>> round(squared, 3), pairs.back(shares).round(3).tolist()
        (16.0, [[1.5, 0.0]])
        """
        v = gradient.ravel().astype(np.float32)
        used, squared = len(self.order), float(v @ v)
        if not used:
            return squared, np.zeros(0)
        inner: Matrix = (self.changes[:used] @ v).astype(np.float64)
        gram = self.gram[:used, :used].copy()
        gram[np.diag_indices(used)] = gram[np.diag_indices(used)] * (1 + RIDGE) + np.finfo(np.float32).tiny
        c: Matrix = np.linalg.solve(gram, inner).astype(np.float64)
        least = squared - float(inner @ c)
        if least < CANCELLED * squared:  # of two nearly equal numbers only noise is left
            combined = v - c.astype(np.float32) @ self.changes[:used]
            least = float(combined @ combined)
        return least, c

    def back(self, shares: Matrix) -> Matrix:
        """Σ_j c_j s_j [K, m]: what the adapter of least gradient is behind the last one by."""
        moved = shares.astype(np.float32) @ self.steps[: len(shares)]
        return moved.reshape(self.shape).astype(np.float64)
