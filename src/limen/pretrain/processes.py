"""The processes that train one model together; one of them where nothing else is said.

Process r of w takes micro-batches r, r + w, … of every update; losses and gradients are averaged over the processes
before the update is made, so that it is that of one process which takes all micro-batches itself, up to the order of
sums. The gradients travel as one vector after the last micro-batch. torch's own wrapper would send them while others
are still computed; it also hangs when one process meets a loss that is not finite and the others do not, which here
is a value that all of them see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Processes:
    """This process and how many there are; with more than one, torch.distributed has been initialised.

    >>> Processes().mean(2.0), Processes(1, 2).share(["a", "b", "c", "d"])
    (2.0, ['b', 'd'])
    """

    rank: int = 0
    count: int = 1

    def share(self, micros: Sequence[Any]) -> list[Any]:
        """What this process takes of the micro-batches of one update."""
        return list(micros[self.rank :: self.count])

    def mean(self, value: float) -> float:
        """The mean of a number over the processes; not finite where one of them is not."""
        if self.count == 1:
            return value
        import torch
        from torch import distributed

        tensor = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(tensor)
        return float(tensor) / self.count

    def average(self, parameters: Sequence[Any]) -> None:
        """Replace every gradient by its mean over the processes; a parameter without one counts as 0."""
        if self.count == 1:
            return
        import torch
        from torch import distributed

        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
        distributed.all_reduce(flat)
        flat /= self.count
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)
