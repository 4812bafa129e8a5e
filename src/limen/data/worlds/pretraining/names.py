"""The worlds of pretraining by name: `world:NAME` is a table of its population, `world:NAME:heldout` another one.

two-classes      7 : 3, three images each, none shared            supervised, contrastive, spectral, NT-Xent
six-classes      of equal probability, two images each            the same
two-images       of equal probability, each its own class         the same; NT-Xent of a batch of 2 between two poles
overlap          three classes that share images                  supervised, spectral
markov-chain     texts of 6 letters out of 3                      next-token, masked, autoencoder
gaussian-field   4×4 pixels, correlated                           masked, autoencoder
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.data.worlds.pretraining.finite_table import FiniteTable
from limen.data.worlds.pretraining.gaussian_field import GaussianField
from limen.data.worlds.pretraining.markov_chain import MarkovChain

PREFIX, HELDOUT = "world:", ":heldout"
PretrainingWorld = FiniteTable | MarkovChain | GaussianField
_WORLDS: tuple[PretrainingWorld, ...] = (
    FiniteTable("two-classes", np.repeat([[7, 0], [0, 3]], 3, axis=0), copies=80),
    FiniteTable("six-classes", np.repeat(np.eye(6, dtype=np.int64), 2, axis=0), copies=200),
    FiniteTable("two-images", np.eye(2, dtype=np.int64), copies=1200),
    FiniteTable("overlap", np.array([[4, 1, 0], [3, 1, 0], [1, 4, 1], [0, 3, 1], [0, 1, 3], [1, 0, 1]]), copies=100),
    MarkovChain("markov-chain", np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]]), letters=6, rows=2400),
    GaussianField("gaussian-field", side=4, correlation=0.6, rows=2400),
)
WORLDS: Mapping[str, PretrainingWorld] = {PREFIX + world.name: world for world in _WORLDS}
"""`world:NAME` → the population."""
SOURCES: tuple[str, ...] = tuple(name + part for name in WORLDS for part in ("", HELDOUT))
"""Every built-in table of a world."""


def world_of(source: str | Path) -> PretrainingWorld:
    """The population that a built-in table is drawn from. Raises KeyError for another source.

    >>> world_of("world:two-classes:heldout").name
    'two-classes'
    """
    return WORLDS[str(source).removesuffix(HELDOUT)]


@cache
def world_columns(source: str) -> Mapping[str, NDArray[Any]]:
    """Columns of a built-in table of a world. Raises KeyError for another source.

    >>> world_columns("world:markov-chain")["text"].shape
    (2400,)
    """
    if source not in SOURCES:
        raise KeyError(source)
    return world_of(source).columns(source)
