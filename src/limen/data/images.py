"""JPEG and PNG bytes to pixels [n, h, w, c] of 8 bits, with Pillow (extra `images`)."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
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
    shaped, bad = decode_sound(images, size)
    if bad:
        reasons = names_text(sorted(set(bad.values())), 3)
        what = f"expected JPEG or PNG bytes; {rows_text(sorted(bad))} cannot be decoded: {reasons}"
        raise BadInput(Problem("image", what, "truncated downloads, or another kind of file", "drop these rows"))
    return shaped


def decode_sound(
    images: Sequence[bytes], size: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """The same of those that can be decoded, and row → reason of the others.

    Raises BadInput for images of different sizes, and without Pillow.

    >>> decode_sound([b"no image"])[1]
    {0: 'cannot identify image file'}
    """
    library = require("PIL.Image", "images", "image bytes")
    claims = (library.DecompressionBombError, library.DecompressionBombWarning)
    damage = (OSError, ValueError, SyntaxError, EOFError, TypeError, OverflowError, MemoryError, *claims)
    pictures: dict[int, NDArray[np.uint8]] = {}
    bad: dict[int, str] = {}
    for row, content in enumerate(images):
        try:
            pictures[row] = _open(library, content, size)
        except damage as error:
            bad[row] = str(error).split(" <")[0] or type(error).__name__
    _check_one_size(pictures)
    colour = any(picture.ndim == 3 for picture in pictures.values())
    shaped = [_channels(picture, colour) for picture in pictures.values()]
    return np.stack(shaped) if shaped else np.zeros((0, 0, 0, 1), dtype=np.uint8), bad


def _check_one_size(pictures: Mapping[int, NDArray[np.uint8]]) -> None:
    counts = Counter(picture.shape[:2] for picture in pictures.values())
    if len(counts) < 2:
        return
    usual = counts.most_common(1)[0][0]
    others = rows_text([row for row, picture in pictures.items() if picture.shape[:2] != usual])
    shown = names_text(f"{h}×{w}" for h, w in sorted(counts))
    what = f"expected images of one size, got {shown}; other than {usual[0]}×{usual[1]}: {others}"
    fix = "resize the images to one size with your own tool, such as Pillow's Image.resize, and save them again"
    raise BadInput(Problem("image", what, fix=fix))


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
