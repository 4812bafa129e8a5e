"""JPEG and PNG bytes to pixels [n, h, w, c] of 8 bits, with Pillow (extra `images`)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.data.extras import require
from limen.data.phrases import names_text, rows_text
from limen.records.errors import BadInput, Problem

PIXEL_LIMIT = 100_000_000
"""An image that claims more pixels is refused before memory is asked for."""
FORMATS = ("JPEG", "PNG")


def decode_images(images: Sequence[bytes], size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Pixels [n, h, w, c]: c = 1 where every image is grey, else 3 (RGB; transparency is dropped).

    `size` = (h, w) resizes every image (bicubic with antialiasing); without it all images must have one size.
    Raises BadInput for bytes that are not a sound JPEG or PNG (with row numbers), images of different sizes, and
    without Pillow.

    >>> from PIL import Image
    >>> content = io.BytesIO(); Image.new("RGB", (2, 1), (255, 0, 7)).save(content, "PNG")
    >>> decode_images([content.getvalue()]).tolist()
    [[[[255, 0, 7], [255, 0, 7]]]]
    """
    library = require("PIL.Image", "images", "image bytes")
    claims = (library.DecompressionBombError, library.DecompressionBombWarning)
    damage = (OSError, ValueError, SyntaxError, EOFError, TypeError, OverflowError, MemoryError, *claims)
    pictures: list[Any] = []
    broken: list[int] = []
    reasons: set[str] = set()
    for row, content in enumerate(images):
        try:
            pictures.append(_open(library, content, size))
        except damage as error:
            broken.append(row)
            reasons.add(type(error).__name__ if not str(error) else str(error).split(" <")[0])
    if broken:
        what = f"expected JPEG or PNG bytes; {rows_text(broken)} cannot be decoded: {names_text(sorted(reasons), 3)}"
        raise BadInput(Problem("image", what, "truncated downloads, or another kind of file", "drop these rows"))
    sizes = sorted({picture.shape[:2] for picture in pictures})
    if len(sizes) > 1:
        shown = names_text(f"{h}×{w}" for h, w in sizes)
        fix = "resize the images to one size with your own tool, such as Pillow's Image.resize, and save them again"
        raise BadInput(Problem("image", f"expected images of one size, got {shown}", fix=fix))
    colour = any(picture.ndim == 3 for picture in pictures)
    shaped = [_channels(picture, colour) for picture in pictures]
    return np.stack(shaped) if shaped else np.zeros((0, 0, 0, 1), dtype=np.uint8)


def _open(library: Any, content: bytes, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    with library.open(io.BytesIO(content), formats=FORMATS) as picture:
        if picture.width * picture.height > PIXEL_LIMIT:
            raise ValueError(f"an image of more than {PIXEL_LIMIT:,} pixels")
        grey = picture.mode in ("L", "1", "LA", "I;16")
        picture = picture.convert("L" if grey else "RGB")
        if size is not None and (picture.height, picture.width) != size:
            picture = picture.resize((size[1], size[0]), library.Resampling.BICUBIC)
        return np.asarray(picture, dtype=np.uint8)


def _channels(picture: NDArray[np.uint8], colour: bool) -> NDArray[np.uint8]:
    if picture.ndim == 3:
        return picture
    return np.repeat(picture[:, :, None], 3 if colour else 1, axis=2)
