"""Time and accuracy of the laws of SGD: 10⁵ modes × 10³ times of `displacement`, against the recursion itself.

    python benchmarks/sgd_laws.py [--modes 100000] [--times 1000] [--laws discrete,epoch,langevin]

Curvatures are log-spaced from 10⁻⁶ to 15 at learning rate 0.1, so that they run from nearly flat to underdamped; times
are either log-spaced from 1 to 10⁶ or all of 1 … T; an epoch has 500 steps. One thread, seconds of processor time,
best of --repeats. In brackets, from the same process, how many times longer the slow way takes: mean covariances of all
modes stepped by 2 × 2 systems to the last time, from the steps that it makes in two seconds. Accuracy: greatest
relative error of any mode's displacement at any time, against the recursion for impulses summed step by step in
extended precision (numpy's longdouble, 64 bits of mantissa on x86), over modes of every regime, near flatness and near
critical damping; under reshuffling to 20,000 steps, at 2 to 500 steps an epoch.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

from limen.theory.sgd import Law, Modes, discrete, epoch, langevin

MOMENTA = (0.0, 0.9, 0.99)
STARTS = ("stationary", "fixed")
RATE = 0.1
EPOCH = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--laws", default="discrete,epoch,langevin")
    asked = parser.parse_args()
    with threadpool_limits(limits=1):
        speed(asked.modes, asked.times, asked.repeats, asked.laws.split(","))
        accuracy()
        accuracy_of_epochs()


def speed(modes: int, times: int, repeats: int, names: list[str]) -> None:
    grids = {"log to 10^6": log_steps(times), f"1 to {times:,}": np.arange(1, times + 1)}
    print(f"{modes:,} modes x {times:,} times: seconds (times quicker than 2 x 2 powers taken to the last step)")
    print("law        momentum  start        " + "".join(f"{name:>20}" for name in grids))
    for beta in MOMENTA:
        slow = per_step(problem(modes, beta))
        given = problem(modes, beta)
        for law in (at for at in (discrete(given), epoch(given, EPOCH), langevin(given)) if at.name in names):
            for start in STARTS:
                taken = [best(law, steps, start, repeats) for steps in grids.values()]
                ratios = [slow * steps.max() / seconds for steps, seconds in zip(grids.values(), taken, strict=True)]
                cells = (f"{seconds:8.2f} ({ratio:9,.1f})" for seconds, ratio in zip(taken, ratios, strict=True))
                print(f"{law.name:10} {beta:8g}  {start:11}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def problem(modes: int, beta: float) -> Modes:
    rho = np.geomspace(1e-6, 15, modes)
    return Modes(rho, rho, RATE, beta, 32)


def log_steps(times: int) -> np.ndarray:
    """So many different whole numbers from 1 to 10⁶, log-spaced."""
    grid = np.unique(np.round(np.geomspace(1, 1e6, 4 * times)).astype(np.int64))
    return grid[np.linspace(0, len(grid) - 1, times).astype(int)]


def best(law: Law, steps: np.ndarray, start: str, repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        law.displacement(steps, start)  # type: ignore[arg-type]
        taken.append(time.process_time() - begun)
    return min(taken)


def per_step(problem: Modes) -> float:
    """Seconds of one step of mean and covariance of all modes by 2 × 2 systems."""
    eta, beta, h = problem.learning_rate, problem.momentum, problem.stiffness
    one = np.ones_like(h)
    m = np.moveaxis(np.array([[1 - eta * h, eta * beta * one], [-h, beta * one]]), 2, 0)
    w = np.array([eta, 1.0])
    noise = np.outer(w, w) * problem.step_noise[:, None, None]
    covariance, done, begun = np.zeros_like(m), 0, time.process_time()
    while time.process_time() - begun < 2:
        covariance = m @ covariance @ np.swapaxes(m, 1, 2) + noise
        done += 1
    return (time.process_time() - begun) / done


def accuracy() -> None:
    """Greatest relative error of each mode's displacement."""
    steps = np.unique(np.concatenate([np.arange(1, 60), np.round(np.geomspace(60, 100_000, 60))])).astype(np.int64)
    print(
        "\ngreatest relative error of a mode's displacement to 10^5 steps, against the recursion in extended precision"
    )
    for beta in MOMENTA:
        a = some_modes(beta)
        law = discrete(Modes(a, np.ones(len(a)), 1.0, beta))
        errors = []
        for start in STARTS:
            exact = recursion(a, beta, steps, start)
            errors.append(float(np.abs(law.mode_displacement(steps, start) / exact - 1).max()))  # type: ignore[arg-type]
        print(f"momentum {beta:4g}: stationary {errors[0]:.1e}, fixed {errors[1]:.1e}", flush=True)


