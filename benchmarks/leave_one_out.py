"""Leave-one-out of probes beside refits, the penalties that it chooses, and the midpoint of the floor without folds.

    python benchmarks/leave_one_out.py [--only curvature,penalties,midpoint] [--data FILE.npz] [--quick]

curvature   approximate leave-one-out of the log loss against rows really left out: full Hessian and class blocks
penalties   held-out log loss of the penalty chosen (shortlist, then leave-one-out) against the best of a wide grid
midpoint    leave-one-out midpoint and five-fold midpoint on the same samples: bias, coverage, width, time

Markdown tables on standard output, seeds fixed, one BLAS thread. FILE (X [rows, features], y [rows], such as MiniLM
embeddings of banking77) adds its rows to the first two; they are left out without it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from benchmarks.validation.midpoint import RADII
from benchmarks.validation.settings import known, sample
from benchmarks.validation.tables import table
from threadpoolctl import threadpool_limits

from limen.adapt import approximate_left_out as approximate
from limen.adapt.ball import minimise
from limen.adapt.choose_penalties import choose_penalties
from limen.adapt.floor_fits import FOLDS, Midpoint, midpoints
from limen.adapt.leave_one_out import leave_one_out
from limen.adapt.left_out_midpoint import left_out_midpoint
from limen.adapt.losses import per_example_loss
from limen.adapt.probe_path import probe_path
from limen.arrays.intervals import mean_of, student_quantile
from limen.data.digits import digits
from limen.data.embeddings import read_embeddings

Rows = tuple[np.ndarray, np.ndarray]
Case = tuple[str, Rows, Rows]
"""A name, rows to fit on, rows held out."""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--only", default="curvature,penalties,midpoint")
    asked.add_argument("--data", type=Path)
    asked.add_argument("--quick", action="store_true")
    given = asked.parse_args()
    with threadpool_limits(limits=1):
        for part in given.only.split(","):
            print(f"## {part}\n", flush=True)
            {"curvature": curvature, "penalties": penalties, "midpoint": midpoint}[part](given.data, given.quick)
            print(flush=True)


def pixels(n: int, seed: int) -> Case:
    images, labels = digits("digits")
    return split(f"digits, n = {n:,}", (images.reshape(len(images), -1).astype(float), labels), n, seed)


def split(name: str, rows: Rows, n: int, seed: int) -> Case:
    order = np.random.default_rng(seed).permutation(len(rows[1]))
    fit, held = order[:n], order[max(n, len(order) - 4000) :]
    return name, (rows[0][fit], rows[1][fit]), (rows[0][held], rows[1][held])


def power_law(n: int, classes: int, signal: float, decay: float, seed: int) -> Case:
    """x_j ~ N(0, j^−decay), labels from softmax of a linear rule of size `signal`."""
    d, rng = 100 if classes == 2 else 200, np.random.default_rng(seed)
    sd = np.arange(1, d + 1.0) ** (-decay / 2)
    rule = rng.normal(size=(d, classes)) * signal / np.linalg.norm(sd)
    x = rng.normal(size=(n + 8000, d)) * sd
    y = (x @ rule + rng.gumbel(size=(len(x), classes))).argmax(axis=1)
    name = f"power law {decay:g}, K = {classes}, signal {signal:g}, n = {n:,}"
    return name, (x[:n], y[:n]), (x[n:], y[n:])


def of_file(file: Path | None, counts: tuple[int, ...], seed: int) -> Iterator[Case]:
    if file is not None:
        read = read_embeddings(file)
        for n in counts:
            yield split(f"{file.stem}, n = {n:,}", (read.features, read.labels), n, seed)


# ---------------------------------------------------------------- curvature


def curvature(file: Path | None, quick: bool) -> None:
    head = ("rows", "λ", "curvature", "training", "left out", "of them real", "mean difference", "largest", "s")
    body = []
    cases = [pixels(300, 0), pixels(1200, 0), *of_file(file, (300, 1000) if quick else (300, 1000, 4000, 10_003), 0)]
    for name, (x, y), _ in cases:
        few = len(np.unique(y)) <= 10
        for penalty in (1e-2, 1e-3, 1e-4) if few else (1e-3, 1e-4, 1e-5):
            for most in (3500, 0) if few else (3500,):
                approximate.MOST_UNKNOWNS = most
                began = time.process_time()
                found = leave_one_out(x, y, [penalty], check_rows=20 if len(y) > 2000 else 60)
                check, spent = found.checks[0], time.process_time() - began
                body.append((
                    name, f"{penalty:g}", found.method, f"{found.training_loss[0]:.4f}",
                    f"{found.leave_one_out_loss[0]:.4f}", f"{check.left_out_loss.mean():.4f}",
                    f"{check.mean_difference:+.4f} ± {check.error_of_mean:.4f}",
                    f"{check.largest_difference:.3f}", f"{spent:.1f}",
                ))  # fmt: skip
    approximate.MOST_UNKNOWNS = 3500
    print(table(head, body))


# ---------------------------------------------------------------- penalties


def penalties(file: Path | None, quick: bool) -> None:
    head = ("rows", "mapped λ", "chosen / mapped", "best of grid / mapped", "held out: best", "regret",
            "regret of mapped", "s")  # fmt: skip
    body = []
    for seed in (10,) if quick else (10, 11):
        cases = [pixels(n, seed) for n in (100, 300, 1000)]
        laws = ((2, 3.0, 1.0), (2, 0.7, 1.0), (10, 3.0, 1.0), (10, 6.0, 2.0), (10, 0.7, 1.0))
        cases += [power_law(n, *law, seed) for law in laws for n in ((300,) if quick else (300, 2000))]
        cases += of_file(file, (300, 1000) if quick or seed > 10 else (300, 1000, 4000), seed)
        body += [chosen(*case) for case in cases]
    print(table(head, body))
    regrets = np.array([[float(row[5]), float(row[6])] for row in body])
    print(f"\nRegret, mean and largest: {regrets[:, 0].mean():.4f}, {regrets[:, 0].max():.4f}; of the mapped penalty "
          f"alone {regrets[:, 1].mean():.4f}, {regrets[:, 1].max():.4f}.")  # fmt: skip


def chosen(name: str, rows: Rows, held: Rows) -> tuple[str, ...]:
    began = time.process_time()
    listed = choose_penalties(*rows)
    best = leave_one_out(*rows, listed.penalties, check_rows=1).best
    spent = time.process_time() - began
    mapped = float(listed.penalties[3])
    grid = mapped * 10.0 ** np.arange(-3, 3.01, 0.25)
    classes, labels = np.unique(rows[1]), held[1]
    seen = np.isin(labels, classes)
    losses = []
    for probe in probe_path(*rows, penalties=[*grid, best, mapped], tolerance=1e-5):
        scores = held[0][seen] @ probe.coef_.T + probe.intercept_
        losses.append(per_example_loss(scores, np.searchsorted(classes, labels[seen]), "log").mean())
    least = min(losses)
    return (name, f"{mapped:.2g}", f"{np.log10(best / mapped):+.1f} decades",
            f"{np.log10(grid[int(np.argmin(losses[:-2]))] / mapped):+.2f} decades", f"{least:.4f}",
            f"{losses[-2] - least:.4f}", f"{losses[-1] - least:.4f}", f"{spent:.1f}")  # fmt: skip


# ---------------------------------------------------------------- midpoint


def midpoint(_: Path | None, quick: bool) -> None:
    head = ("world", "radius", "n/p", "n", "midpoint", "bias ± sd", "plain", "with drift", "width", "identified",
            "identified: cover", "ms")  # fmt: skip
    body: list[tuple[str, ...]] = []
    for world, repetitions in (("gaussian", 100), ("subclusters", 100), ("label noise", 100), ("digits", 30)):
        for radius, factor in RADII.items():
            for ratio in (1.0, 2.0, 10.0):
                found = two_midpoints(world, factor, ratio, 3 if quick else repetitions)
                at = known(world, factor)
                for kind, columns in found.items():
                    if not len(columns):
                        continue
                    bias, plain, drift, width, identified, spent = columns.T
                    away = f"{bias.mean():+.3f} ± {bias.std():.3f}"
                    cover = drift[identified > 0].mean() if identified.any() else np.nan
                    body.append((
                        world, radius, f"{ratio:g}", f"{at.rows_at(ratio)}", kind, away, f"{plain.mean():.2f}",
                        f"{drift.mean():.2f}", f"{np.median(width):.3f}",
                        f"{identified.mean():.2f}", f"{cover:.2f}", f"{1e3 * spent.mean():.0f}",
                    ))  # fmt: skip
    print(table(head, body))


def two_midpoints(world: str, factor: float, ratio: float, repetitions: int) -> dict[str, np.ndarray]:
    at = known(world, factor)
    rows: dict[str, list[tuple[float, ...]]] = {"five folds": [], "leave-one-out": []}
    for number in range(repetitions):
        drawn = sample(at, at.rows_at(ratio), np.random.default_rng([17, number]))
        began = time.process_time()
        whole, half, half_rows = midpoints(drawn.prepared, drawn.final, None, 1)
        spent = time.process_time() - began
        rows["five folds"].append((*interval(folds(whole), folds(half).mean(), at.floor), spent))
        began = time.process_time()
        pool = drawn.pool
        part = pool.take(half_rows)
        fit = minimise(pool, at.radius, drawn.final.weights, tolerance=1e-6)
        try:
            own = left_out_midpoint(pool, fit).rows
            less = left_out_midpoint(part, minimise(part, at.radius, fit.weights, tolerance=1e-6)).rows
        except np.linalg.LinAlgError:
            continue  # inside the ball and separable: no midpoint
        spent = time.process_time() - began
        rows["leave-one-out"].append((*interval(own, less.mean(), at.floor), spent))
    return {kind: np.array(values, dtype=float) for kind, values in rows.items()}


def folds(found: Midpoint) -> np.ndarray:
    middle: np.ndarray = (FOLDS * found.train_loss + (FOLDS - 1) * found.cross_validated_loss) / (2 * FOLDS - 1)
    return middle


def interval(rows: np.ndarray, half: float, floor: float) -> tuple[float, ...]:
    """Bias, cover without and with drift, width, whether the drift is within the noise."""
    centre = mean_of(rows, None)
    noise = student_quantile(0.025, centre.dof) * centre.error
    drift, away = abs(float(rows.mean()) - half), abs(float(rows.mean()) - floor)
    return float(rows.mean()) - floor, away <= noise, away <= noise + drift, 2 * (noise + drift), drift <= 2 * noise


if __name__ == "__main__":
    main()
