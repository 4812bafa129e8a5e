"""How many passes over the rows a probe takes, with class blocks and without, and how fast a pass is.

    python benchmarks/probe_solver.py                    # Gaussian classes, no files needed
    python benchmarks/probe_solver.py --data FILE.npz    # X [rows, features], y [rows], such as embeddings of banking77

One BLAS thread. Every fit goes on until its certified gap is at most 1e-4 (subsets: 1e-3, as the jackknife asks), so
the quality is matched. "scaled Gram" is the same solver that never builds class blocks. The last table sets one pass
(two products and a softmax, float32) beside the rate of a large square product of the same machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

import limen.adapt.log_ball as log_ball
from limen.adapt.ball import BallFit, Rows, minimise, minimise_subsets, start_from, steering_at
from limen.adapt.feature_map import design_map
from limen.adapt.log_ball import Steering
from limen.adapt.passes import Passes
from limen.data.embeddings import read_embeddings
from limen.data.worlds.gaussian_classes import gaussian_classes

Result = TypeVar("Result")

RADII = (16.0, 64.0, 256.0)
TOLERANCE, SUBSET_TOLERANCE = 1e-4, 1e-3
DESIGN, LARGEST, GROUPS = 500, 7_500, 20


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--data", type=Path)
    rows = mapped(asked.parse_args().data)
    with threadpool_limits(limits=1):
        print(f"{len(rows):,} rows, {rows.features.shape[1]} features with the constant, {rows.classes} classes\n")
        fits(rows)
        rates(rows)


def mapped(file: Path | None) -> Rows:
    """Rows through the feature map of 500 design rows, as a budget has them."""
    if file is None:
        world = gaussian_classes(classes=20, dimension=192, rows=DESIGN + LARGEST, separation=0.35, label_noise=0.03)
        features, labels, classes = world.features, world.labels, world.classes
    else:
        read = read_embeddings(file)
        features, labels, classes = read.features, read.labels, len(read.classes)
    order = np.random.default_rng(0).permutation(len(labels))[: DESIGN + LARGEST]
    phi = design_map(features[order[:DESIGN]])
    return Rows(phi(features[order[DESIGN:]]), labels[order[DESIGN:]], classes)


def fits(rows: Rows) -> None:
    """Passes and seconds of cold fits, and of fits without 5 % of the rows that start from the whole one."""
    print(
        "| n | radius | loss | scaled Gram: passes (s) | class blocks: passes (s) | ratio | without 5 %: passes a fit |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for n in (len(rows) // 8, len(rows)):
        some = rows.take(np.arange(n))
        for radius in RADII:
            plain, slow = without_blocks(lambda radius=radius, some=some: minimise(some, radius, tolerance=TOLERANCE))
            blocks, fast = timed(lambda radius=radius, some=some: minimise(some, radius, tolerance=TOLERANCE))
            left_out, _ = without_blocks(lambda fit=blocks, some=some: subset_passes(some, fit, None))
            steered = subset_passes(some, blocks, steering_at(some, blocks))
            assert plain.converged
            assert blocks.converged
            print(
                f"| {n:,} | {radius:g} | {blocks.loss:.4f} | {plain.products} ({slow:.2f}) | {blocks.products} "
                f"({fast:.2f}) | {slow / fast:.1f} | {left_out:.1f} | {steered:.1f} |"
            )


def subset_passes(rows: Rows, fit: BallFit, near: Steering | None) -> float:
    """Passes a fit of 10 fits in lockstep, each without a twentieth of the rows."""
    part = np.random.default_rng(1).permutation(len(rows)) % GROUPS
    start = start_from(fit, 10, SUBSET_TOLERANCE)
    return (
        minimise_subsets(rows, part != np.arange(10)[:, None], fit.radius, start, SUBSET_TOLERANCE, near).products / 10
    )


def rates(rows: Rows) -> None:
    """Floating-point rate of a pass against a large square product."""
    square = np.random.default_rng(0).normal(size=(3000, 3000)).astype(np.float32)
    peak = 2 * 3000**3 / best(lambda: square @ square) / 1e9
    print(f"\n| adapters in one pass | GFlop/s | of a 3000 × 3000 float32 product ({peak:.0f}) |\n|---|---|---|")
    passes = Passes(rows.features, rows.labels, rows.classes, precision=np.float32)
    for many in (1, 2, 5, 20):
        weights = np.random.default_rng(0).normal(size=(many, rows.classes, rows.features.shape[1])) / 10
        work = 4 * len(rows) * rows.features.shape[1] * rows.classes * many / 1e9
        rate = work / best(lambda weights=weights, many=many: passes(weights, np.arange(many)))
        print(f"| {many} | {rate:.0f} | {rate / peak:.0%} |")


def without_blocks(work: Callable[[], Result]) -> tuple[Result, float]:
    cost, log_ball.BUILD_COST = log_ball.BUILD_COST, np.inf
    try:
        return timed(work)
    finally:
        log_ball.BUILD_COST = cost


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    started = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started


def best(work: Callable[[], object], repeats: int = 5) -> float:
    """Least seconds of several runs."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
