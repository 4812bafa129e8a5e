"""Do the intervals of the floor cover the truth, and are they narrow enough to be of use? (docs/validation.md)

Five studies on worlds whose truth is known exactly; Markdown tables on standard output, all seeds fixed:

finite    400 fixed classifiers, 0-1 loss, exact minimisation: certified sides (Clopper-Pearson, kl, Hoeffding)
sandwich  E min L̂ ≤ L* ≤ E L(ĝ) for the ball, and why the training loss of a penalised fit is no floor
midpoint  bias, coverage and width of every side of the floor, on worlds × radius × rows per parameter
few-rows  the midpoint where rows are fewer than parameters and the fit is close
ends      each end of a held-out loss, of a mean over groups, and the low end of class_gap

    python benchmarks/validation.py [--quick] [--only finite,sandwich,midpoint,few-rows,ends] [--workers 2]
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy.stats

from limen.adapt.ball import Rows, certify, minimise
from limen.adapt.feature_map import FeatureMap, design_map
from limen.adapt.floor_fits import FOLDS, holdout_minimum, midpoints, pool_rows
from limen.adapt.losses import loss_range, per_example_loss
from limen.adapt.prepare import Prepared, prepare
from limen.adapt.rich_head import rich_head
from limen.adapt.truth import Truth
from limen.arrays.intervals import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    hoeffding_deviation,
    kl_lower,
    kl_upper,
    mean_of,
)
from limen.data.digits import digits
from limen.data.worlds.embeddings import principal_components, smoothed
from limen.data.worlds.finite_class import finite_class
from limen.data.worlds.gaussian_classes import gaussian_classes
from limen.data.worlds.population import Population
from limen.data.worlds.subclusters import subclusters
from limen.measure.finer import swap_bound
from limen.measure.floor import EVENTS, certified_sides, midpoint, midpoint_rows, statistical_sides
from limen.measure.risk import unit_assumptions
from limen.records.stage import StageRecord
from limen.records.task import FitSpec, Task

CONFIDENCE = 0.95
HOLDOUT = 0.2 / 0.95  # of the pool: the split's 20 % against fit's 75 %
DESIGN = 200
DATA = Path(os.environ.get("LIMEN_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
EMBEDDINGS = DATA / "banking77" / "minilm-train.npz"


# ---------------------------------------------------------------- worlds


def worlds() -> dict[str, Callable[[], Population]]:
    """Two synthetic worlds, one or two of real rows; none of them was used to choose a rule of the estimator."""
    known: dict[str, Callable[[], Population]] = {
        "gaussian": lambda: gaussian_classes(6, 16, 20_000, separation=0.9, seed=11),
        "subclusters": lambda: subclusters(5, 20, 20_000, separation=1.2, seed=12),
        "digits": lambda: smoothed("digits", _digits(20), copies=12, noise=0.6, seed=13),
    }
    if EMBEDDINGS.is_file():
        known["sentences"] = lambda: smoothed("sentences", _sentences(20), copies=2, noise=0.3, seed=14)
    return known


def _digits(components: int) -> tuple[np.ndarray, np.ndarray]:
    images, labels = digits("digits")
    return principal_components(images.reshape(len(images), -1), components), labels


def _sentences(components: int) -> tuple[np.ndarray, np.ndarray]:
    """MiniLM embeddings of bank customers' questions; 77 intents in 7 groups of neighbouring labels."""
    with np.load(EMBEDDINGS) as file:
        names, labels = np.unique(file["y"], return_inverse=True)
        return principal_components(file["X"], components), labels * 7 // len(names)


@dataclass(frozen=True)
class Setting:
    """One world seen through one feature map with one radius: its floor is known."""

    truth: Truth
    phi: FeatureMap
    radius: float
    floor: float

    @property
    def parameters(self) -> int:
        return (self.truth.rows.classes - 1) * self.truth.rows.features.shape[1]


def setting(world: Population, factor: float) -> Setting:
    """Radius = factor × the norm of the unconstrained minimiser of the population; design rows are drawn once."""
    phi = design_map(world.sample(DESIGN, np.random.default_rng(1)).features)
    truth = Truth.of(world, phi)
    free = float(np.linalg.norm(minimise(truth.rows, 300.0, tolerance=1e-4).weights))
    return at_radius(truth, phi, factor * free)


