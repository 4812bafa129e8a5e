"""From inputs as they are in a table to the one array that a built-in encoder takes; saved with its weights.

    image   pixels [n, h, w, c], uint8 or float in [0, 1]          unchanged; divided by 255 when a batch is made
    text    tokens [n, T] of a byte-pair vocabulary                `limen.models.preprocessing.tokens`
    audio   logarithmic mel spectra [n, bands, frames]             `limen.models.preprocessing.spectra`

A preprocessing is fitted once, on training examples (a vocabulary has to come from somewhere), and is part of the
encoder from then on: the plain data of `plain` make it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from limen.models.encoder import InputKind
from limen.models.preprocessing.images import Images
from limen.models.preprocessing.options import OPTIONS, WHOLE
from limen.models.preprocessing.spectra import Spectra
from limen.models.preprocessing.tokens import Tokens
from limen.records.errors import BadInput, Problem


class Preprocessing(Protocol):
    """Inputs of one kind → one array of equal shape per input."""

    @property
    def takes(self) -> InputKind:
        """The kind of input."""

    def array(self, inputs: Any) -> NDArray[np.generic]:
        """The array [n, …] of n inputs. Raises BadInput for inputs of another kind, naming rows."""

    def facts(self, array: NDArray[np.generic]) -> dict[str, int]:
        """Options that an architecture must have to take this array."""

    def plain(self) -> dict[str, Any]:
        """What `restore` needs."""


def fit_preprocessing(kind: InputKind, options: Mapping[str, Any], inputs: Any) -> Preprocessing:
    """The preprocessing of `kind` with `options`, fitted on training inputs where it has something to fit.

    Raises BadInput for options and inputs that cannot be used.
    """
    full = {**OPTIONS[kind], **options}
    unknown = [key for key in options if key not in OPTIONS[kind]]
    if unknown:
        known = ", ".join(OPTIONS[kind]) or "none"
        problems = [Problem(f"preprocessing.{key}", f"expected the options {known} of {kind}") for key in unknown]
        raise BadInput(problems)
    problems = [
        Problem(f"preprocessing.{key}", f"expected a whole number of at least 1, got {full[key]!r}")
        for key in WHOLE
        if key in full and (isinstance(full[key], bool) or full[key] != int(full[key]) or full[key] < 1)
    ]
    if problems:
        raise BadInput(problems)
    if kind == "image":
        return Images()
    if kind == "text":
        return Tokens.fit(inputs, int(full["vocabulary"]), int(full["length"]))
    return Spectra(int(full["rate"]), float(full["seconds"]), int(full["bands"]))


def restore(plain: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing of `plain` data; a record of before there were other kinds says nothing and means images.

    >>> restore({}).takes
    'image'
    """
    makers: dict[str, Callable[[Mapping[str, Any]], Preprocessing]] = {
        "image": Images.restore, "text": Tokens.restore, "audio": Spectra.restore,
    }  # fmt: skip
    kind = plain.get("takes", "image")
    if kind not in makers:
        raise BadInput(Problem("preprocessing", f"expected one of {', '.join(makers)}, got {kind!r}"))
    return makers[kind](plain)


def as_tensor(array: NDArray[np.generic], kind: InputKind, rows: NDArray[np.int64] | slice) -> Any:
    """Some rows as the tensor that an encoder of this kind takes: float32 images and spectra, int64 tokens."""
    import torch

    chosen = array[rows]
    if kind == "text":
        return torch.from_numpy(chosen.astype(np.int64))
    if kind == "audio":
        return torch.from_numpy(np.ascontiguousarray(chosen, dtype=np.float32))
    pixels = torch.from_numpy(np.moveaxis(chosen, 3, 1).astype(np.float32, order="C"))
    return pixels / 255 if array.dtype == np.uint8 else pixels
