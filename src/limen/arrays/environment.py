"""What the numbers were computed with: threads, linear algebra library, versions. Never the name of a host or a user.

Goes into every budget as `environment{threads, blas, versions}` and into every stored result. Versions are read from
package metadata, so nothing is imported to name it (importing torch alone costs seconds). The facts are recorded, not
hashed: they do not change what a result means, and `limen status` counts results by version.
"""

from __future__ import annotations

import platform
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np  # noqa: F401 (loaded, so that its BLAS is among the pools)
from threadpoolctl import ThreadpoolController

PACKAGES = (
    "limen",
    "numpy",
    "scipy",
    "scikit-learn",
    "pyarrow",
    "safetensors",
    "torch",
    "transformers",
    "sentence-transformers",
)
"""Distributions whose version can move a number in the last digits."""


LOADERS = {"numpy", "scipy.linalg", "sklearn", "torch"}
"""Modules that bring linear algebra libraries along."""


def environment() -> dict[str, Any]:
    """Plain data: `threads` (largest BLAS pool of this process), `blas` (libraries), `versions` (installed packages).

    >>> facts = environment()
    >>> sorted(facts), facts["versions"]["numpy"] == np.__version__
    (['blas', 'threads', 'versions'], True)
    """
    pools = [pool for pool in _libraries(frozenset(LOADERS & sys.modules.keys())).info() if pool["user_api"] == "blas"]
    return {
        "threads": max((int(pool["num_threads"]) for pool in pools), default=1),
        "blas": ", ".join(sorted({_library(pool) for pool in pools})) or "none",
        "versions": versions(),
    }


@cache
def _libraries(loaded: frozenset[str]) -> ThreadpoolController:
    """The libraries of this process, looked up again when a module came that may bring one: the look takes 4 ms."""
    return ThreadpoolController()


def versions() -> dict[str, str]:
    """Version of Python and of each installed package of `PACKAGES`; packages that are not installed are absent."""
    return {"python": platform.python_version(), **dict(_installed())}


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    """Looked up once: it reads a file per package, and a study asks for every cell."""
    found = []
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append((package, version(package)))
    return tuple(found)


def _library(pool: dict[str, Any]) -> str:
    """Name, version and chosen kernel of one BLAS library: `openblas 0.3.29 (Haswell)`."""
    kernel = pool.get("architecture")
    name = f"{pool['internal_api']} {pool.get('version') or 'of unknown version'}"
    return f"{name} ({kernel})" if kernel else name