def at_radius(truth: Truth, phi: FeatureMap, radius: float) -> Setting:
    return Setting(truth, phi, radius, truth.minimum(radius).loss)


def draw(at: Setting, n: int, rng: np.random.Generator) -> StageRecord:
    """A pool of n i.i.d. rows, fitted as a fit cell fits it; the record holds what the sides of the floor read."""
    rows = at.truth.rows.take(rng.integers(0, len(at.truth.rows), n))
    held = round(HOLDOUT * n)
    fit, holdout = rows.take(np.arange(n - held)), rows.take(np.arange(n - held, n))
    prepared = _prepared(at, fit, holdout)
    final = minimise(fit, at.radius, tolerance=1e-4)
    whole, half, half_rows = midpoints(prepared, final, None, threads=1)
    losses = per_example_loss(holdout.features @ final.weights, holdout.labels, holdout.loss)
    data = {
        "radius": at.radius,
        "classes": rows.classes,
        "dimension": rows.features.shape[1],
        "n_fit": len(fit),
        "loss_range": loss_range(rows.loss, rows.classes, at.radius, at.phi.norm_bound),
        "pool": {"n": n, "minimum": whole.fit.minimum, "gap": whole.fit.gap, "folds": FOLDS},
        "final_population_loss": at.truth.population_loss(final.weights),
        "final_loss": final.loss,
    }
    arrays = {
        "curve_holdout_loss": losses[None],
        "pool_train_loss": whole.train_loss,
        "pool_cross_validated_loss": whole.cross_validated_loss,
        "half_rows": half_rows,
        "half_train_loss": half.train_loss,
        "half_cross_validated_loss": half.cross_validated_loss,
    }
    data |= {"population_checks": [], "same_population": False}
    return StageRecord("fit", 1, data, arrays)


def _prepared(at: Setting, fit: Rows, holdout: Rows) -> Prepared:
    n = len(fit) + len(holdout)
    unique = np.arange(n)
    return Prepared(
        spec=FitSpec(radius=at.radius),
        classes=fit.classes,
        phi=at.phi,
        design=fit,
        fit=fit,
        holdout=holdout,
        fit_blocks=unique[: len(fit)],
        holdout_blocks=unique[len(fit) :],
        holdout_groups=None,
        pool_groups=unique % 20,
        populations={},
        checks=(),
    )


# ---------------------------------------------------------------- midpoint


def one_repetition(at: Setting, n: int, seed: int) -> dict[str, float]:
    """Everything that is counted, of one sample."""
    fit = draw(at, n, np.random.default_rng(seed))
    middle, drift = midpoint(fit, CONFIDENCE)
    rows, half = midpoint_rows(fit, "pool"), midpoint_rows(fit, "half")
    train, out = fit.arrays["pool_train_loss"], fit.arrays["pool_cross_validated_loss"]
    z = float(scipy.stats.norm.isf((1 - CONFIDENCE) / 2))
    error = float(rows.std(ddof=1) / np.sqrt(n))
    even = (train + out) / 2
    even_half = (fit.arrays["half_train_loss"].mean() + fit.arrays["half_cross_validated_loss"].mean()) / 2
    even_error, even_drift = float(even.std(ddof=1) / np.sqrt(n)), abs(float(even.mean() - even_half))
    away, even_away = abs(float(rows.mean()) - at.floor), abs(float(even.mean()) - at.floor)
    sides, certified = statistical_sides(fit, CONFIDENCE), certified_sides(fit, CONFIDENCE)
    loss = fit.data["final_population_loss"]
    return {
        "train": float(train.mean()) - at.floor,
        "population": loss - at.floor,
        "bias": float(rows.mean()) - at.floor,
        "even_bias": float(even.mean()) - at.floor,
        "plain": away <= z * error,
        "covered": away <= z * error + drift,
        "even_covered": even_away <= z * even_error + even_drift,
        "even_plain": even_away <= z * even_error,
        "identified": middle.value is not None,
        "identified_covered": middle.value is not None and away <= z * error + drift,
        "reported_covered": middle.value is not None and middle.low <= at.floor <= middle.high,
        "in_range": "validated range" not in middle.reason,
        "drift": drift,
        "noise": 2 * z * error,
        "width": 2 * (z * error + drift),
        "bracket": sides.high - sides.low,
        "closeness": float(train.mean() / out.mean()),
        "low_side": sides.low <= at.floor,
        "high_side": loss <= sides.high,
        "loss_low_side": sides.loss_low <= loss,
        "certified_low": certified.low <= at.floor,
        "certified_high": loss <= certified.high,
        "turn": float(rows.mean() - half.mean()),
    }


