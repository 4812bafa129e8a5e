"""The passes of `limen.adapt.passes` computed by torch: on a GPU where there is one, on the CPU to compare.

Products run in the precision asked for, TF32 off; sums over blocks are float64. The rows are copied to the device once;
per pass only weights, values and gradients travel. The only file of this folder that imports torch, when first used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.adapt.feature_map import Matrix
from limen.adapt.passes import Passes
from limen.data.extras import require
from limen.records.errors import BadInput, Problem
from limen.records.task import Integers

BLOCK_SCORES = 1 << 25
"""Scores of one block: 128 MB in float32."""


class TorchPasses(Passes):
    """Passes whose products run on `device`; everything else as in `Passes`, also for two classes."""

    def __init__(
        self,
        features: NDArray[np.floating],
        labels: Integers,
        classes: int,
        shares: Matrix | None = None,
        precision: type[np.floating] = np.float32,
        constant: float = 0.0,
        device: str = "cpu",
    ) -> None:
        """As `Passes`; `device` is "cpu", "cuda" or "cuda:1". Raises BadInput for one that is not there."""
        super().__init__(features, labels, classes, shares, precision, constant)
        torch = self._torch = torch_on(device)
        self.device = device

        def there(values: NDArray[Any]) -> Any:
            return torch.from_numpy(np.ascontiguousarray(values)).to(device)

        self._there = there
        self._x, self._y = there(self.features), there(labels.astype(np.int64))
        self._shares = None if self.shares is None else there(self.shares)

    def measure(self, weights: Matrix, which: Integers, spreads: bool = False) -> tuple[Matrix, Matrix, Matrix]:
        """L̂ [A], ∇L̂ [A, K, r] and, if asked for, Σ_i s_i p_ic(1 − p_ic) [A, K] (else zeros).

        >>> passes = TorchPasses(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2)
        >>> value, gradient = passes(np.zeros((1, 2, 1)), np.array([0]))
        >>> (value / np.log(2)).round(6).tolist(), gradient.tolist()
        ([1.0], [[[-0.5], [0.5]]])
        """
        torch, (many, classes, size) = self._torch, weights.shape
        double = {"dtype": torch.float64, "device": self.device}
        value, gradient = torch.zeros(many, **double), torch.zeros(many * classes, size, **double)
        spread = torch.zeros(many, classes, **double)
        with exact_products(torch):
            for rows, chances, loss in self._softmax_blocks(weights):
                x, share = self._x[rows], self._share(which, rows)
                value += (loss * share).sum(dim=1, dtype=torch.float64)
                if spreads:
                    spread += (chances * (1 - chances) * share[:, None]).sum(dim=2, dtype=torch.float64)
                chances[:, self._y[rows], torch.arange(len(x), device=self.device)] -= 1
                chances *= share[:, None]
                flat = chances.reshape(many * classes, -1)
                gradient[:, : x.shape[1]] += flat @ x
                if self.constant:
                    gradient[:, -1] += self.constant * flat.sum(dim=1, dtype=torch.float64)
        self.count += many
        found = (part.cpu().numpy() for part in (value, gradient.reshape(weights.shape), spread))
        return next(found), next(found), next(found)

    def spread(self, weights: Matrix, which: int = 0) -> NDArray[np.floating]:
        """s_i·p_ic(1 − p_ic) at one adapter [K, r]: [K, n]."""
        spread = np.empty((self.classes, len(self)), dtype=self.precision)
        with exact_products(self._torch):
            for rows, chances, _ in self._softmax_blocks(weights[None]):
                share = self._share(np.array([which]), rows)
                spread[:, rows] = (chances[0] * (1 - chances[0]) * share).cpu().numpy()
        self.count += 1
        return spread

    def _softmax_blocks(self, weights: Matrix) -> Iterator[tuple[slice, Any, Any]]:
        """(rows, probabilities [A, K, rows], losses [A, rows])."""
        torch, (many, classes, size) = self._torch, weights.shape
        flat = self._there(weights.reshape(many * classes, size).astype(self.precision))
        step = max(1, BLOCK_SCORES // (many * classes))
        for start in range(0, len(self), step):
            rows = slice(start, min(start + step, len(self)))
            x, y = self._x[rows], self._y[rows]
            scores = flat[:, : x.shape[1]] @ x.T
            if self.constant:
                scores += flat[:, -1:] * self.constant
            logarithms = torch.log_softmax(scores.reshape(many, classes, -1), dim=1)
            loss = -logarithms[:, y, torch.arange(len(y), device=self.device)]
            yield rows, logarithms.exp_(), loss

    def _share(self, which: Integers, rows: slice) -> Any:
        """Row shares of the problems [A, rows], or one row of 1/n for all."""
        if self._shares is None:
            there = {"dtype": self._x.dtype, "device": self.device}
            return self._torch.full((1, rows.stop - rows.start), 1 / len(self), **there)
        return self._shares[self._there(which.astype(np.int64)), rows]


def passes_on(device: str | None) -> Callable[..., Passes]:
    """What makes the passes of a solver: numpy without a device, torch on one.

    >>> passes_on(None) is Passes
    True

    Raises BadInput as `torch_on` does.
    """
    if device is None:
        return Passes
    torch_on(device)
    return partial(TorchPasses, device=device)


def torch_on(device: str) -> Any:
    """torch, if it is installed and has the device.

    >>> torch_on("cpu").__name__
    'torch'

    Raises BadInput for torch that is not installed, a device that torch does not know, and CUDA without a GPU.
    """
    torch = require("torch", "torch", "passes on a device")
    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError):
        kind = ""
    if kind not in ("cpu", "cuda"):
        raise BadInput(Problem("device", f'expected "cpu", "cuda" or "cuda:N", got {device!r}', fix='device="cuda"'))
    if kind == "cuda":
        number, present = torch.device(device).index or 0, torch.cuda.device_count() if torch.cuda.is_available() else 0
        if number >= present:
            what = f"expected a GPU {device}, torch {torch.__version__} finds {present or 'none'}"
            cause = "no GPU here, no driver, or a torch that was built without CUDA"
            raise BadInput(Problem("device", what, cause, 'device="cpu", or install a torch built for your CUDA'))
    return torch


@contextmanager
def exact_products(torch: Any) -> Iterator[None]:
    """Float32 products without TF32; the setting of the process is restored afterwards.

    >>> import torch
    >>> with exact_products(torch):
    ...     torch.get_float32_matmul_precision()
    'highest'
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
