"""One fit cell: everything that is fitted for one (encoder, task, method, loss), at all label counts and seeds.

The record holds per-example losses, predictions and certificates; the budget is a pure function of it
(`limen.verdict.conclude`). Nothing here looks at confidence or targets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from limen.adapt.closed_forms import closed_forms
from limen.adapt.curve import Adapted, Point, fit_curve, side_by_side
from limen.adapt.finer import finer_parts
from limen.adapt.floor_fits import FOLDS, floor_path, holdout_minimum, jackknife_curve, midpoints
from limen.adapt.labels import label_counts
from limen.adapt.log_ball import Steering
from limen.adapt.losses import dual_per_example, loss_range, per_example_loss, predictions
from limen.adapt.prepare import Prepared, prepare
from limen.adapt.radius import choose_radius
from limen.arrays.environment import environment
from limen.records.stage import StageRecord
from limen.records.task import FitSpec, Task

VERSION = 6

Arrays = dict[str, np.ndarray[Any, Any]]


def fit_task(task: Task, spec: FitSpec, threads: int = 1) -> StageRecord:
    """Split, choose the radius on design, fit the grid, bracket the floor: one record of kind "fit".

    `threads` fits run side by side, each with one BLAS thread; the numbers do not depend on it.
    Raises BadInput for a task or label counts that cannot be fitted.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        prepared = prepare(task, spec)
        counts = label_counts(spec, prepared.classes, len(prepared.fit))
        source = None if task.train.source is None else task.train.source[prepared.rows["fit"]]
        (radius, note), closed = side_by_side(
            lambda: _radius(prepared, spec),
            lambda: closed_forms(prepared, counts, threads, source),
            threads=threads,
        )
        checks = (*prepared.checks, *note)

        def grid() -> tuple[dict[str, Any], Arrays]:
            points, final, steering = fit_curve(prepared, radius, counts, threads)
            data, arrays = _common(task, prepared, points, final)
            if radius is not None:
                _probe_parts(prepared, (points, final, steering), threads, data, arrays)
            return data, arrays

        parts = side_by_side(grid, lambda: finer_parts(prepared, radius, threads), threads=threads)
    data: dict[str, Any] = {}
    arrays: Arrays = {}
    for facts, kept in (*parts, closed):
        data |= facts
        arrays |= kept
    data |= {
        "radius": radius,
        "environment": environment() | {"threads": 1},
        "population_checks": [
            {"name": c.name, "finding": c.finding, "outcome": c.outcome, "numbers": dict(c.numbers)} for c in checks
        ],
    }
    return StageRecord("fit", VERSION, data, arrays)


def _radius(prepared: Prepared, spec: FitSpec) -> tuple[float | None, tuple[Any, ...]]:
    if spec.method != "linear-probe":
        return None, ()
    if spec.radius == "auto":
        radius, note = choose_radius(prepared.design, spec.split_seed)
        return radius, (note,)
    if isinstance(spec.radius, tuple):
        raise ValueError(f"one fit has one radius, got {spec.radius}; make one FitSpec per radius")
    return float(spec.radius), ()


def _common(task: Task, prepared: Prepared, points: tuple[Point, ...], final: Adapted) -> tuple[dict[str, Any], Arrays]:
    spec, last = prepared.spec, points[-1]
    fit_scores = final.scores(prepared.fit.features)
    data: dict[str, Any] = {
        "encoder": task.encoder,
        "task": task.name,
        "method": spec.method,
        "loss": spec.loss,
        "subsets": spec.subsets,
        "classes": prepared.classes,
        "class_names": list(task.train.classes),
        "n_fit": len(prepared.fit),
        "n_holdout": len(prepared.holdout),
        "n_design": len(prepared.design),
        "dimension": int(prepared.fit.features.shape[1]),
        "norm_bound": prepared.phi.norm_bound,
        "same_population": task.same_population,
        "curve": [
            {"n": p.n, "seed": p.seed, "train_loss": p.train_loss, "gap": p.fit.gap if p.fit else None} for p in points
        ],
        "populations": list(prepared.populations),
    }
    arrays: Arrays = {
        "fit_rows": prepared.rows["fit"],
        "holdout_rows": prepared.rows["holdout"],
        "holdout_labels": prepared.holdout.labels,
        "curve_holdout_loss": np.stack([p.holdout_loss for p in points]),
        "curve_holdout_prediction": np.stack([p.holdout_prediction for p in points]).astype(np.int32),
        "fit_loss": per_example_loss(fit_scores, prepared.fit.labels, spec.loss),
        "row_groups": prepared.pool_groups,
    }
    if prepared.holdout_groups is not None:
        arrays["holdout_groups"] = prepared.holdout_groups
    if last.fit is not None:
        arrays["weights"] = last.fit.weights
        arrays["fit_dual"] = dual_per_example(fit_scores, spec.loss, prepared.fit.labels)
    for name, rows in prepared.populations.items():
        scores = final.scores(rows.features)
        arrays[f"population.{name}.loss"] = per_example_loss(scores, rows.labels, spec.loss)
        arrays[f"population.{name}.prediction"] = predictions(scores).astype(np.int32)
        arrays[f"population.{name}.labels"] = rows.labels
    return data, arrays


def _bracket(prepared: Prepared, last: Point, final: Adapted, threads: int) -> tuple[Any, Any, Any]:
    """What the floor is read from: midpoints, path of radii, minimum on the holdout."""
    assert last.fit is not None
    both = midpoints(prepared, last.fit, final.steering, threads)
    whole = both[0]
    path = floor_path(prepared, whole.fit, last, threads)
    return both, path, holdout_minimum(prepared, whole.fit)


def _probe_parts(
    prepared: Prepared,
    curve: tuple[tuple[Point, ...], Adapted, tuple[Steering | None, ...]],
    threads: int,
    data: dict[str, Any],
    arrays: Arrays,
) -> None:
    points, final, steering = curve
    last = points[-1]
    assert last.fit is not None
    chain = [p for p in points if p.seed == 0] + [last]
    bracket, deleted = side_by_side(
        lambda: _bracket(prepared, last, final, threads),
        lambda: jackknife_curve(prepared, chain, steering, threads),
        threads=threads,
    )
    (whole, half, half_rows), path, (own, own_loss) = bracket
    data |= {
        "loss_range": loss_range(prepared.spec.loss, prepared.classes, last.fit.radius, prepared.phi.norm_bound),
        "final": {"loss": last.fit.loss, "gap": last.fit.gap, "gradient_norm": last.fit.gradient_norm},
        "pool": {"n": len(whole.train_loss), "minimum": whole.fit.minimum, "gap": whole.fit.gap, "folds": FOLDS},
        "half": {"n": len(half.train_loss), "minimum": half.fit.minimum, "gap": half.fit.gap},
        "holdout_minimum": own.minimum,
        "path": [{"radius": p.radius, "minimum": p.minimum} for p in path],
        "jackknife": {"n": [p.n for p in chain], "seeds": [p.seed for p in chain]},
    }
    arrays |= {
        "pool_train_loss": whole.train_loss,
        "pool_cross_validated_loss": whole.cross_validated_loss,
        "half_rows": half_rows,
        "half_train_loss": half.train_loss,
        "half_cross_validated_loss": half.cross_validated_loss,
        "holdout_own_loss": own_loss,
        "path_holdout_loss": np.stack([p.holdout_loss for p in path]),
    }
    if deleted is not None:
        arrays |= {
            "jackknife_n": deleted.n,
            "jackknife_train": deleted.train,
            "jackknife_holdout": deleted.holdout,
            "jackknife_error": deleted.error,
        }