_SETTINGS: dict[tuple[str, float], Setting] = {}


def _cell(task: tuple[str, float, float, int, int]) -> dict[str, Any]:
    name, factor, ratio, first, repetitions = task
    key = (name, factor)
    if key not in _SETTINGS:
        _SETTINGS[key] = setting(worlds()[name](), factor)
    at = _SETTINGS[key]
    n = max(round(ratio * at.parameters), 40)
    base = zlib.crc32(repr((name, factor, ratio)).encode())
    found = [one_repetition(at, n, base + first + k) for k in range(repetitions)]
    return {"task": task, "floor": at.floor, "n": n, "parameters": at.parameters, "rows": found}


def midpoint_study(names: Sequence[str], repetitions: dict[float, int], workers: int) -> list[dict[str, Any]]:
    """Cells of world × radius × rows per parameter; chunks of repetitions run side by side."""
    chunk = 25
    tasks = [
        (name, factor, ratio, first, min(chunk, count - first))
        for name, factor, (ratio, count) in itertools.product(names, (0.5, 1.5), repetitions.items())
        for first in range(0, count, chunk)
    ]
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            parts = list(pool.map(_cell, tasks))
    else:
        parts = [_cell(task) for task in tasks]
    cells: dict[tuple[str, float, float], dict[str, Any]] = {}
    for part in parts:
        key = part["task"][:3]
        merged = cells.setdefault(key, {**part, "rows": []})
        merged["rows"] = merged["rows"] + part["rows"]
    return list(cells.values())


def share(cell: dict[str, Any], name: str, among: str | None = None) -> tuple[int, int]:
    rows = [row for row in cell["rows"] if among is None or row[among]]
    return sum(bool(row[name]) for row in rows), len(rows)


def below_nominal(hits: int, of: int, nominal: float) -> bool:
    """Whether coverage is below nominal beyond chance: its upper 99 % Clopper-Pearson limit is."""
    return of > 0 and clopper_pearson_upper(hits, of, 0.01) < nominal


def column(cell: dict[str, Any], name: str, among: str | None = None) -> np.ndarray:
    return np.array([row[name] for row in cell["rows"] if among is None or row[among]], dtype=float)


def midpoint_tables(cells: list[dict[str, Any]]) -> str:
    """Bias and coverage of the midpoints; coverage of the sides."""
    head = (
        "world",
        "radius",
        "n/p",
        "n",
        "L*",
        "train",
        "E L(ĝ)",
        "bias ½–½",
        "bias",
        "cover ½–½ with drift",
        "cover plain",
        "cover with drift",
        "not identified",
        "cover when identified",
        "width/bracket",
    )
    body, sides = [], []
    for cell in cells:
        name, factor, ratio, *_ = cell["task"]
        bias, even = column(cell, "bias"), column(cell, "even_bias")
        known = [row for row in cell["rows"] if row["identified"]]
        relative = np.median([row["width"] / row["bracket"] for row in known]) if known else np.nan
        label = (name, "tight" if factor < 1 else "loose", f"{ratio:g}")
        body.append(
            (
                *label,
                f"{cell['n']}",
                f"{cell['floor']:.3f}",
                f"{column(cell, 'train').mean():+.3f}",
                f"{column(cell, 'population').mean():+.3f}",
                f"{even.mean():+.3f}",
                f"{bias.mean():+.3f} ± {bias.std(ddof=1):.3f}",
                _rate(share(cell, "even_covered")),
                _rate(share(cell, "plain")),
                _rate(share(cell, "covered")),
                f"{1 - np.mean(column(cell, 'identified')):.2f}",
                _rate(share(cell, "identified_covered", "identified")),
                "—" if not known else f"{relative:.2f}",
            )
        )
        sides.append(
            (
                *label,
                *(
                    _rate(share(cell, key))
                    for key in ("low_side", "high_side", "loss_low_side", "certified_low", "certified_high")
                ),
                _rate(share(cell, "reported_covered", "identified")),
            )
        )
    sides_head = (
        "world",
        "radius",
        "n/p",
        "statistical low ≤ L*",
        "L(ĝ) ≤ statistical high",
        "loss low ≤ L(ĝ)",
        "certified low ≤ L*",
        "L(ĝ) ≤ certified high",
        "midpoint at its joint share",
    )
    return table(head, body) + "\n\n" + table(sides_head, sides)


