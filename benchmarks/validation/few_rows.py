"""The midpoint where rows are fewer than parameters and the fit is close: where it must not be believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from limen.adapt.feature_map import design_map
from limen.adapt.truth import Truth
from limen.data.worlds.embeddings import smoothed
from limen.data.worlds.gaussian_classes import gaussian_classes
from limen.data.worlds.population import Population
from limen.data.worlds.subclusters import subclusters

from .cells import Cell, Found, chunks
from .midpoint import measured
from .settings import DESIGN, Setting, at_radius, record, sample
from .tables import covered, mean, median, share, table
from .worlds import EMBEDDINGS, pixels, sentences

TITLE = "Few rows a parameter, close fits"
RADII = (16.0, 32.0, 64.0)
RATIOS = (0.25, 0.5, 1.0, 2.0)
CHOSEN_ON = ("gaussian K=8", "subclusters K=6")
"""Limits of "identified" were chosen on these."""


def worlds() -> dict[str, Callable[[], Population]]:
    found: dict[str, Callable[[], Population]] = {
        "gaussian K=8": lambda: gaussian_classes(8, 24, 8000, 1.1, label_noise=0.04, seed=51),
        "subclusters K=6": lambda: subclusters(6, 24, 8000, 1.8, label_noise=0.04, seed=52),
        "digits K=10": lambda: smoothed("digits", pixels(24), copies=5, noise=0.5, seed=53),
    }
    if EMBEDDINGS.is_file():
        found["sentences K=7"] = lambda: smoothed("sentences", sentences(40), copies=1, noise=0.1, seed=54)
    return found


def cells(quick: bool) -> list[Cell]:
    return [
        cell
        for name in worlds()
        for radius in RADII
        for ratio in RATIOS
        for cell in chunks(
            "few_rows", {"world": name, "radius": radius, "ratio": ratio}, 2 if quick else 16, 0.05 * (1 + radius / 32)
        )
    ]


@cache
def truth(world: str) -> tuple[Truth, Any]:
    population = worlds()[world]()
    phi = design_map(population.sample(DESIGN, np.random.default_rng(1)).features)
    return Truth.of(population, phi), phi


@cache
def known(world: str, radius: float) -> Setting:
    return at_radius(*truth(world), radius)


def repetition(seed: Sequence[int], world: str, radius: float, ratio: float) -> dict[str, Any]:
    at = known(world, radius)
    drawn = sample(at, at.rows_at(ratio), np.random.default_rng(seed))
    found = measured(at, record(drawn), at.truth.population_loss(drawn.final.weights))
    return found | {"still": found["drift"] <= found["noise"]}


def report(found: Sequence[Found]) -> str:
    head = ("world", "radius", "n/p", "n", "L*", "train/CV", "bias ± its error", "mean drift", "2·t·s/√N",
            "drift rule alone: identified", "then covered", "in force: identified", "then covered")  # fmt: skip
    body, totals = [], {True: [0, 0, 0], False: [0, 0, 0]}
    for at in found:
        name, bias = at.settings["world"], np.array(at.columns["bias"])
        hits, of = share(at, "covered", "identified")
        total = totals[name in CHOSEN_ON]
        totals[name in CHOSEN_ON] = [total[0] + len(at), total[1] + of, total[2] + hits]
        body.append((
            f"{name} †" if name in CHOSEN_ON else name, f"{at.settings['radius']:g}", f"{at.settings['ratio']:g}",
            f"{at.columns['n'][0]:g}", f"{at.columns['floor'][0]:.3f}", f"{median(at, 'closeness'):.2f}",
            f"{bias.mean():+.3f} ± {bias.std(ddof=1) / np.sqrt(len(bias)):.3f}", f"{mean(at, 'drift'):.3f}",
            f"{mean(at, 'noise'):.3f}", _counts(share(at, "still")), _counts(share(at, "covered", "still")),
            _counts((of, len(at))), _counts((hits, of)),
        ))  # fmt: skip
    total = [
        (where, f"{known}/{every}", covered((hits, known), 0.95))
        for where, (every, known, hits) in (("chosen on (†)", totals[True]), ("fresh", totals[False]))
    ]
    return table(head, body) + "\n\n" + table(("worlds", "identified", "then covered"), total)


def _counts(counts: tuple[int, int]) -> str:
    return "—" if counts[1] == 0 else f"{counts[0]}/{counts[1]}"
