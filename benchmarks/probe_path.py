"""Certified probe paths beside scikit-learn at matched objectives: processor seconds, ratios, the machine's limit.

    python benchmarks/probe_path.py                       # digits, power-law spectra
    python benchmarks/probe_path.py --data FILE.npz       # and X [rows, features], y [rows], such as embeddings
    python benchmarks/probe_path.py --only paths,budget,closed,rate  [--large] [--seeds 5]

Both sides: the same float32 rows, one BLAS thread, one process (paths are independent: two workers double both), free
intercept, penalties 10 … 1e-6, one a decade. Times are processor seconds, the least of three where one is below a
second. scikit-learn's best practice is a warm start from penalty to penalty.

paths    default    LogisticRegression at its default tolerance; Limen's tolerances are chosen, fit by fit, such that no
                    objective is higher than scikit-learn's by more than 1e-6
         1e-4       every fit within 1e-4 of its certified optimum: Limen's default, and the largest tolerance of
                    scikit-learn among 1e-4 … 1e-7 that gets there ("never": none does)
         cold       scikit-learn without warm starts at its default tolerance
budget   8 label counts, the penalty selected at each: LogisticRegressionCV (5 folds, the same penalties) against
         leave-one-out of the squared loss, mapped, and one certified fit; held-out log loss of both
closed   RidgeClassifierCV against leave_one_out(loss="squared"), 15 penalties
rate     flops of the solver's passes per second beside those of a large float32 product in the same process
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeClassifierCV
from threadpoolctl import threadpool_limits

import limen
from limen.adapt.choose_penalties import choose_penalties
from limen.adapt.passes import Passes
from limen.adapt.path_descent import PathDescent
from limen.adapt.penalised import WeightedRows
from limen.data.digits import digits
from limen.data.embeddings import read_embeddings

PENALTIES = 10.0 ** np.arange(1, -7, -1)
EQUAL = 1e-6
"""Objectives within this are the same."""
CLOSE = 1e-4
MOST_ITERATIONS = 20_000
COUNTS = 8
Result = TypeVar("Result")


@dataclass(frozen=True)
class Case:
    """Named rows."""

    name: str
    features: np.ndarray
    labels: np.ndarray

    @property
    def classes(self) -> int:
        """K"""
        return int(self.labels.max()) + 1

    @property
    def rows(self) -> WeightedRows:
        """For certificates."""
        n = len(self.labels)
        return WeightedRows(self.features, self.labels, self.classes, np.full(n, 1 / n))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--data", type=Path)
    asked.add_argument("--only", default="paths,closed,budget,rate")
    asked.add_argument("--large", action="store_true", help="50,000 rows of 768 features too (minutes)")
    asked.add_argument("--seeds", type=int, default=1)
    given = asked.parse_args()
    warnings.simplefilter("ignore")  # scikit-learn's convergence warnings: its objective is what is compared
    with threadpool_limits(limits=1):
        for part in given.only.split(","):
            {"paths": paths, "closed": closed, "budget": budgets, "rate": rates}[part](given)


# ---------------------------------------------------------------- rows


def cases(given: argparse.Namespace) -> list[Case]:
    """Digits, power laws, and the rows of a file at four sizes."""
    found = [random_relu(300), random_relu(1300)]
    for n, d, classes in ((300, 384, 2), (300, 384, 10), (1000, 384, 10), (8000, 384, 2), (8000, 384, 10)):
        found.append(power_law(n, d, classes))
    found.append(power_law(6000, 384, 150))
    if given.large:
        found.append(power_law(50_000, 768, 10))
    if given.data:
        read = read_embeddings(given.data)
        order = np.random.default_rng(0).permutation(len(read.labels))
        found += [case_of(f"{given.data.parent.name} {n:,}", read, order[:n]) for n in (300, 1000, 4000, len(order))]
    return found


def case_of(name: str, read: object, rows: np.ndarray) -> Case:
    """Some rows, their classes numbered anew."""
    labels = np.unique(read.labels[rows], return_inverse=True)[1]
    return Case(
        f"{name} × {read.features.shape[1]}, K={labels.max() + 1}", read.features[rows].astype(np.float32), labels
    )


def random_relu(n: int) -> Case:
    """Handwritten digits through 512 random rectified features."""
    images, labels = digits("digits")
    pixels = images.reshape(len(images), -1).astype(np.float64)
    turn = np.random.default_rng(0).normal(size=(pixels.shape[1], 512)) / 8
    order = np.random.default_rng(1).permutation(len(labels))[:n]
    features = np.maximum(pixels[order] / pixels.max() @ turn, 0).astype(np.float32)
    return Case(f"digits {len(order):,} × 512, K=10", features, labels[order])


def power_law(n: int, d: int, classes: int) -> Case:
    """Gaussian rows with standard deviations j^-½, labels drawn from a multinomial logistic model."""
    rng = np.random.default_rng(2)
    features = rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.5
    scores = features @ (rng.normal(size=(d, classes)) * 1.5)
    labels = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    labels = np.unique(labels, return_inverse=True)[1]
    return Case(f"power law {n:,} × {d}, K={labels.max() + 1}", features.astype(np.float32), labels)


# ---------------------------------------------------------------- paths


def paths(given: argparse.Namespace) -> None:
    """One row a case."""
    print("| rows | default tolerance: scikit-learn (iterations) | Limen (passes) | ratio | cold | ratio | "
          "every fit within 1e-4: scikit-learn (tolerance) | Limen (passes) | ratio |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for case in cases(given):
        best = path(case, np.full(len(PENALTIES), 3e-6))
        least = np.array([probe.certificate_.minimum for probe in best])
        objectives, iterations, slow = warm(case, 1e-4)
        tolerances = matched(case, objectives, least)
        probes, fast = timed(lambda case=case, tolerances=tolerances: path(case, tolerances))
        reached = np.array([probe.objective_ for probe in probes])
        assert (reached <= objectives + EQUAL).all()
        _, cold_iterations, cold = warm(case, 1e-4, start=False)
        tolerance, close, close_iterations = tightened(case, least, (objectives, iterations, slow))
        certified, quick = timed(lambda case=case: path(case, np.full(len(PENALTIES), CLOSE)))
        assert all(probe.certificate_.converged for probe in certified)
        passes, sure = (sum(p.n_iter_ for p in found) for found in (probes, certified))
        print(
            f"| {case.name} | {slow:.3f} ({iterations}) | {fast:.3f} ({passes}) | **{slow / fast:.1f}** | {cold:.3f} "
            f"({cold_iterations}) | {cold / fast:.1f} | {close:.3f} ({tolerance}, {close_iterations}) | "
            f"{quick:.3f} ({sure}) | **{close / quick:.1f}** |",
            flush=True,
        )
    print()


def path(case: Case, tolerances: np.ndarray) -> list[limen.LinearProbe]:
    """Limen's side."""
    asked = {"penalties": PENALTIES, "intercept": "free", "tolerance": list(tolerances)}
    return limen.probe_path(case.features, case.labels, **asked)


