"""S(θ_k − θ_ref) for a fixed linear map S, from S applied to one vector an update: the momentum buffer b.

    SGD, Adam, AdamW    S(θ' − θ_ref) = S(θ − θ_ref) − η·Sb                     (b = −v', see update_rule)
    Nesterov            the same with S(g + βb) = (1 + β)·Sb − β·Sb₀            (b₀ the buffer before, 0 without)
    SGD, decoupled λ    S(θ' − θ_ref) = (1 − ηλ)·S(θ − θ_ref) − ηλ·Sθ_ref − η·Sb    (or Nesterov's)

Sums are float64. What the recursion says is held to S(θ_k − θ_ref) taken anew; float32 weights round every update by
up to 2⁻²⁴|θ_i|, so the two may differ by about 2⁻²⁴‖θ‖√steps, however good the recursion is.
"""

from __future__ import annotations

import numpy as np

from limen.records.trajectory import Floats, OptimizerSettings

ROUNDING = 2.0**-24


class LinearTrack:
    """Where S(θ − θ_ref) is now.

    >>> track = LinearTrack(np.zeros(1))
    >>> said = OptimizerSettings("SGD", 0.1, 0.9, 0.0, False, (0.0,), False, False)
    >>> [float(track.moved(np.ones(1), said)[0]) for _ in range(2)]
    [-0.1, -0.2]
    """

    def __init__(self, position: Floats, buffer: Floats | None = None, reference: Floats | None = None) -> None:
        """`reference` is Sθ_ref, which decoupled decay needs."""
        self.reference = reference
        self.position = position.astype(np.float64)
        self.buffer = np.zeros_like(self.position) if buffer is None else buffer.astype(np.float64)

    def moved(self, buffer: Floats, settings: OptimizerSettings) -> Floats:
        """The position after an update that left Sb."""
        direction = buffer
        if settings.nesterov:
            direction = (1 + settings.momentum) * buffer - settings.momentum * self.buffer
        if settings.name == "SGD" and settings.decoupled and any(settings.weight_decay):
            assert self.reference is not None
            direction = direction + settings.weight_decay[0] * (self.position + self.reference)
        self.position = self.position - settings.learning_rate * direction
        self.buffer = buffer
        return self.position

    def drift(self, anew: Floats) -> float:
        """Distance from the position taken anew, which is kept from here on."""
        apart = float(np.linalg.norm(self.position - anew))
        self.position = anew.astype(np.float64)
        return apart


def drift_allowed(path: float, weights_norm: float, steps: int) -> float:
    """Largest honest distance after some steps: float32 products of the path, rounding of the weights (both × 8)."""
    return 8 * (1e-6 * path + ROUNDING * weights_norm * float(np.sqrt(steps)))
