"""The image itself as features: pixels in [0, 1], flattened in the order row, column, channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.models.encoder import Features, InputKind, fingerprint_of
from limen.records.errors import BadInput, Problem


@dataclass(frozen=True, slots=True)
class Pixels:
    """Images [n, h, w, c] → [n, h·w·c]: uint8 divided by 255, float as it is.

    >>> Pixels().encode(np.full((1, 1, 2, 1), 255, dtype=np.uint8)).tolist()
    [[1.0, 1.0]]
    """

    input: InputKind = "image"
    dimension: int | None = None

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """Scale of the pixels."""
        return {"scale": "[0, 1]"}

    @property
    def fingerprint(self) -> str:
        """Of nothing but its name: it has no weights."""
        return fingerprint_of({"source": "pixels"})

    def encode(self, inputs: Any) -> Features:
        """Raises BadInput for arrays that are not images."""
        images = unit_images(inputs)
        return images.reshape(len(images), -1)


def unit_images(images: NDArray[Any]) -> NDArray[np.float32]:
    """Images [n, h, w, c] as float32 in [0, 1]. Raises BadInput for another shape, type or range."""
    images = np.asarray(images)
    problems = []
    if images.ndim != 4:
        problems.append(Problem("images", f"expected images of shape [n, h, w, c], got {list(images.shape)}"))
    if images.dtype == np.uint8:
        scale = np.float32(255)
    elif images.dtype.kind == "f":
        scale = np.float32(1)
        if images.size and not (images.min() >= 0 and images.max() <= 1):
            what = f"expected float pixels in [0, 1], got {images.min():.4g} to {images.max():.4g}"
            problems.append(Problem("images", what, fix="divide by the largest possible value, or give uint8 pixels"))
    else:
        problems.append(Problem("images", f"expected uint8 or float pixels, got {images.dtype}"))
    if problems:
        raise BadInput(problems)
    return images.astype(np.float32) / scale


def eight_bit_images(images: NDArray[Any], channels: int = 3) -> NDArray[np.uint8]:
    """Images [n, h, w, `channels`] as uint8, as image processors take them; floats in [0, 1] are rounded to 256 levels.

    A grey image is repeated over the channels. Raises BadInput for any other number of them.

    >>> eight_bit_images(np.full((1, 1, 1, 1), 0.2, dtype=np.float32)).tolist()
    [[[[51, 51, 51]]]]
    """
    unit = unit_images(images)
    given = unit.shape[3]
    if given not in (1, channels):
        what = f"expected images with {' or '.join(str(c) for c in sorted({1, channels}))} channels, got {given}"
        raise BadInput(Problem("images", what, fix="convert them, for instance with Pillow's Image.convert"))
    eight = (unit * 255).round().astype(np.uint8)
    return np.repeat(eight, channels, axis=3) if given != channels else eight
