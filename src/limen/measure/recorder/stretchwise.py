"""SGD's update made while recording, one stretch after the other, each read while it is still in the cache.

Torch's update passes over weights, gradients and buffers several times, and reading what it left takes four passes
more. Here torch's own operations (`_single_tensor_sgd`, torch 2.10–2.13) are applied to stretches of at most 65,536
numbers,

    s = G + λθ;  b ← βb + c·s;  (Nesterov: s ← s + βb, else s = b);  θ ← θ − ηs

and each stretch is read at once: only θ_ref comes from memory besides. The operations go number by number, so weights
and buffers are those of torch's loop bit for bit. That is tried, not believed: under every setting (but for rate and
momentum, which only multiply) one update is made by torch and held to these operations on copies of the first and last
stretch of every parameter; where one bit differs, torch makes all updates. Torch's step is left with nothing to do,
since it passes over parameters without a gradient; gradients are back when it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from limen.measure.recorder.flat import FlatParameters
from limen.measure.recorder.scalars import Move
from limen.measure.recorder.sketch import Stretch
from limen.measure.recorder.update_rule import Update
from limen.records.trajectory import OptimizerSettings

LEAST = 1 << 17
"""Numbers of θ below which an update stays in the cache anyhow."""


class Stretchwise:
    """Who makes the next update, and the update where it is this class."""

    def __init__(self, weights: FlatParameters, stretches: list[Stretch]) -> None:
        self._weights = weights
        self._stretches = stretches
        self._sizes = [[s.stop - s.start for s in stretches if s.parameter == i] for i in range(len(weights.sizes))]
        self._ends = _ends(stretches)
        self._kept: dict[str, tuple[list[int], list[Any]]] = {}
        self._scratch: list[Any] = []
        self._tried: dict[OptimizerSettings, bool] = {}
        self._trial: tuple[OptimizerSettings, list[tuple[int, Any, Any]]] | None = None
        self._taken: list[Any] = []
        self.made = 0
        """Updates made here."""

    def ready(self, optimizer: Any, settings: OptimizerSettings) -> bool:
        """Whether this class makes the update that is due; the first one under a setting is torch's, and a trial."""
        self._trial = None
        if self._weights.total < LEAST or not _plain(optimizer, settings) or not self._in_order(optimizer):
            return False
        key = replace(settings, learning_rate=0.0, momentum=0.0)  # neither is 0 here, and their values only multiply
        if key not in self._tried:
            self._begin_trial(optimizer, settings, key)
            return False
        return self._tried[key]

    def mover(self, optimizer: Any, update: Update) -> Move:
        """What makes the update of a stretch."""
        parameters = self._weights.parameters
        weights, buffers = self._both(optimizer)
        gradients = self._split([parameter.grad for parameter in parameters])
        rules = [_rule(update.settings, group) for group in range(len(update.settings.weight_decay))]
        groups = [rules[self._weights.groups[stretch.parameter]] for stretch in self._stretches]
        raw = [update.raw[stretch.parameter][stretch.where] for stretch in self._stretches]

        def move(index: int) -> float:
            groups[index](weights[index], buffers[index], gradients[index], self._scratch[index])
            return float(raw[index].dot(raw[index]))

        return move

    def take_gradients(self) -> None:
        """After the update: torch's step finds nothing to do."""
        self.made += 1
        self._taken = [parameter.grad for parameter in self._weights.parameters]
        for parameter in self._weights.parameters:
            parameter.grad = None

    def forget(self) -> None:
        """Before an update: an exception inside the last one may have left a trial, or gradients that are stale now."""
        self._trial, self._taken = None, []

    def give_back(self) -> None:
        """After torch's step: gradients as they were; what a trial says."""
        for parameter, gradient in zip(self._weights.parameters, self._taken, strict=False):
            parameter.grad = gradient
        self._taken = []

    def end_trial(self, optimizer: Any) -> None:
        """Hold torch's update to the same operations on copies, where one is on trial."""
        if self._trial is None:
            return
        import torch

        (key, expected), self._trial = self._trial, None
        weights, buffers = self._both(optimizer)
        self._tried[key] = all(torch.equal(weights[i], w) and torch.equal(buffers[i], b) for i, w, b in expected)

    def _begin_trial(self, optimizer: Any, settings: OptimizerSettings, key: OptimizerSettings) -> None:
        weights, buffers = self._both(optimizer)
        gradients = self._split([parameter.grad for parameter in self._weights.parameters])
        expected = []
        for index in self._ends:
            rule = _rule(settings, self._weights.groups[self._stretches[index].parameter])
            weight, buffer = weights[index].clone(), buffers[index].clone()
            rule(weight, buffer, gradients[index], self._scratch[index])
            expected.append((index, weight, buffer))
        self._trial = (key, expected)

    def _in_order(self, optimizer: Any) -> bool:
        """Whether every parameter has a gradient and a buffer that lie in memory as it does."""
        if any(order is not None for order in self._weights.orders):
            return False
        for parameter in self._weights.parameters:
            gradient, buffer = parameter.grad, optimizer.state.get(parameter, {}).get("momentum_buffer")
            for tensor in (gradient, buffer):
                if tensor is None or tensor.is_sparse or tensor.dtype != parameter.dtype or not tensor.is_contiguous():
                    return False
            if parameter.device.type != "cpu" or not parameter.is_contiguous():
                return False
        return True

    def _both(self, optimizer: Any) -> tuple[list[Any], list[Any]]:
        """Weights and buffers by stretch: the same tensors while none has moved in memory."""
        parameters = self._weights.parameters
        named = {
            "weights": list(parameters),
            "buffers": [optimizer.state[parameter]["momentum_buffer"] for parameter in parameters],
        }
        for name, tensors in named.items():
            pointers = [tensor.data_ptr() for tensor in tensors]
            if name not in self._kept or self._kept[name][0] != pointers:
                self._kept[name] = (pointers, self._split(tensors))
        if not self._scratch:
            self._scratch = _scratch(self._kept["weights"][1])
        return self._kept["weights"][1], self._kept["buffers"][1]

    def _split(self, tensors: list[Any]) -> list[Any]:
        pairs = zip(tensors, self._sizes, strict=True)
        return [part for tensor, sizes in pairs if sizes for part in tensor.detach().view(-1).split(sizes)]


