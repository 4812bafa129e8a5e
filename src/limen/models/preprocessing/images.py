"""Images as they are: pixels [n, h, w, c]; what is left to do is part of every encoder (`Normalised`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from limen.models.encoder import InputKind
from limen.records.errors import BadInput, Problem


@dataclass(frozen=True, slots=True)
class Images:
    """Square images, uint8 or float in [0, 1]."""

    takes: InputKind = "image"

    def array(self, inputs: Any) -> NDArray[np.generic]:
        """The images themselves. Raises BadInput for another shape or type, values outside [0, 1], NaN."""
        return checked_images(np.asarray(inputs), "images")

    def facts(self, array: NDArray[np.generic]) -> dict[str, int]:
        """Channels and pixels a side."""
        return {"in_channels": int(array.shape[3]), "image_size": int(array.shape[1])}

    def plain(self) -> dict[str, Any]:
        """Nothing: images are the kind that is meant where none is named."""
        return {}

    @classmethod
    def restore(cls, plain: Mapping[str, Any]) -> Self:
        """From plain data."""
        del plain
        return cls()


def checked_images(images: NDArray[np.generic], where: str) -> NDArray[np.generic]:
    """The same images, if they are what this module says.

    Raises BadInput for another shape or type, values outside [0, 1], NaN.
    """
    problems = []
    if images.ndim != 4 or images.shape[1] != images.shape[2] or len(images) == 0:
        problems.append(Problem(where, f"expected square images of shape [n, h, h, c], got {list(images.shape)}"))
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        problems.append(Problem(where, f"expected uint8 or float pixels, got {images.dtype}"))
    elif images.dtype.kind == "f" and images.size and not (images.min() >= 0 and images.max() <= 1):
        what = f"expected float pixels in [0, 1], got {images.min()} to {images.max()}"
        problems.append(Problem(where, what, fix="divide by the largest possible value, or give uint8 pixels"))
    if problems:
        raise BadInput(problems)
    return images
