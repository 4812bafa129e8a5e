"""Rows as a file or a caller gave them, before anything was checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RawRows:
    """Unchecked features, labels and, where given, groups and ids, with the names to use in messages about them."""

    where: str
    """The file, or empty for arrays given by a caller."""
    features: NDArray[Any]
    labels: NDArray[Any]
    groups: NDArray[Any] | None = None
    ids: NDArray[Any] | None = None
    names: tuple[str, str, str, str] = ("X", "y", "group", "id")
    """What features, labels, groups and ids are called there."""
    notes: tuple[str, ...] = ()
    """What the reader left out or converted, in sentences for a person."""

    def place(self, part: int) -> str:
        """Where a problem with features (0), labels (1), groups (2) or ids (3) is.

        >>> import numpy as np
        >>> RawRows("train.npz", np.zeros((1, 1)), np.zeros(1)).place(1)
        'train.npz: y'
        """
        return f"{self.where}: {self.names[part]}" if self.where else self.names[part]
