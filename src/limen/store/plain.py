"""What may be stored: plain data (finite floats, int, str, bool, None, lists, dicts with text keys) and named arrays.

A record that cannot be stored is refused whole, with the path of every offending value, before a byte is written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from limen.records.stage import StageRecord

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@#:+=-]{0,119}")
_SAFETENSORS = frozenset("?bhilqBHILQefd")
"""numpy type characters that a .safetensors file can hold."""


def refuse_unstorable(record: StageRecord) -> None:
    """Raise for what cannot be stored exactly.

    Raises TypeError for values of other types and ValueError for NaN, infinity, object arrays and bad array names,
    naming the path of every one of them.

    >>> refuse_unstorable(StageRecord("fit", 1, {"curve": [{"loss": float("nan")}]}))
    Traceback (most recent call last):
      ...
    ValueError: record of stage 'fit' cannot be stored: data.curve[0].loss is nan; expected a finite number or None
    """
    types = list(_wrong_types("data", record.data))
    values = [*_not_finite("data", record.data), *_wrong_arrays(record.arrays)]
    if types or values:
        kind = TypeError if types else ValueError
        raise kind(f"record of stage {record.kind!r} cannot be stored: " + "; ".join(types + values))


def array_file(name: str) -> tuple[str, str]:
    """File and inner name of an array: `a` → (`a.npy`, ``), `group/a` → (`group.safetensors`, `a`).

    >>> array_file("predictions"), array_file("step-8/layer.weight")
    (('predictions.npy', ''), ('step-8.safetensors', 'layer.weight'))
    """
    group, slash, inner = name.partition("/")
    return (f"{group}.safetensors", inner) if slash else (f"{name}.npy", "")


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every value that is no container, with its path; a key that is no text is a leaf itself."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str):
                yield from _leaves(f"{path}.{key}", inner)
            else:
                yield f"key {key!r} of {path}", object()
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            yield from _leaves(f"{path}[{position}]", inner)
    else:
        yield path, value


def _wrong_types(path: str, data: Any) -> Iterator[str]:
    for where, leaf in _leaves(path, data):
        if leaf is not None and not isinstance(leaf, str | bool | int | float):
            name = f"{type(leaf).__module__}.{type(leaf).__name__}".removeprefix("builtins.")
            yield f"{where} is of type {name}; expected str, int, float, bool, None, list or dict with text keys"


def _not_finite(path: str, data: Any) -> Iterator[str]:
    for where, leaf in _leaves(path, data):
        if isinstance(leaf, float) and not math.isfinite(leaf):
            yield f"{where} is {float(leaf)}; expected a finite number or None"


def _wrong_arrays(arrays: Mapping[str, Any]) -> Iterator[str]:
    for name, array in arrays.items():
        group, slash, inner = name.partition("/")
        if not _NAME.fullmatch(group) or (slash and not inner.isprintable()) or (slash and not inner):
            yield f"array name {name!r}; expected letters, digits and _.@#:+=- before an optional '/'"
        if not isinstance(array, np.ndarray):
            yield f"arrays[{name!r}] is {type(array).__name__}; expected a numpy array"
        elif array.dtype.hasobject:
            yield f"arrays[{name!r}] holds Python objects; expected numbers or fixed-width text"
        elif slash and array.dtype.char not in _SAFETENSORS:
            yield f"arrays[{name!r}] has dtype {array.dtype}; a grouped array holds numbers or booleans"
