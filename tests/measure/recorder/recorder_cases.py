"""A small problem that trains in milliseconds, and a loop around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")


def network(seed: int = 0, dtype: Any = None) -> Any:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.Tanh(), torch.nn.Linear(30, 5)).to(
        dtype or torch.float32
    )


def batches(steps: int, size: int = 16, seed: int = 1, start: int = 0) -> list[tuple[Any, Any]]:
    """Batches start … start + steps − 1 of one fixed stream."""
    found = []
    for index in range(start, start + steps):
        rng = torch.Generator().manual_seed(seed * 100_003 + index)
        found.append((torch.randn(size, 20, generator=rng), torch.randint(5, (size,), generator=rng)))
    return found


def update(net: Any, optimizer: Any, batch: tuple[Any, Any]) -> Any:
    x, y = batch
    loss = torch.nn.functional.cross_entropy(net(x.to(next(net.parameters()).dtype)), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def train(net: Any, optimizer: Any, data: list[tuple[Any, Any]], after: Callable[[Any], None] | None = None) -> None:
    for batch in data:
        loss = update(net, optimizer, batch)
        if after is not None:
            after(loss)


def numbers(net: Any) -> np.ndarray:
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()]).numpy().copy()


class Modes:
    """k orthonormal directions over all parameters of a network."""

    def __init__(self, net: Any, count: int = 3, names: tuple[str, ...] | None = None) -> None:
        chosen = [p for name, p in net.named_parameters() if names is None or name in names]
        total = sum(p.numel() for p in chosen)
        basis = np.linalg.qr(np.random.default_rng(0).standard_normal((total, count)))[0].T
        self.vectors = np.ascontiguousarray(basis, dtype=np.float32)
        self.eigenvalues = np.arange(count, 0, -1.0)
        if names is not None:
            self.names = names
