"""Ends of the floor on real embeddings: the ball against the row ball, and five upper ends (docs/decisions).

python benchmarks/floor_ends.py [--data FILE]       FILE: .npz with X, y, as banking77/minilm-train.npz
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from limen.adapt.ball import Rows, minimise
from limen.adapt.feature_map import design_map
from limen.adapt.losses import loss_range, per_example_loss
from limen.adapt.prequential import prequential_losses
from limen.adapt.row_ball import minimise_rows, row_loss_range
from limen.arrays.intervals import kl_lower, kl_upper, maurer_pontil_upper, mean_of
from limen.data.digits import digits
from limen.measure.betting import betting_upper
from limen.measure.row_floor import row_floor, row_radius

DELTA = 0.05 / 3


def tasks(data: Path | None) -> Iterator[tuple[str, np.ndarray, np.ndarray, tuple[float, ...]]]:
    images, labels = digits("digits")
    yield "digits", images.reshape(len(images), -1).astype(float), labels, (4.0, 16.0, 64.0)
    if data is not None:
        with np.load(data) as file:
            names, labels = np.unique(file["y"], return_inverse=True)
            yield data.stem + ", 7 groups", file["X"], labels * 7 // len(names), (16.0, 64.0)
            yield data.stem, file["X"], labels, (64.0, 256.0)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    balls = ["| data | K | n | radius | b | min L̂ | certified | row ball: r | b | min L̂ | certified | s |"]
    ends = ["| data | radius | holdout mean | t | prequential, t | five-fold, t | kl, Maurer-Pontil | betting"
            " | prequential betting |"]  # fmt: skip
    for name, x, y, radii in tasks(parser.parse_args(arguments).data):
        order = np.random.default_rng(0).permutation(len(y))
        design, rest = order[: len(y) // 20], order[len(y) // 20 :]
        phi = design_map(x[design])
        pool = Rows(phi(x[rest]), y[rest], int(y.max()) + 1)
        for radius in radii:
            balls.append(ball(name, pool, radius, phi.norm_bound))
            ends.append(upper(name, pool, radius, phi.norm_bound))
    for lines in (balls, ends):
        print("\n".join([lines[0], "|" + "---|" * (lines[0].count("|") - 1), *lines[1:]]) + "\n")
    return 0


def parts(pool: Rows) -> tuple[Rows, Rows]:
    held = round(0.2 / 0.95 * len(pool))
    return pool.take(np.arange(len(pool) - held)), pool.take(np.arange(len(pool) - held, len(pool)))


def ball(name: str, pool: Rows, radius: float, bound: float) -> str:
    fit, holdout = parts(pool)
    whole, probe = minimise(pool, radius), minimise(fit, radius)
    top = loss_range("log", pool.classes, radius, bound)
    held = per_example_loss(holdout.features @ probe.weights, holdout.labels, "log")
    low, high = kl_lower(max(whole.minimum, 0.0), len(pool), DELTA, top), betting_upper(held, DELTA, top)
    row, began = row_radius(radius, pool.classes), time.perf_counter()
    found = row_floor(fit, holdout, row, bound, 1 - 2 * DELTA)
    seconds = time.perf_counter() - began
    best, small = minimise_rows(pool, row, whole.weights), row_loss_range(pool.classes, row, bound)
    return (
        f"| {name} | {pool.classes} | {len(pool):,} | {radius:g} | {top:.0f} | {whole.minimum:.3f}"
        f" | {low:.3f} to {high:.3f} | {row:.2f} | {small:.0f} | {best.minimum:.3f}"
        f" | {found.low:.3f} to {found.high:.3f} | {seconds:.1f} |"
    )


def upper(name: str, pool: Rows, radius: float, bound: float) -> str:
    fit, holdout = parts(pool)
    top = loss_range("log", pool.classes, radius, bound)
    held = per_example_loss(holdout.features @ minimise(fit, radius).weights, holdout.labels, "log")
    ahead, fold = prequential_losses(pool, radius), np.arange(len(pool)) % 5
    out = np.empty(len(pool))
    for k in range(5):
        weights = minimise(pool.take(np.flatnonzero(fold != k)), radius, tolerance=1e-3).weights
        out[fold == k] = per_example_loss(pool.features[fold == k] @ weights, pool.labels[fold == k], "log")
    mean = float(held.mean())
    known = min(kl_upper(mean, len(held), DELTA / 2, top), maurer_pontil_upper(held, DELTA / 2, top))
    values = (mean, *(mean_of(losses).high(DELTA) for losses in (held, ahead, out)), known,
              betting_upper(held, DELTA, top), betting_upper(ahead, DELTA, top))  # fmt: skip
    return f"| {name} | {radius:g} | " + " | ".join(f"{value:.3f}" for value in values) + " |"


if __name__ == "__main__":
    raise SystemExit(main())
