"""What one update of torch's SGD, Adam and AdamW did, read off after it from θ_k, the gradient and the buffers.

With θ = θ_{k−1} (before), θ' = θ_k (after), G = ∇ℓ_B(θ) as `backward` left it (negated for `maximize`):

    SGD           g = G + λθ;  b ← βb + c·g, c = 1 − dampening (b = g at the first update);  θ' = θ − ηb;  v' = −b
    … Nesterov    the same with θ' = θ − ηu, u = g + βb
    … β = 0       θ' = θ − ηg;  v' = −g
    … decoupled   g = G;  b, and d = b or (Nesterov) g + βb, as above;  θ' = (1 − ηλ)θ − ηd;  v' = −b, −g without β
    Adam          g = G + λθ (coupled);  θ' = θ − ηm̂/(√ŝ + ε);  v' := (θ' − θ)/η
    AdamW         g = G;  θ' = (1 − ηλ)θ − ηm̂/(√ŝ + ε);  v' := (θ' − θ)/η

θ is not kept: it follows from θ' and u = (θ − θ')/η; decoupled, u = (d + λθ')/(1 − ηλ). Source: torch.optim 2.10–2.13
(`_single_tensor_*`, `_multi_tensor_*`, `_fused_*`); SGD with decoupled decay is limen.pretrain's `DecoupledSGD`.
`foreach=True` Nesterov without decay leaves G + βb in `.grad`; that is undone.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from limen.measure.recorder.flat import Array, FlatParameters
from limen.records.errors import BadInput, Problem
from limen.records.trajectory import OptimizerSettings

SUPPORTED = "torch.optim.SGD (every option), torch.optim.Adam, torch.optim.AdamW and a study's decoupled SGD"
FROZEN = (
    "Adam's preconditioner changes with every update; read as SGD, the recording takes it as frozen (approximate): "
    "v is (θ' − θ)/η and curvature has to be taken in the coordinates P^(−1/2)θ"
)
SAME = ("lr", "momentum", "dampening", "nesterov", "maximize", "betas", "eps", "amsgrad", "decoupled_weight_decay")


@dataclass(frozen=True, slots=True)
class Formed:
    """Of one stretch of weights: minus the velocity, the step over −η, the gradient."""

    buffer: Array
    """b = −v'."""
    direction: Array
    """u = (θ − θ')/η."""
    gradient: Array
    """g."""


def unwrapped(optimizer: Any) -> Any:
    """The torch optimizer inside the wrappers of Accelerate and Lightning."""
    for name in ("optimizer", "_optimizer"):
        inner = getattr(optimizer, name, None)
        if inner is not None and hasattr(inner, "param_groups"):
            return unwrapped(inner)
    return optimizer


def kind_of(optimizer: Any) -> str:
    """`SGD`, `Adam` or `AdamW`; raises BadInput for what makes other updates."""
    import torch

    from limen.pretrain.optimizers import DecoupledSGD

    rules = (("SGD", DecoupledSGD), *((name, getattr(torch.optim, name)) for name in ("SGD", "AdamW", "Adam")))
    for name, known in rules:
        if isinstance(optimizer, known) and inspect.unwrap(type(optimizer).step) is inspect.unwrap(known.step):
            return name
    what = f"expected one of {SUPPORTED}, got {type(optimizer).__module__}.{type(optimizer).__qualname__}"
    cause = "the velocity and the gradient are read off the update rule, which has to be known"
    raise BadInput(Problem("optimizer", what, cause=cause, fix="train with one of these, or record without limen"))


def settings_of(optimizer: Any, kind: str) -> OptimizerSettings:
    """The setting of the next or last update; raises BadInput where groups differ in more than their decay.

    SGD with decoupled decay has one decay for all groups: what it takes from θ_ref is then one vector.
    """
    from limen.pretrain.optimizers import DecoupledSGD

    groups = optimizer.param_groups
    apart = isinstance(optimizer, DecoupledSGD)
    first = groups[0]
    problems = []
    for key in (key for key in SAME if key in first):
        values = sorted({str(_plain(group[key])) for group in groups})
        if len(values) > 1:
            what = f"expected one {key} for all parameter groups, got {', '.join(values)}"
            cause = "the velocity of the run as a whole is defined for one rate and one momentum"
            problems.append(
                Problem("optimizer", what, cause=cause, fix="give groups the same, weight_decay may differ")
            )
    decays = tuple(float(group["weight_decay"]) for group in groups)
    decoupled = apart or kind == "AdamW" or (kind == "Adam" and bool(first.get("decoupled_weight_decay", False)))
    if apart and len(set(decays)) > 1:
        what = f"expected one weight_decay for all groups of an SGD with decoupled decay, got {sorted(set(decays))}"
        problems.append(Problem("optimizer", what, fix="give groups the same, or a decay in the gradient"))
    if problems:
        raise BadInput(problems)
    if kind == "SGD":
        momentum, dampening = float(first["momentum"]), float(first["dampening"])
    else:
        momentum = dampening = float(first["betas"][0])
    return OptimizerSettings(
        name=kind,
        learning_rate=float(first["lr"]),
        momentum=momentum,
        dampening=dampening,
        nesterov=bool(first.get("nesterov", False)),
        weight_decay=decays,
        decoupled=decoupled,
        maximize=bool(first["maximize"]) and not apart,  # which DecoupledSGD does not look at
    )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return tuple(float(entry) for entry in value)
    return value if isinstance(value, bool) else float(value)


