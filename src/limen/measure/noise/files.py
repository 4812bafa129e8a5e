"""Gradient noise as one safetensors file: arrays as they are, everything else as JSON in its metadata. No torch."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

import numpy as np

from limen.measure.curvature.files import read_arrays, write_arrays
from limen.records.estimate import Estimate
from limen.records.gradient_noise import Correlation, GradientNoise

SCHEMA = "limen.gradient-noise/1"


def save_gradient_noise(noise: GradientNoise, path: str | os.PathLike[str]) -> None:
    """Write it; the file appears whole or not at all."""
    arrays: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for field in fields(noise):
        value = getattr(noise, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value
        elif isinstance(value, Correlation):
            arrays |= {f"correlation.{name}": getattr(value, name) for name in ("lags", "values", "errors")}
            alone = ("sampling", "epoch_batches", "orders", "steps")
            plain["correlation"] = {name: getattr(value, name) for name in alone}
        else:
            plain[field.name] = value.to_json() if isinstance(value, Estimate) else value
    write_arrays(path, SCHEMA, arrays, plain)


def load_gradient_noise(path: str | os.PathLike[str]) -> GradientNoise:
    """The inverse of `save_gradient_noise`, bit for bit. Raises BadInput for a file that holds no gradient noise."""
    arrays, plain = read_arrays(path, SCHEMA)
    for name in ("trace", "slope", "coherence", "hill"):
        plain[name] = Estimate.from_json(plain[name])
    if plain["correlation"] is not None:
        parts = {name: arrays.pop(f"correlation.{name}") for name in ("lags", "values", "errors")}
        plain["correlation"] = Correlation(**plain["correlation"], **parts)
    return GradientNoise(**plain, **arrays)