def accuracy_of_epochs() -> None:
    """The same under reshuffling; errors of displacements below 1e-12 of a step's variance are relative to that."""
    print("\ngreatest relative error of a mode's displacement under reshuffling")
    for beta in MOMENTA:
        a = some_modes(beta)
        for m in (2, 13, 50, EPOCH):
            steps = np.unique(np.concatenate([np.arange(1, 30), [m - 1, m, m + 1, 2 * m + 3], log_steps(40)]))
            steps = steps[(steps > 0) & (steps <= 20_000)].astype(np.int64)
            law = epoch(Modes(a, np.ones(len(a)), 1.0, beta), m)
            errors = []
            for start in STARTS:
                exact = reshuffled(a, beta, steps, (m, start))
                found = law.mode_displacement(steps, start)  # type: ignore[arg-type]
                errors.append(float((np.abs(found - exact) / np.maximum(exact, 1e-12)).max()))
            print(f"momentum {beta:4g}, {m:3d} steps: stationary {errors[0]:.1e}, fixed {errors[1]:.1e}", flush=True)


def reshuffled(a: np.ndarray, beta: float, steps: np.ndarray, case: tuple[int, str]) -> np.ndarray:
    """From impulses U: their spread within each epoch, or e minus its mean over the lags within one."""
    m, start = case
    a, b, last = a.astype(np.longdouble), np.longdouble(beta), int(steps.max()) + m
    u = np.zeros((last + 1, len(a)), np.longdouble)  # u[t] is U_{t−1}
    u[1] = 1
    for t in range(1, last):
        u[t + 1] = (1 + b - a) * u[t] - b * u[t - 1]
    share = m / np.longdouble(m - 1)
    if start == "fixed":
        found = []
        for t in steps:
            under_way, over = u[1 : 1 + t % m], u[1 + t % m : 1 + t].reshape(-1, m, len(a))
            spread = ((over - over.mean(axis=1, keepdims=True)) ** 2).sum(axis=(0, 1))
            found.append(spread + (under_way**2).sum(axis=0) - under_way.sum(axis=0) ** 2 / m)
        return share * np.array(found)
    e, j = np.cumsum(u, axis=0) - b / (1 + b) * u, np.arange(-(m - 1), m)
    weights = (m - np.abs(j)) / np.longdouble(m) ** 2
    mobility = (1 + b) / ((1 - b) * (2 * (1 + b) - a))
    return 2 * share * mobility * np.array([e[t] + weights @ (e[np.abs(j)] - e[np.abs(t - j)]) for t in steps])


def some_modes(beta: float) -> np.ndarray:
    critical = (1 - np.sqrt(beta)) ** 2
    near = critical * (1 + np.array([-1e-3, -1e-6, -1e-9, 0, 1e-9, 1e-6, 1e-3])) if beta else np.array([1.0])
    return np.unique(np.concatenate([[0.0], np.geomspace(1e-12, 1.95 * (1 + beta), 60), near]))


def recursion(a: np.ndarray, beta: float, steps: np.ndarray, start: str) -> np.ndarray:
    """Step by step: Σ U_j², or 2κ times the excursion ΣU_j − β/(1 + β)·U_{t−1}, κ = a Var x of unit noise."""
    a, b = a.astype(np.longdouble), np.longdouble(beta)
    a = np.asarray(a)
    phi = 1 + b - a
    mobility = (1 + b) / ((1 - b) * (2 * (1 + b) - a))
    u, before, total, energy = np.ones_like(a), np.zeros_like(a), np.zeros_like(a), np.zeros_like(a)
    found, asked = [], set(steps.tolist())
    for t in range(1, int(steps.max()) + 1):
        total, energy = total + u, energy + u * u  # U_{t−1} is in
        if t in asked:
            found.append(energy if start == "fixed" else 2 * mobility * (total - b / (1 + b) * u))
        u, before = phi * u - b * before, u
    return np.array(found)


if __name__ == "__main__":
    main()