def _rate(counts: tuple[int, int]) -> str:
    hits, of = counts
    return "—" if of == 0 else f"{hits / of:.3f} ({hits}/{of})"


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])


# ---------------------------------------------------------------- few rows


def few_rows_worlds() -> dict[str, Callable[[], Population]]:
    """Worlds for the question how close a fit may be: the limits were chosen on the first two."""
    known: dict[str, Callable[[], Population]] = {
        "gaussian K=8": lambda: gaussian_classes(8, 24, 8000, 1.1, label_noise=0.04, seed=51),
        "subclusters K=6": lambda: subclusters(6, 24, 8000, 1.8, label_noise=0.04, seed=52),
        "digits K=10": lambda: smoothed("digits", _digits(24), copies=5, noise=0.5, seed=53),
    }
    if EMBEDDINGS.is_file():
        known["sentences K=7"] = lambda: smoothed("sentences", _sentences(40), copies=1, noise=0.1, seed=54)
    return known


RADII = (16.0, 32.0, 64.0, 128.0)


def _few(task: tuple[str, float, Sequence[float], int]) -> list[dict[str, Any]]:
    name, radius, ratios, repetitions = task
    world = few_rows_worlds()[name]()
    phi = design_map(world.sample(DESIGN, np.random.default_rng(1)).features)
    at = at_radius(Truth.of(world, phi), phi, radius)
    cells = []
    for ratio in ratios:
        n = max(round(ratio * at.parameters), 40)
        base = zlib.crc32(repr((name, radius, ratio)).encode())
        rows = [one_repetition(at, n, base + k) for k in range(repetitions)]
        cells.append({"task": (name, radius, ratio), "floor": at.floor, "n": n, "rows": rows})
    return cells


def few_rows_study(
    names: Sequence[str], ratios: Sequence[float], repetitions: int, workers: int
) -> list[dict[str, Any]]:
    tasks = [(name, radius, ratios, repetitions) for name in names for radius in RADII]
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            return [cell for cells in pool.map(_few, tasks) for cell in cells]
    return [cell for task in tasks for cell in _few(task)]


def few_rows_table(cells: list[dict[str, Any]]) -> str:
    head = (
        "world",
        "radius",
        "n/p",
        "n",
        "L*",
        "train/CV",
        "bias ± its error",
        "mean drift",
        "2·z·s/√N",
        "drift rule alone: identified",
        "then covered",
        "both rules: identified",
        "then covered",
    )
    body = []
    for cell in cells:
        bias = column(cell, "bias")
        drift, noise = column(cell, "drift"), column(cell, "noise")
        rows = [{**row, "still": row["drift"] <= row["noise"]} for row in cell["rows"]]
        own = {**cell, "rows": rows}
        body.append(
            (
                cell["task"][0],
                f"{cell['task'][1]:g}",
                f"{cell['task'][2]:g}",
                f"{cell['n']}",
                f"{cell['floor']:.3f}",
                f"{np.median(column(cell, 'closeness')):.2f}",
                f"{bias.mean():+.3f} ± {bias.std(ddof=1) / np.sqrt(len(bias)):.3f}",
                f"{drift.mean():.3f}",
                f"{noise.mean():.3f}",
                _rate(share(own, "still")),
                _rate(share(own, "covered", "still")),
                _rate(share(own, "identified")),
                _rate(share(own, "identified_covered", "identified")),
            )
        )
    return table(head, body)


# ---------------------------------------------------------------- finite class