def _altered(group: dict[str, Any], settings: OptimizerSettings) -> bool:
    """Whether torch's foreach Nesterov ran, which adds βb to the gradients in place."""
    if settings.name != "SGD" or not settings.nesterov or settings.maximize or settings.decoupled or group["fused"]:
        return False
    foreach = group["foreach"]
    return bool(all(p.is_cuda for p in group["params"]) if foreach is None else foreach)


class Update:
    """One update that was just made, with views of everything it left behind."""

    def __init__(self, optimizer: Any, settings: OptimizerSettings, weights: FlatParameters) -> None:
        self.settings = settings
        self.weights = weights
        self.after = weights.kept("after", weights.parameters)
        self.raw = weights.views([parameter.grad for parameter in weights.parameters])
        state = [optimizer.state.get(parameter, {}) for parameter in weights.parameters]
        self.buffers: list[Array] | None = None
        self._moments: list[tuple[Array, Array, float, float]] = []
        self.altered = np.array([_altered(group, settings) for group in optimizer.param_groups])
        """By parameter group: whether `.grad` holds G + βb where λ = 0."""
        if settings.name == "SGD":
            if settings.momentum != 0:
                self.buffers = weights.kept("buffer", [entry["momentum_buffer"] for entry in state])
        else:
            self._adam(optimizer.param_groups[0], state)

    def _adam(self, group: dict[str, Any], state: Sequence[dict[str, Any]]) -> None:
        """m, s, and the factors with which u = m·first/(√s·second + ε) is Adam's direction."""
        self._epsilon = float(group["eps"])
        beta1, beta2 = (float(beta) for beta in group["betas"])
        name = "max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"
        means = self.weights.kept("mean", [entry["exp_avg"] for entry in state])
        squares = self.weights.kept("square", [entry[name] for entry in state])
        for mean, square, entry in zip(means, squares, state, strict=True):
            done = float(entry["step"])
            self._moments.append((mean, square, 1 / (1 - beta1**done), (1 - beta2**done) ** -0.5))

    def formed(self, parameter: int, stretch: slice) -> Formed:
        """b, u and g of a stretch of one parameter: the plain reading of the rule; views where nothing is done."""
        said = self.settings
        decay = said.weight_decay[self.weights.groups[parameter]]
        gradient = self.raw[parameter][stretch]
        if said.maximize:
            gradient = -gradient
        after = self.after[parameter][stretch]
        if said.name != "SGD":
            return self._adam_formed(parameter, stretch, gradient, after)
        shrunk = 1 - said.learning_rate * decay
        if said.decoupled and decay:
            buffer = gradient if self.buffers is None else self.buffers[parameter][stretch]
            direction = gradient + said.momentum * buffer if said.nesterov else buffer
            return Formed(buffer, (direction + decay * after) / shrunk, gradient)
        if self.buffers is None:
            gradient = (gradient + decay * after) / shrunk if decay else gradient
            return Formed(gradient, gradient, gradient)
        buffer = self.buffers[parameter][stretch]
        if not said.nesterov:
            gradient = gradient + decay * (after + said.learning_rate * buffer) if decay else gradient
            return Formed(buffer, buffer, gradient)
        if self.altered[self.weights.groups[parameter]] and decay == 0:
            gradient = gradient - said.momentum * buffer
        if decay:
            gradient = (gradient + decay * (after + said.learning_rate * said.momentum * buffer)) / shrunk
        return Formed(buffer, gradient + said.momentum * buffer, gradient)

    def _adam_formed(self, parameter: int, stretch: slice, gradient: Array, after: Array) -> Formed:
        """u = m·first/(√s·second + ε), with AdamW's decay put into it; g with Adam's."""
        said = self.settings
        decay = said.weight_decay[self.weights.groups[parameter]]
        mean, square, first, second = self._moments[parameter]
        direction = np.sqrt(square[stretch])
        direction *= second
        direction += self._epsilon
        np.divide(mean[stretch], direction, out=direction)
        shrunk = 1 - said.learning_rate * decay if said.decoupled else 1.0
        direction *= first / shrunk
        if decay and said.decoupled:
            direction += (decay / shrunk) * after
        elif decay:
            gradient = gradient + decay * (after + said.learning_rate * direction)
        return Formed(direction, direction, gradient)
