"""Strengths of the random views of an image, as plain numbers: part of the name of a pretraining loss."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Strengths of the random transformations; every one is off at its default.

    >>> Augmentation(crop=0.6, noise=0.05).text()
    'crop 0.6, noise 0.05'
    """

    crop: float = 1.0
    """Smallest side of the window, as a share of the image's side."""
    flip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    grayscale: float = 0.0
    noise: float = 0.0

    @classmethod
    def usual(cls, channels: int) -> Self:
        """Strengths used when a study names none: photographs for 3 channels, written characters for 1.

        >>> Augmentation.usual(1).flip, Augmentation.usual(3).flip
        (False, True)
        """
        if channels == 3:
            return cls(crop=0.5, flip=True, brightness=0.4, contrast=0.4, saturation=0.4, grayscale=0.2, noise=0.02)
        return cls(crop=0.6, brightness=0.3, contrast=0.3, noise=0.1)

    def text(self) -> str:
        """The transformations that are on, with their strengths: part of the name of a pretraining loss."""
        parts = []
        for f in fields(self):
            value = getattr(self, f.name)
            if value != f.default:
                parts.append(f.name if value is True else f"{f.name} {value:g}")
        return ", ".join(parts) or "no augmentation"