def finite_class_study(sizes: Sequence[int], repetitions: int) -> str:
    """400 fixed linear classifiers, 0-1 loss, exact minimisation: the certified sides at δ = .025 each."""
    rng, world = np.random.default_rng(32), finite_class(400, 5, flip=0.2, spread=0.6, seed=31)
    risk, floor, delta, m = world.losses, world.floor, 0.025, 500
    body = []
    for n in sizes:
        counts = dict.fromkeys(("cp", "kl", "hoeffding"), 0)
        ends: dict[str, list[float]] = {key: [] for key in counts}
        least, chosen = [], []
        for _ in range(repetitions):
            rows, holdout = world.sample(n, rng), world.sample(m, rng)
            errors = world.mistakes(rows.features, rows.labels).sum(axis=0)
            best = int(errors.argmin())
            k, held = int(errors[best]), int(world.mistakes(holdout.features, holdout.labels)[:, best].sum())
            low = {
                "cp": clopper_pearson_lower(k, n, delta),
                "kl": kl_lower(k / n, n, delta),
                "hoeffding": k / n - hoeffding_deviation(n, delta),
            }
            high = {
                "cp": clopper_pearson_upper(held, m, delta),
                "kl": kl_upper(held / m, m, delta),
                "hoeffding": held / m + hoeffding_deviation(m, delta),
            }
            for key in counts:
                counts[key] += low[key] <= floor <= high[key]
                ends[key].append(high[key] - low[key])
            least.append(k / n)
            chosen.append(risk[best])
        body.append(
            (
                f"{n}",
                f"{floor:.4f}",
                f"{np.mean(least):.4f}",
                f"{np.mean(chosen):.4f}",
                *(
                    f"{counts[key] / repetitions:.4f} ({counts[key]}/{repetitions})"
                    + ("" if not below_nominal(counts[key], repetitions, 0.95) else " **below nominal**")
                    for key in counts
                ),
                *(f"{np.mean(ends[key]):.3f}" for key in ends),
            )
        )
    head = ("n", "L*", "E min L̂", "E L(ERM)", "Clopper-Pearson", "kl", "Hoeffding", "width CP", "kl", "Hoeffding")
    return table(head, body)


# ---------------------------------------------------------------- sandwich


def sandwich_study(sizes: Sequence[int], repetitions: int, penalty: float = 0.1) -> tuple[str, list[dict[str, float]]]:
    """Means over samples: min L̂ ≤ L* ≤ E L(ĝ); the penalised training loss crosses L*, its certificate does not."""
    world = gaussian_classes(2, 10, 20_000, separation=0.45, seed=41)
    phi = design_map(world.sample(DESIGN, np.random.default_rng(1)).features)
    truth = Truth.of(world, phi)
    at = at_radius(truth, phi, 1.2 * float(np.linalg.norm(minimise(truth.rows, 300.0, tolerance=1e-4).weights)))
    rng, rows, found = np.random.default_rng(42), at.truth.rows, []
    for n in sizes:
        table_rows = []
        for _ in range(repetitions):
            sample = rows.take(rng.integers(0, len(rows), n))
            exact = minimise(sample, at.radius, tolerance=1e-6)
            weights = _penalised(sample, penalty)
            ridge = certify(sample, weights, at.radius)
            table_rows.append(
                [
                    exact.loss,
                    truth.population_loss(exact.weights),
                    exact.minimum,
                    ridge.loss,
                    ridge.minimum,
                    truth.population_loss(weights),
                ]
            )
        mean = np.mean(table_rows, axis=0)
        names = ("train", "population", "certified", "penalised_train", "penalised_certified", "penalised_population")
        found.append({"n": n, "floor": at.floor, **dict(zip(names, map(float, mean), strict=True))})
        found[-1]["error"] = float(np.std([r[0] for r in table_rows], ddof=1) / np.sqrt(repetitions))
    head = ("n", "L*", "min L̂ (ball)", "its certificate", "L(ĝ)", "penalised train", "penalised, certified", "L")
    body = [
        (
            f"{f['n']}",
            f"{f['floor']:.4f}",
            f"{f['train']:.4f}",
            f"{f['certified']:.4f}",
            f"{f['population']:.4f}",
            f"{f['penalised_train']:.4f}" + (" > L*" if f["penalised_train"] > f["floor"] else ""),
            f"{f['penalised_certified']:.4f}",
            f"{f['penalised_population']:.4f}",
        )
        for f in found
    ]
    return table(head, body), found


