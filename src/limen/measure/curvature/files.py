"""A curvature as one safetensors file: arrays as they are, everything else as JSON in its metadata. No torch."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from limen.records.curvature import Curvature, Density
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate

SCHEMA = "limen.curvature/1"


def save_curvature(curvature: Curvature, path: str | os.PathLike[str]) -> None:
    """Write it; the file appears whole or not at all."""
    arrays, plain = {}, {}
    for field in fields(curvature):
        value = getattr(curvature, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value
        elif isinstance(value, Density):
            for part in fields(value):
                inner = getattr(value, part.name)
                if isinstance(inner, np.ndarray):
                    arrays[f"density.{part.name}"] = inner
                else:
                    plain[f"density.{part.name}"] = inner
        else:
            plain[field.name] = value.to_json() if isinstance(value, Estimate) else value
    write_arrays(path, SCHEMA, arrays, plain)


def load_curvature(path: str | os.PathLike[str]) -> Curvature:
    """The inverse of `save_curvature`, bit for bit. Raises BadInput for a file that holds no curvature."""
    arrays, plain = read_arrays(path, SCHEMA)
    density = None
    if "density.nodes" in arrays:
        both: dict[str, Any] = {**arrays, **plain}
        density = Density(**{part.name: both[f"density.{part.name}"] for part in fields(Density)})
    whole: dict[str, Any] = {k: v for k, v in {**plain, **arrays}.items() if not k.startswith("density")}
    whole["names"] = tuple(whole["names"])
    whole["shapes"] = tuple(tuple(shape) for shape in whole["shapes"])
    if whole["trace"] is not None:
        whole["trace"] = Estimate.from_json(whole["trace"])
    whole.setdefault("error_bounds", None)
    return Curvature(**whole, density=density)


def write_arrays(path: str | os.PathLike[str], schema: str, arrays: dict[str, Any], plain: dict[str, Any]) -> None:
    """Arrays and plain values in one safetensors file, renamed into its place when it is on the disk."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    metadata = {"schema": schema, "record": json.dumps(plain)}
    try:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, partial, metadata)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def read_arrays(path: str | os.PathLike[str], schema: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `write_arrays` wrote. Raises BadInput for another file, or a damaged one."""
    where = os.fspath(path)
    try:
        with safe_open(where, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # no mapping
    except FileNotFoundError:
        raise BadInput(Problem(where, "expected a file, found none")) from None
    except SafetensorError as broken:
        cause = "the file is truncated, or of another kind"
        raise BadInput(Problem(where, f"expected a safetensors file, got: {broken}", cause)) from None
    if metadata.get("schema") != schema:
        raise BadInput(Problem(where, f"expected schema {schema}, got {metadata.get('schema')}"))
    return arrays, json.loads(metadata["record"])
