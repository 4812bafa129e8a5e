"""Midpoint with drift: bias, coverage and width, on worlds × radius × rows per parameter.

Counted at 95 %, M ± (t·s/√N + drift), and at the joint share that budgets report (98.3 %). "Bracket": from the low
end of the statistical side to the upper end of the holdout loss; beside it the bracket with the five-fold end in force.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from limen.arrays.intervals import mean_of, student_quantile
from limen.measure.floor import EVENTS, floor_upper, midpoint, midpoint_rows, pool_groups, statistical_sides
from limen.records.stage import StageRecord

from .cells import Cell, Found, chunks
from .settings import CONFIDENCE, Setting, known, record, sample
from .tables import covered, mean, median, number, share, table
from .worlds import WORLDS

TITLE = "Midpoint: bias, coverage, width"
JOINT = 1 - (1 - CONFIDENCE) / EVENTS
RADII = {"tight": 0.5, "loose": 1.5}
"""Factors of the norm of the unconstrained minimiser of the population."""
REPETITIONS = {("tight", 1.0): 300, ("tight", 2.0): 2000, ("tight", 10.0): 1000,
               ("loose", 1.0): 100, ("loose", 2.0): 200, ("loose", 10.0): 200}  # fmt: skip
MANY = 600
"""At most, in the worlds that are dear."""


def cells(quick: bool) -> list[Cell]:
    return [
        cell
        for name, world in WORLDS.items()
        for (radius, ratio), count in REPETITIONS.items()
        for cell in chunks(
            "midpoint",
            {"world": name, "radius": radius, "ratio": ratio},
            2 if quick else min(count, MANY if world.dear else count),
            world.seconds[radius == "loose"],
        )
    ]


def repetition(seed: Sequence[int], world: str, radius: str, ratio: float) -> dict[str, Any]:
    at = known(world, RADII[radius])
    drawn = sample(at, at.rows_at(ratio), np.random.default_rng(seed))
    return measured(at, record(drawn), at.truth.population_loss(drawn.final.weights))


def measured(at: Setting, fit: StageRecord, loss: float) -> dict[str, Any]:
    """Everything that is counted, of one sample whose probe has population loss `loss`."""
    middle, drift = midpoint(fit, CONFIDENCE)
    rows, groups = midpoint_rows(fit, "pool"), pool_groups(fit)
    train, out = fit.arrays["pool_train_loss"], fit.arrays["pool_cross_validated_loss"]
    centre, delta = mean_of(rows, groups), (1 - CONFIDENCE) / 2
    noise = student_quantile(delta, centre.dof) * centre.error
    even_half = (fit.arrays["half_train_loss"].mean() + fit.arrays["half_cross_validated_loss"].mean()) / 2
    even = mean_of((train + out) / 2, groups)
    even_half_width = student_quantile(delta, even.dof) * even.error + abs(even.value - even_half)
    away, sides = abs(centre.value - at.floor), statistical_sides(fit, CONFIDENCE)
    known_here = middle.value is not None
    return {
        "n": len(rows),
        "floor": at.floor,
        "train": float(train.mean()) - at.floor,
        "population": loss - at.floor,
        "cross_validated": float(out.mean()) - at.floor,
        "bias": centre.value - at.floor,
        "even_bias": even.value - at.floor,
        "plain": away <= noise,
        "covered": away <= noise + drift,
        "even_covered": abs(even.value - at.floor) <= even_half_width,
        "identified": known_here,
        "reported": known_here and middle.low <= at.floor <= middle.high,
        "closeness": float(train.mean() / out.mean()),
        "drift": drift,
        "noise": 2 * noise,
        "width": 2 * (noise + drift),
        "relative": 2 * (noise + drift) / (sides.high - sides.low),
        "low_side": sides.low <= at.floor,
        "high": at.floor <= (above := floor_upper(fit).high((1 - CONFIDENCE) / EVENTS)),
        "bracket": (above - sides.low) / (sides.high - sides.low),
    }


def report(found: Sequence[Found]) -> str:
    bias_head = ("world", "radius", "n/p", "n", "L*", "train", "L(ĝ)", "bias ½–½", "bias ± sd")
    head = ("world", "radius", "n/p", "plain", "½–½ with drift", "with drift", "identified", "with drift, identified",
            "reported, 98.3 %", "width/bracket", "L* ≤ five-fold end", "that bracket/bracket")  # fmt: skip
    biases, body, wide = [], [], []
    for at in found:
        relative = median(at, "relative", "identified")
        label = (WORLDS[at.settings["world"]].label(at.settings["world"]), at.settings["radius"],
                 f"{at.settings['ratio']:g}")  # fmt: skip
        if at.settings["ratio"] >= 2 and relative > 0.6:
            wide.append(f"{' '.join(label)} ({relative:.2f})")
        bias = f"{mean(at, 'bias'):+.3f} ± {np.std(at.columns['bias'], ddof=1):.3f}"
        biases.append((*label, f"{at.columns['n'][0]:g}", f"{at.columns['floor'][0]:.3f}",
                       *(f"{mean(at, key):+.3f}" for key in ("train", "population", "even_bias")), bias))  # fmt: skip
        body.append((
            *label, covered(share(at, "plain"), 0.95), covered(share(at, "even_covered"), 0.95),
            covered(share(at, "covered"), 0.95, 0.97), f"{mean(at, 'identified'):.2f}",
            covered(share(at, "covered", "identified"), 0.95, 0.97),
            covered(share(at, "reported", "identified"), JOINT), number(relative),
            covered(share(at, "high"), JOINT), f"{median(at, 'bracket'):.2f}",
        ))  # fmt: skip
    missed = ", ".join(wide) if wide else "none"
    said = f"Median width above 0.6 of the bracket at n/p ≥ 2: {missed}."
    return f"{table(bias_head, biases)}\n\nCoverage:\n\n{table(head, body)}\n\n{said}"