def _penalised(rows: Rows, penalty: float) -> np.ndarray:
    """argmin L̂ + λ‖W‖²/2: the ball fit at the radius where the multiplier is λ, found by bisection."""
    low, high = 1e-3, 100.0
    for _ in range(40):
        radius = np.sqrt(low * high)
        fit = minimise(rows, float(radius), tolerance=1e-7)
        low, high = (float(radius), high) if fit.gradient_norm / radius > penalty else (low, float(radius))
        if high / low < 1.001:
            break
    return fit.weights


# ---------------------------------------------------------------- ends


def loss_ends(probes: int, draws: int) -> str:
    """Ends of the mean log loss of fixed probes on m fresh rows, with and without the correction for skewness."""
    worlds = {
        "gaussian K=6": (gaussian_classes(6, 16, 12_000, separation=0.9, seed=71), (8.0, 24.0)),
        "subclusters K=3": (subclusters(3, 8, 12_000, separation=1.6, label_noise=0.05, seed=72), (4.0, 16.0)),
        "gaussian K=4, noise": (
            gaussian_classes(4, 24, 12_000, separation=1.0, label_noise=0.05, seed=73),
            (6.0, 24.0),
        ),
    }
    delta, rng, body = (1 - CONFIDENCE) / EVENTS, np.random.default_rng(74), []
    for (name, (world, radii)), m in itertools.product(worlds.items(), (20, 50, 80, 200, 500)):
        for radius in radii:
            rows = []
            for seed in range(probes):
                task = Task("t", "e", world.sample(5 * m, rng))
                prepared = prepare(task, FitSpec(split_seed=seed))
                weights = minimise(prepared.fit, radius, tolerance=1e-3).weights
                losses = per_example_loss(Truth.of(world, prepared.phi).rows.features @ weights, world.labels, "log")
                rows += [_ends(losses, losses[rng.integers(0, len(losses), m)], delta) for _ in range(draws)]
            body.append((name, f"{radius:g}", f"{m}", *_shares(rows)))
    head = ("world", "radius", "m", "upper, t", "upper", "lower, t", "lower", "said to be few")
    return table(head, body)


def _ends(losses: np.ndarray, sample: np.ndarray, delta: float) -> tuple[bool, ...]:
    truth, mean = float(losses.mean()), mean_of(sample)
    half = float(scipy.stats.t.isf(delta, mean.dof)) * mean.error
    plain = truth <= mean.value + half, mean.value - half <= truth
    few = len(unit_assumptions(mean, "rows")) > 1
    return plain[0], truth <= mean.high(delta), plain[1], mean.low(delta) <= truth, few


def _shares(rows: Sequence[tuple[bool, ...]]) -> list[str]:
    *ends, few = np.mean(rows, axis=0)
    return [f"{end:.3f}" for end in ends] + [f"{few:.2f}"]


def group_ends(repetitions: int) -> str:
    """Nominal 95 % for the mean over rows in groups of lognormal sizes: g − 1 degrees of freedom, those in force."""
    rng, body = np.random.default_rng(75), []
    for g, spread, effect in itertools.product((6, 12, 30), (0.0, 0.5, 1.0), (0.0, 1.0)):
        hits, widths, dofs = np.zeros(2), np.zeros((repetitions, 2)), []
        for k in range(repetitions):
            sizes = np.maximum(1, np.round(np.exp(rng.normal(2.0, spread, g)))).astype(int)
            member = np.repeat(np.arange(g), sizes)
            x = effect * rng.normal(size=g)[member] + rng.normal(size=len(member))
            mean = mean_of(x, member)
            totals = np.bincount(member, weights=x - x.mean())
            plain = np.sqrt(g / (g - 1) * totals @ totals) / len(x) * scipy.stats.t.isf(0.025, g - 1)
            hits += abs(x.mean()) <= plain, mean.low(0.025) <= 0 <= mean.high(0.025)
            widths[k] = plain, (mean.high(0.025) - mean.low(0.025)) / 2
            dofs.append(mean.dof)
        rates = [f"{rate:.3f}" for rate in hits / repetitions]
        body.append((f"{g}", f"{spread:g}", f"{effect:g}", f"{np.median(dofs):.1f}", *rates,
                     *(f"{width:.2f}" for width in np.median(widths, axis=0))))  # fmt: skip
    head = ("groups", "sd of log size", "effect", "dof", "g − 1", "in force", "half-width, g − 1", "in force")
    return table(head, body)