def matched(case: Case, objectives: np.ndarray, least: np.ndarray) -> np.ndarray:
    """The loosest tolerances found by halving at which every objective is as low as `objectives`."""
    tolerances = np.clip(3 * (objectives - least), 3e-6, 3e-2)
    for _ in range(16):
        reached = np.array([probe.objective_ for probe in path(case, tolerances)])
        high = reached > objectives + EQUAL
        if not high.any():
            break
        tolerances[high] = np.maximum(tolerances[high] / 2, 1e-6)
    return tolerances


def tightened(case: Case, least: np.ndarray, known: tuple[np.ndarray, int, float]) -> tuple[str, float, int]:
    """scikit-learn's largest tolerance at which every fit is within CLOSE of the optimum, its time and iterations."""
    objectives, iterations, seconds = known
    for tolerance in (1e-4, 1e-5, 1e-6, 1e-7):
        if tolerance < 1e-4:
            objectives, iterations, seconds = warm(case, tolerance)
        if (objectives <= least + CLOSE).all():
            return f"{tolerance:g}", seconds, iterations
    return "never", seconds, iterations


def warm(case: Case, tolerance: float, start: bool = True) -> tuple[np.ndarray, int, float]:
    """scikit-learn's side: objectives in float64, iterations, seconds."""
    fits: list[tuple[np.ndarray, np.ndarray]] = []
    iterations = 0

    def run() -> None:
        nonlocal iterations
        fits.clear()
        iterations = 0
        model = LogisticRegression(warm_start=start, max_iter=MOST_ITERATIONS, tol=tolerance)
        for penalty in PENALTIES:
            if not start:
                model = LogisticRegression(max_iter=MOST_ITERATIONS, tol=tolerance)
            model.C = strength(case, penalty)
            model.fit(case.features, case.labels)
            iterations += int(model.n_iter_[0])
            fits.append((model.coef_.astype(np.float64), model.intercept_.astype(np.float64)))

    _, seconds = timed(run, 1.0)
    return np.array([objective(case, *fit, p) for fit, p in zip(fits, PENALTIES, strict=True)]), iterations, seconds


