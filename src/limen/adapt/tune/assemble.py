"""From tuned cells to the fit record that budgets are made of: the curve over (n, seed), the final model last.

The record has no radius: like that of k nearest neighbours it has an upper side only (`limen.adapt.fit`). Given the
probe's record of the same task and split, the tuned encoder stands in it as the richer adapter, whose gain has a lower
end by the swap bound (estimators.md §6):

    L*_linear − L*_tuned ≥ min_{‖W‖ ≤ radius} L̂_S − L̂_S(ĝ) − deviation of the paired differences.

Valid because ĝ never saw the holdout S: weights come from train rows, the epoch from design rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from limen.adapt.finer import finer_parts
from limen.adapt.fit import VERSION
from limen.adapt.prepare import Prepared
from limen.adapt.tune.rows import subset_of
from limen.arrays.environment import environment
from limen.records.errors import BadInput, Problem
from limen.records.stage import StageRecord
from limen.records.task import Task

Arrays = dict[str, np.ndarray[Any, Any]]
ONE_OF = ("method", "loss")


def assemble(task: Task, prepared: Prepared, cells: Sequence[StageRecord]) -> StageRecord:
    """The fit record (kind "fit") of tuned cells of one task and method, one a (n, seed).

    The final model is that of the largest n (its first seed); n_fit and the fit rows are its own. Raises BadInput for
    no cells, cells of different methods, losses or holdouts, and counts with different seeds.
    """
    ordered = sorted(cells, key=lambda cell: (cell.data["n"], cell.data["seed"]))
    _check(prepared, ordered)
    last = next(cell for cell in ordered if cell.data["n"] == ordered[-1].data["n"])
    points = [cell for cell in ordered if cell.data["n"] < last.data["n"]] + [last]
    rows = subset_of(prepared, last.data["n"], last.data["seed"])
    data, arrays = _points(points)
    of = len(prepared.holdout)
    data |= {
        "encoder": task.encoder,
        "task": task.name,
        "method": last.data["method"],
        "loss": last.data["loss"],
        "subsets": prepared.spec.subsets,
        "classes": prepared.classes,
        "class_names": list(task.train.classes),
        "n_fit": len(rows),
        "n_holdout": of,
        "n_design": len(prepared.design),
        "dimension": int(task.train.features.shape[1]),
        "norm_bound": prepared.phi.norm_bound,
        "same_population": task.same_population,
        "populations": list(last.data["populations"]),
        "radius": None,
        "environment": environment() | {"threads": last.data["environment"]["threads"]},
        "population_checks": [
            {"name": c.name, "finding": c.finding, "outcome": c.outcome, "numbers": dict(c.numbers)}
            for c in prepared.checks
        ]
        + _findings(points),
    }
    arrays |= {
        "fit_rows": prepared.rows["fit"][rows],
        "holdout_rows": prepared.rows["holdout"],
        "holdout_labels": prepared.holdout.labels,
        "fit_loss": last.arrays["train.loss"],
        "row_groups": np.concatenate([prepared.pool_groups[: len(prepared.fit)][rows], prepared.pool_groups[-of:]]),
    }
    if prepared.holdout_groups is not None:
        arrays["holdout_groups"] = prepared.holdout_groups
    for name in last.data["populations"]:
        for part in ("loss", "prediction", "labels"):
            arrays[f"population.{name}.{part}"] = last.arrays[f"population.{name}.{part}"]
    return StageRecord("fit", VERSION, *_finer(prepared, rows, data, arrays))


def with_tuned(probe: StageRecord, tuned: StageRecord) -> StageRecord:
    """The probe's fit record with a tuned encoder (its assembled record) as the richer adapter of `class_gap`.

    Raises BadInput for records of different task, loss or holdout rows, and for a record without a floor.
    """
    problems = [
        Problem("tuned", f"the two records differ in {key}: {probe.data[key]} and {tuned.data[key]}")
        for key in ("task", "loss", "classes")
        if probe.data[key] != tuned.data[key]
    ]
    if "holdout_own_loss" not in probe.arrays:
        problems.append(Problem("probe", "expected the record of a linear probe", "only it has a certified minimum"))
    if not np.array_equal(probe.arrays["holdout_rows"], tuned.arrays["holdout_rows"]):
        problems.append(Problem("tuned", "the two records hold out different rows", fix="one task, one split_seed"))
    if problems:
        raise BadInput(problems)
    facts = {"method": tuned.data["method"], "rows": tuned.data["n_fit"], "landmarks": 0}
    facts["train_loss"] = tuned.data["curve"][-1]["train_loss"]
    arrays = {**probe.arrays, "rich_holdout_loss": tuned.arrays["curve_holdout_loss"][-1]}
    return StageRecord(probe.kind, probe.version, {**probe.data, "rich_head": facts}, arrays)


def _points(points: list[StageRecord]) -> tuple[dict[str, Any], Arrays]:
    last = points[-1]
    curve = [
        {
            "n": cell.data["n"],
            "seed": None if cell is last else cell.data["seed"],
            "train_loss": cell.data["train_loss"],
            "gap": None,
        }
        for cell in points
    ]
    tuning = [{key: cell.data[key] for key in ("n", "seed", "spec", "epoch", "steps", "seconds")} for cell in points]
    arrays: Arrays = {
        "curve_holdout_loss": np.stack([cell.arrays["holdout.loss"] for cell in points]),
        "curve_holdout_prediction": np.stack([cell.arrays["holdout.prediction"] for cell in points]).astype(np.int32),
    }
    return {"curve": curve, "tuning": tuning}, arrays


def _finer(
    prepared: Prepared, rows: np.ndarray[Any, Any], data: dict[str, Any], arrays: Arrays
) -> tuple[dict[str, Any], Arrays]:
    """Slices, groups, and the baseline that needs no fit: class shares."""
    frozen = replace(prepared, spec=replace(prepared.spec, method="mean-classifier"))
    facts, kept = finer_parts(frozen, None, 1)
    # the mean classifier on shuffled labels says nothing of a tuned encoder
    facts["controls"] = {name: value for name, value in facts["controls"].items() if name == "prior"}
    kept = {name: array for name, array in kept.items() if not name.startswith("control.shuffled_labels")}
    if "fit_groups" in kept:
        kept["fit_groups"] = kept["fit_groups"][rows]
    return data | facts, arrays | kept


def _findings(points: list[StageRecord]) -> list[dict[str, Any]]:
    """Fits that ended because a loss was no longer finite: they count with the weights of their best epoch."""
    found = []
    for cell in points:
        if cell.data["diverged"] is not None:
            where = f"{cell.data['n']:,} labels, seed {cell.data['seed']}"
            finding = (
                f"{where}: {cell.data['diverged']['reason']}; the weights of epoch {cell.data['epoch']} are scored"
            )
            numbers = {"n": cell.data["n"], "seed": cell.data["seed"], "step": cell.data["diverged"]["step"]}
            found.append({"name": "diverged", "finding": finding, "outcome": "rejected", "numbers": numbers})
    return found


def _check(prepared: Prepared, cells: Sequence[StageRecord]) -> None:
    if not cells:
        raise BadInput(Problem("cells", "expected tuned cells, got none"))
    problems = []
    for key in ONE_OF:
        values = sorted({str(cell.data[key]) for cell in cells})
        if len(values) > 1:
            problems.append(Problem("cells", f"expected cells of one {key}, got {', '.join(values)}"))
    if any(not np.array_equal(cell.arrays["holdout.labels"], prepared.holdout.labels) for cell in cells):
        problems.append(Problem("cells", "expected losses of every held-out row of the task, got those of other rows"))
    seeds: dict[int, set[int]] = {}
    for cell in cells:
        seeds.setdefault(cell.data["n"], set()).add(cell.data["seed"])
    if len({frozenset(found) for n, found in seeds.items() if n < max(seeds)}) > 1:
        problems.append(Problem("cells", "expected the same seeds at every label count below the largest", f"{seeds}"))
    if problems:
        raise BadInput(problems)
