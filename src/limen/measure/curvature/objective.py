"""The loss whose curvature is asked for: model, loss, batches and parameters, held still while it is measured.

    L(θ) = Σ_b (n_b/N) loss(model, batch_b)

is a function of the weights alone: every module is in eval mode (no dropout), BatchNorm by choice too (`eval`: running
statistics; `train`: those of each batch, running buffers not updated). Mode flags, buffers, the gradients in `.grad`
and torch's random state are left as they were found. A loss that differs between two calls is refused.
Attention is computed by torch's plain formula: its fused kernels have no second derivative.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from limen.measure.curvature.batches import batch_size
from limen.records.curvature import BatchNorm
from limen.records.errors import BadInput, Problem

Loss = Callable[..., Any]
"""(model, batch) → mean loss of the batch's examples, a scalar tensor."""

SAME = 256.0
"""Multiples of eps·|loss| that two calls may differ by (sums in another order on some devices)."""


@dataclass(frozen=True)
class Objective:
    """Model, loss, batches with their sizes, names and tensors of the parameters in order."""

    model: Any
    loss: Loss
    batches: Sequence[Any]
    sizes: tuple[int, ...]
    names: tuple[str, ...]
    parameters: tuple[Any, ...]
    batch_norm: BatchNorm

    @property
    def examples(self) -> int:
        """N."""
        return sum(self.sizes)

    @property
    def size(self) -> int:
        """n, the numbers that the curvature is over."""
        return sum(int(parameter.numel()) for parameter in self.parameters)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the parameters, in order."""
        return tuple(tuple(parameter.shape) for parameter in self.parameters)

    def value(self, batch: Any) -> Any:
        """The loss of one batch, as a tensor with its graph. Raises BadInput where it is no finite scalar."""
        loss = self.loss(self.model, batch)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise BadInput(Problem("loss", f"expected a scalar tensor, got {got}", fix="return the mean of the batch"))
        if not math.isfinite(float(loss.detach())):
            what = f"expected a finite number, got {float(loss.detach())}"
            raise BadInput(Problem("loss", what, cause="weights of a diverged run, or examples that are not finite"))
        return loss.reshape(())

    def views(self, flat: Any) -> tuple[Any, ...]:
        """A flat vector [n] in the shapes of the parameters, without copies."""
        parts = torch.split(flat, [int(parameter.numel()) for parameter in self.parameters])
        return tuple(part.view(shape) for part, shape in zip(parts, self.shapes, strict=True))


@dataclass(frozen=True)
class Choice:
    """Name patterns of the parameters (None: all trainable), BatchNorm mode, sizes of the batches."""

    parameters: Sequence[str] | None = None
    batch_norm: BatchNorm = "eval"
    sizes: Sequence[int] | None = None


def objective(model: Any, loss: Loss, batches: Sequence[Any], choice: Choice) -> Objective:
    """The objective, checked. Raises BadInput with every problem of the arguments."""
    batches = [*batches]
    names, problems = _selected(model, choice.parameters)
    sizes = [batch_size(batch) for batch in batches] if choice.sizes is None else [*choice.sizes]
    if not batches:
        problems.append(Problem("batches", "expected at least one batch, got none", fix="give the data as a list"))
    elif len(sizes) != len(batches) or not all(isinstance(s, (int, np.integer)) and s > 0 for s in sizes):
        what = f"expected the examples of each of {len(batches)} batches, whole numbers above 0, got {sizes}"
        cause = "a batch without tensors, or without examples" if choice.sizes is None else ""
        problems.append(Problem("sizes", what, cause, fix="sizes=[…], one a batch"))
    if choice.batch_norm not in ("eval", "train"):
        what = f"expected 'eval' or 'train', got {choice.batch_norm!r}"
        problems.append(Problem("batch_norm", what, fix="'train' uses the statistics of each batch"))
    if problems:
        raise BadInput(problems)
    found = dict(model.named_parameters())
    return Objective(
        model,
        loss,
        batches,
        tuple(int(s or 0) for s in sizes),
        names,
        tuple(found[n] for n in names),
        choice.batch_norm,
    )


@contextmanager
def held(model: Any, batch_norm: BatchNorm) -> Iterator[None]:
    """The model as the header says, for as long as the block runs; afterwards everything is as it was found."""
    modules = [*model.modules()]
    norms = [m for m in modules if isinstance(m, _BatchNorm)]
    flags = [(m, m.training) for m in modules]
    tracked = [(m, m.track_running_stats) for m in norms]
    buffers = [(b, b.detach().clone()) for b in model.buffers()]
    random = torch.get_rng_state()
    try:
        model.eval()
        if batch_norm == "train":
            for norm in norms:
                norm.training, norm.track_running_stats = True, False  # batch statistics, running ones untouched
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        for module, training in flags:
            module.training = training
        for norm, before in tracked:
            norm.track_running_stats = before
        with torch.no_grad():
            for buffer, value in buffers:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
        torch.set_rng_state(random)


def check_deterministic(objective: Objective) -> None:
    """Raise BadInput where the first batch's loss differs between two calls."""
    with torch.no_grad():
        once, again = (float(objective.value(objective.batches[0])) for _ in range(2))
    eps = torch.finfo(objective.parameters[0].dtype).eps
    if abs(once - again) > SAME * eps * max(abs(once), abs(again)):
        what = f"expected one value for one batch, got {once:.8g} and then {again:.8g}"
        cause = "random augmentation, noise or dropout inside the loss; modules are in eval mode already"
        raise BadInput(Problem("loss", what, cause, "fix the augmented examples and give them as batches"))