def _plain(optimizer: Any, settings: OptimizerSettings) -> bool:
    """Whether torch would make the update by `_single_tensor_sgd` on one thread, with nobody looking but this one."""
    import torch
    from torch.optim import optimizer as torch_optimizer

    if settings.name != "SGD" or settings.momentum == 0 or settings.maximize:
        return False
    if settings.decoupled and any(settings.weight_decay):
        return False
    if torch.get_num_threads() != 1 or torch.compiler.is_compiling():
        return False
    everyone = (torch_optimizer._global_optimizer_pre_hooks, torch_optimizer._global_optimizer_post_hooks)
    if any(everyone) or len(optimizer._optimizer_step_pre_hooks) + len(optimizer._optimizer_step_post_hooks) != 2:
        return False  # other hooks may change gradients, or want to see them
    numbers = ("lr", "momentum", "dampening", "weight_decay")
    return not any(
        group["foreach"] or group["fused"] or group["differentiable"]
        or any(isinstance(group[name], torch.Tensor) for name in numbers)
        for group in optimizer.param_groups
    )  # fmt: skip


def _rule(settings: OptimizerSettings, group: int) -> Callable[[Any, Any, Any, Any], None]:
    """Torch's operations on weights, buffer and gradient of one stretch, in place; `scratch` is as long."""
    import torch

    add = torch.add
    rate, momentum, share = settings.learning_rate, settings.momentum, 1 - settings.dampening
    decay, nesterov = settings.weight_decay[group], settings.nesterov

    def rule(weight: Any, buffer: Any, gradient: Any, scratch: Any) -> None:
        if decay:
            gradient = add(gradient, weight, alpha=decay, out=scratch)
        buffer.mul_(momentum).add_(gradient, alpha=share)
        direction = add(gradient, buffer, alpha=momentum, out=scratch) if nesterov else buffer
        weight.add_(direction, alpha=-rate)

    return rule


def _ends(stretches: list[Stretch]) -> list[int]:
    """Numbers of the first and the last stretch of every parameter."""
    found: dict[int, tuple[int, int]] = {}
    for index, stretch in enumerate(stretches):
        found[stretch.parameter] = (found.get(stretch.parameter, (index, index))[0], index)
    return sorted({index for pair in found.values() for index in pair})


def _scratch(weights: list[Any]) -> list[Any]:
    """For every stretch a place as long, all over the same memory."""
    import torch

    longest = max((weight.numel() for weight in weights), default=0)
    blocks = {kind: torch.empty(longest, dtype=kind) for kind in {weight.dtype for weight in weights}}
    return [blocks[weight.dtype][: weight.numel()] for weight in weights]
