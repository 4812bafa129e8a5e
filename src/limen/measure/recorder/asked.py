"""What may be said about a recording beside model, optimizer and folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypedDict

Mode = Literal["full", "lean"]


class Options(TypedDict, total=False):
    """Keyword arguments of `limen.record`."""

    batch_size: int | None
    """Examples of one update over all devices and accumulated batches."""
    sampling: str | None
    """`reshuffle`, `iid`, `replacement` or `same-order`: how batches are drawn (kept for the analysis)."""
    examples: int | None
    """Training examples in all."""
    mode: Mode
    """`full`: 8 anchors, up to 20 modes; `lean`: 3 anchors, up to 5 modes."""
    memory: int | None
    """Bytes that recording may take; None: what the machine has free."""
    resume: bool | int
    """Go on with the recording in the folder; a number says how many updates the restored weights have seen."""
    sketch: int
    """d."""
    every: int
    """Updates a shard."""
    seed: int
    """Of the sketch."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`Options` with their defaults, and the modes."""

    modes: Any = None
    batch_size: int | None = None
    sampling: str | None = None
    examples: int | None = None
    mode: Mode = "full"
    memory: int | None = None
    resume: bool | int = False
    sketch: int = 1024
    every: int = 1000
    seed: int = 0