def check_finite(values: Any, name: str) -> None:
    """Raise BadInput where a tensor or an array of derivatives, named in words, holds NaN or infinity."""
    found = torch.as_tensor(values)
    good = torch.isfinite(found)
    if not bool(good.all()):
        bad = int(good.numel() - good.sum())
        what = f"expected a finite {name}, got NaN or infinity in {bad:,} of {good.numel():,} numbers"
        cause = "a root, norm or power at 0, where it has no such derivative, or weights of a diverged run"
        raise BadInput(Problem("loss", what, cause, "a smooth form, such as (x² + ε)^½"))


def _selected(model: Any, patterns: Sequence[str] | None) -> tuple[tuple[str, ...], list[Problem]]:
    """Names of the parameters meant, and what is wrong with them."""
    found = dict(model.named_parameters())
    trainable = [name for name, parameter in found.items() if parameter.requires_grad]
    problems: list[Problem] = []
    if patterns is None:
        names = trainable
    else:
        patterns = [patterns] if isinstance(patterns, str) else [*patterns]
        for pattern in patterns:
            if not fnmatch.filter(found, pattern):
                what = f"expected a pattern of parameter names, got {pattern!r}, which matches none"
                problems.append(Problem("parameters", what, fix=f"the model has {', '.join([*found][:8])}, …"))
        names = [name for name in found if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
        if frozen := [name for name in names if name not in trainable]:
            what = f"expected trainable parameters, got frozen ones: {', '.join(frozen)}"
            problems.append(Problem("parameters", what, fix="requires_grad_(True), or leave them out"))
    if not names and not problems:
        what = "expected a model with trainable parameters, got none"
        problems.append(Problem("model", what, cause="all are frozen", fix="requires_grad_(True)"))
    kinds = {(str(found[name].dtype), str(found[name].device), str(found[name].layout)) for name in names}
    if len(kinds) > 1:
        what = f"expected parameters of one type on one device, got {', '.join(map(' '.join, sorted(kinds)))}"
        problems.append(Problem("parameters", what, fix="choose those of one kind by their names"))
    elif kinds and next(iter(kinds))[0] not in ("torch.float32", "torch.float64"):
        what = f"expected float32 or float64 parameters, got {next(iter(kinds))[0]}"
        problems.append(Problem("parameters", what, cause="half precision", fix="model.float()"))
    if kinds and any(kind[2] != "torch.strided" for kind in kinds):
        problems.append(Problem("parameters", "expected dense parameters, got sparse ones", fix="leave them out"))
    return tuple(names), problems
