"""The worlds of validation: finite populations of which all rows are known, one or more of every law in data/worlds."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limen.data.digits import digits
from limen.data.worlds.clustered_rows import ClusteredRows
from limen.data.worlds.embeddings import embeddings, principal_components, smoothed
from limen.data.worlds.gaussian_classes import GaussianClasses, gaussian_classes
from limen.data.worlds.imbalance import long_tail
from limen.data.worlds.label_noise import LabelNoise
from limen.data.worlds.population import Population, drawn
from limen.data.worlds.subclusters import subclusters
from limen.data.worlds.world import unit_directions

DATA = Path(os.environ.get("LIMEN_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
EMBEDDINGS = DATA / "banking77" / "minilm-train.npz"
ROWS = 20_000


@dataclass(frozen=True)
class World:
    population: Callable[[], Population]
    chosen_on: bool
    """Whether rules of the midpoint were chosen on worlds of this law."""
    seconds: tuple[float, float] = (0.02, 0.05)
    """A repetition of the midpoint with a tight and with a loose radius: for the time left only."""
    dear: bool = False
    group: int = 1

    def label(self, name: str) -> str:
        return f"{name} †" if self.chosen_on else name


def unit_means(classes: int, dimension: int, separation: float, seed: int) -> np.ndarray:
    means: np.ndarray = unit_directions(np.random.default_rng(seed), classes, dimension) * separation
    return means * np.sqrt(dimension) / 2


def _imbalance() -> Population:
    law = GaussianClasses(unit_means(4, 9, 1.0, 15), long_tail(4, 8.0))
    return drawn("imbalance", law, ROWS, np.random.default_rng(16))


def _noise() -> Population:
    law = LabelNoise(GaussianClasses(unit_means(3, 10, 1.1, 17)), 0.2)
    return drawn("label-noise", law, ROWS, np.random.default_rng(18))


def _clustered() -> Population:
    """Rows of one group lie together, three of them: a sample takes whole groups."""
    law = ClusteredRows(GaussianClasses(unit_means(3, 12, 0.8, 19)), 3, 0.5)
    return drawn("clustered", law, 21_000, np.random.default_rng(20))


def pixels(components: int) -> tuple[np.ndarray, np.ndarray]:
    images, labels = digits("digits")
    return principal_components(images.reshape(len(images), -1), components), labels


def sentences(components: int) -> tuple[np.ndarray, np.ndarray]:
    """MiniLM embeddings of bank customers' questions; 77 intents in 7 groups of neighbouring labels."""
    with np.load(EMBEDDINGS) as file:
        names, labels = np.unique(file["y"], return_inverse=True)
        return principal_components(file["X"], components), labels * 7 // len(names)


WORLDS = {
    "gaussian": World(lambda: gaussian_classes(5, 10, ROWS, separation=0.9, seed=11), True),
    "subclusters": World(lambda: subclusters(4, 9, ROWS, separation=1.2, seed=12), True),
    "imbalance": World(_imbalance, False),
    "label noise": World(_noise, False),
    "clustered": World(_clustered, False, group=3),
    "digits": World(lambda: smoothed("digits", pixels(8), copies=12, noise=0.6, seed=13), False, (0.055, 0.15), True),
}
if EMBEDDINGS.is_file():
    WORLDS["sentences"] = World(lambda: embeddings("sentences", sentences(12)), False, (0.028, 0.1), True)