def strength(case: Case, penalty: float) -> float:
    """C of scikit-learn: two classes have one vector w there, and W = (−w/2, w/2) half its squared norm."""
    return (2 if case.classes == 2 else 1) / (penalty * len(case.labels))


def objective(case: Case, coef: np.ndarray, intercept: np.ndarray, penalty: float) -> float:
    """F_λ in float64."""
    if len(coef) == 1:
        coef, intercept = np.vstack([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    scores = case.features.astype(np.float64) @ coef.T + intercept
    top = scores.max(axis=1)
    losses = top + np.log(np.exp(scores - top[:, None]).sum(axis=1)) - scores[np.arange(len(top)), case.labels]
    return float(losses.mean() + penalty / 2 * (coef**2).sum())


def timed(run: Callable[[], Result], enough: float = np.inf) -> tuple[Result, float]:
    """Result and the least processor time of three runs; of one, where it took longer than `enough`."""
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        result = run()
        best = min(best, time.process_time() - start)
        if best > enough:
            break
    return result, best


# ---------------------------------------------------------------- closed form, budget, rate


def closed(given: argparse.Namespace) -> None:
    """All penalties with exact leave-one-out."""
    grid = 10.0 ** np.linspace(1, -6, 15)
    print('| rows | RidgeClassifierCV | leave_one_out(loss="squared") | ratio | leave-one-out error at the best |')
    print("|---|---|---|---|---|")
    for case in cases(given):
        n = len(case.labels)
        _, theirs = timed(
            lambda case=case, n=n: RidgeClassifierCV(alphas=grid * n).fit(case.features, case.labels), 1.0
        )
        asked = {"loss": "squared", "intercept": "free"}
        found, ours = timed(
            lambda case=case, asked=asked: limen.leave_one_out(case.features, case.labels, grid, **asked)
        )
        error = found.leave_one_out_error[found.penalties == found.best][0]
        print(f"| {case.name} | {theirs:.3f} | {ours:.3f} | {theirs / ours:.1f} | {error:.2%} |", flush=True)
    print()


def budgets(given: argparse.Namespace) -> None:
    """A learning curve with the penalty selected at every label count."""
    whole = [random_relu(1797)]
    if given.data:
        read = read_embeddings(given.data)
        whole.append(case_of(f"{given.data.parent.name} {len(read.labels):,}", read, np.arange(len(read.labels))))
    print("| rows | label counts × seeds | LogisticRegressionCV | leave-one-out and one fit | ratio | "
          "held-out loss: theirs | ours |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for case in whole:
        n, held = len(case.labels), len(case.labels) // 5
        counts = np.unique(
            np.geomspace(
                15 * case.classes if case.classes < 50 else 5 * case.classes, min(n - held, 2464), COUNTS
            ).astype(int)
        )
        totals, losses = np.zeros(2), [[], []]
        for seed in range(given.seeds):
            order = np.random.default_rng(seed).permutation(n)
            out, pool = order[:held], order[held:]
            for count in counts:
                rows = pool[:count]
                for side, fit in enumerate((cross_validated, left_out)):
                    probabilities, seconds = timed(partial(fit, case, rows, out), 0.0)
                    totals[side] += seconds
                    losses[side].append(-np.log(np.maximum(probabilities, 1e-300)).mean())
        print(
            f"| {case.name} | {counts[0]} … {counts[-1]} × {given.seeds} | {totals[0]:.1f} | {totals[1]:.2f} | "
            f"**{totals[0] / totals[1]:.0f}** | {np.mean(losses[0]):.4f} | {np.mean(losses[1]):.4f} |",
            flush=True,
        )
    print()


def cross_validated(case: Case, rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Probabilities of the true classes on held-out rows, scikit-learn."""
    strengths = sorted(strength(case, p) * len(case.labels) / len(rows) for p in PENALTIES)
    model = LogisticRegressionCV(Cs=strengths, cv=5, scoring="neg_log_loss", max_iter=MOST_ITERATIONS)
    try:
        model.fit(case.features[rows], case.labels[rows])
    except ValueError:  # a fold without some class: its log loss needs the labels; accuracy does not
        model.set_params(scoring="accuracy").fit(case.features[rows], case.labels[rows])
    return true_probabilities(model, case, out)


def left_out(case: Case, rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Probabilities of the true classes on held-out rows, Limen."""
    chosen = choose_penalties(case.features[rows], case.labels[rows], intercept="free")
    middle = [float(chosen.penalties[len(chosen.penalties) // 2])]
    probe = limen.probe_path(case.features[rows], case.labels[rows], penalties=middle, intercept="free")[0]
    return true_probabilities(probe, case, out)


def true_probabilities(model: object, case: Case, out: np.ndarray) -> np.ndarray:
    """1/K where a class was never seen."""
    known = {c: k for k, c in enumerate(model.classes_)}
    probabilities = model.predict_proba(case.features[out])
    return np.array(
        [
            p[known[c]] if c in known else 1.0 / case.classes
            for p, c in zip(probabilities, case.labels[out], strict=True)
        ]
    )


def rates(given: argparse.Namespace) -> None:
    """4·n·r·K operations a pass."""
    square = np.random.default_rng(0).normal(size=(2000, 2000)).astype(np.float32)
    peak = max(2 * 2000**3 / timed(lambda: square @ square)[1] for _ in range(2)) / 1e9
    print(f"Large float32 product: {peak:.0f} Gflop/s.\n")
    print("| rows | pass alone: Gflop/s | of the product | whole path: Gflop/s of passes | of the product |")
    print("|---|---|---|---|---|")
    for case in cases(given):
        descent = PathDescent(case.rows, True, np.float32)
        passes: Passes = descent.passes
        weights = np.random.default_rng(1).normal(size=(1, case.classes, descent.inner.size)) * 0.1
        zero = np.array([0])
        columns = 1 if case.classes == 2 else case.classes
        flops = 4 * len(case.labels) * passes.features.shape[1] * columns
        alone = (
            flops
            / timed(
                lambda passes=passes, weights=weights, zero=zero: [
                    passes.measure(weights, zero, True) for _ in range(5)
                ]
            )[1]
            * 5
            / 1e9
        )
        probes, seconds = timed(lambda case=case: path(case, np.full(len(PENALTIES), CLOSE)))
        inside = flops * sum(p.n_iter_ for p in probes) / seconds / 1e9
        print(f"| {case.name} | {alone:.0f} | {alone / peak:.0%} | {inside:.0f} | {inside / peak:.0%} |", flush=True)
    print()


if __name__ == "__main__":
    main()