def gap_ends(repetitions: int) -> str:
    """How often the low end of class_gap, nominal 95 %, lies above the true gap of the head that was fitted."""
    draw = np.random.default_rng(76)
    features = draw.normal(size=(6000, 2))
    labels = (np.linalg.norm(features, axis=1) > 1.18).astype(np.int64)
    rings = Population("rings", features, np.where(draw.random(6000) < 0.05, 1 - labels, labels), 2)
    body, other = [], subclusters(3, 4, 6000, separation=1.5, seed=77)
    for name, world, n in (("rings", rings, 150), ("rings", rings, 400), ("subclusters", other, 150)):
        missed = sum(_gap_missed(world, n, seed) for seed in range(repetitions))
        body.append((name, f"{n}", f"{round(0.2 * n)}", f"{missed}/{repetitions}", f"{missed / repetitions:.3f}"))
    return table(("world", "rows", "held out", "missed", "share"), body)


def _gap_missed(world: Population, n: int, seed: int, radius: float = 4.0) -> bool:
    task = Task("t", "e", world.sample(n, np.random.default_rng(seed)))
    prepared = prepare(task, FitSpec(radius=radius, split_seed=seed))
    pool, probe = minimise(pool_rows(prepared), radius), minimise(prepared.fit, radius)
    own, own_loss = holdout_minimum(prepared, pool)
    held = per_example_loss(prepared.holdout.features @ probe.weights, prepared.holdout.labels, "log")
    truth, size, m = Truth.of(world, prepared.phi), len(prepared.fit), len(held)
    both = [np.concatenate(parts) for parts in ((prepared.holdout.features, truth.rows.features),
                                                (prepared.holdout.labels, truth.rows.labels))]  # fmt: skip
    head = rich_head(replace(prepared, holdout=replace(truth.rows, features=both[0], labels=both[1])), radius)
    data = {"holdout_minimum": own.minimum, "pool": {"minimum": pool.minimum, "n": size + m}, "n_fit": size,
            "rich_head": {"landmarks": head.landmarks}}  # fmt: skip
    arrays = {
        "rich_holdout_loss": head.holdout_loss[:m],
        "holdout_own_loss": own_loss,
        "curve_holdout_loss": held[None],
    }
    low, *_ = swap_bound(StageRecord("fit", 1, data, arrays), CONFIDENCE)
    return low > truth.minimum(radius).loss - float(head.holdout_loss[m:].mean())


# ---------------------------------------------------------------- command


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few repetitions: under a minute")
    parser.add_argument("--only", default="finite,sandwich,midpoint,few-rows,ends")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--worlds", default=",".join(worlds()))
    options = parser.parse_args(arguments)
    only, began = options.only.split(","), time.perf_counter()
    print(f"events share 1 − {CONFIDENCE:g} in {EVENTS}; seeds fixed; quick = {options.quick}")
    if "finite" in only:
        print("\n### Finite class\n\n" + finite_class_study((50, 200, 800), 200 if options.quick else 2000))
    if "sandwich" in only:
        print("\n### Sandwich\n\n" + sandwich_study((50, 200, 800, 3200), 5 if options.quick else 60)[0])
    if "midpoint" in only:
        repetitions = {0.5: 5, 2.0: 5} if options.quick else {0.5: 200, 2.0: 200, 10.0: 100}
        print(
            "\n### Midpoint\n\n"
            + midpoint_tables(
                midpoint_study(options.worlds.split(",")[: 2 if options.quick else None], repetitions, options.workers)
            )
        )
    if "few-rows" in only:
        names = list(few_rows_worlds())[: 1 if options.quick else None]
        cells = few_rows_study(
            names, (0.25,) if options.quick else (0.25, 0.5, 1.0, 2.0), 2 if options.quick else 12, options.workers
        )
        print("\n### Few rows a parameter\n\n" + few_rows_table(cells))
    if "ends" in only:
        print("\n### Ends of a held-out loss\n\n" + loss_ends(*((2, 100) if options.quick else (8, 400))), flush=True)
        print("\n### Means over groups\n\n" + group_ends(100 if options.quick else 2000), flush=True)
        print("\n### Low end of class_gap\n\n" + gap_ends(4 if options.quick else 600))
    print(f"\n{time.perf_counter() - began:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
