"""What was measured of a run's loss, kept in the folder of its recording, where `limen dynamics` finds it."""

from __future__ import annotations

from pathlib import Path

from limen.measure.curvature.files import load_curvature, save_curvature
from limen.measure.noise.files import load_gradient_noise, save_gradient_noise
from limen.records.curvature import Curvature
from limen.records.errors import BadInput, Problem
from limen.records.gradient_noise import GradientNoise

CURVATURE, NOISE = "curvature.safetensors", "noise.safetensors"


def attach(run: str | Path, *, curvature: Curvature | None = None, noise: GradientNoise | None = None) -> None:
    """Keep a curvature, a gradient noise or both in the folder of a recording; what was there before is replaced.

    Raises BadInput where there is no such folder.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise BadInput(Problem(str(run), "expected the folder of a recording, got no folder"))
    if curvature is not None:
        save_curvature(curvature, folder / CURVATURE)
    if noise is not None:
        save_gradient_noise(noise, folder / NOISE)


def attached(run: str | Path) -> tuple[Curvature | None, GradientNoise | None]:
    """What is kept there; None for what is not. Raises BadInput for damaged files."""
    curvature, noise = Path(run) / CURVATURE, Path(run) / NOISE
    return (
        load_curvature(curvature) if curvature.exists() else None,
        load_gradient_noise(noise) if noise.exists() else None,
    )
