"""The learning curve of a fit cell: its points, and the law fitted to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from limen.measure.curve_data import CurveData
from limen.measure.learning_curve import extrapolate
from limen.records.budget import CurvePoint, Extrapolation
from limen.records.stage import StageRecord
from limen.records.task import Question


def curve_points(fit: StageRecord) -> tuple[CurvePoint, ...]:
    """Every fitted model with its losses and holdout error."""
    wrong = fit.arrays["curve_holdout_prediction"] != fit.arrays["holdout_labels"]
    held = fit.arrays["curve_holdout_loss"]
    return tuple(
        CurvePoint(
            n=point["n"],
            seed=point["seed"],
            empirical_loss=point["train_loss"],
            adaptation_loss=float(held[i].mean()),
            error=float(wrong[i].mean()),
            radius=fit.data["radius"],
        )
        for i, point in enumerate(fit.data["curve"])
    )


def extrapolation(fit: StageRecord, question: Question) -> Extrapolation:
    """The two-sided law with jackknife intervals; for an error target the law of the error, which has no train side."""
    if question.target_error is None:
        return extrapolate(_data(fit, fit.arrays["curve_holdout_loss"]), question)
    wrong = fit.arrays["curve_holdout_prediction"] != fit.arrays["holdout_labels"]
    data = _data(fit, wrong.astype(np.float64), of_error=True)
    found = extrapolate(data, Question(question.confidence, target_loss=question.target_error))
    needed = found.labels_needed
    if needed.value is None:
        needed = needed.but(reason=f"{needed.reason}. The law of the error has the held-out side only")
    return replace(found, labels_needed=needed, law={**found.law, "error": 1.0} if found.law else {})


def _data(fit: StageRecord, rows: np.ndarray, of_error: bool = False) -> CurveData:
    points, refitted = fit.data["curve"], "jackknife_n" in fit.arrays
    counts = np.array([p["n"] for p in points])
    train = np.array([p["train_loss"] for p in points])
    n = np.unique(counts)
    seeds = sorted({p["seed"] for p in points if p["seed"] is not None})
    smaller = [k for k in n if k < n[-1]]
    by_seed = None
    if len(seeds) > 1 and len(smaller) > 1:
        means = rows.mean(axis=1)
        last = float(means[-1])
        table = [[*(float(means[_at(points, k, s)]) for k in smaller), last] for s in seeds]
        by_seed = np.array(table)
    return CurveData(
        n=n.astype(np.int64),
        holdout=np.stack([rows[counts == k].mean(axis=0) for k in n]),
        train=np.array([train[counts == k].mean() for k in n]) if refitted and not of_error else None,
        groups=fit.arrays.get("holdout_groups"),
        by_seed=by_seed,
        deleted_test=np.asarray(fit.arrays[f"jackknife_{'error' if of_error else 'holdout'}"]) if refitted else None,
        deleted_train=np.asarray(fit.arrays["jackknife_train"]) if refitted and not of_error else None,
        deleted_n=np.asarray(fit.arrays["jackknife_n"]) if refitted else None,
        dimension=fit.data["dimension"],
    )


def _at(points: list[dict[str, int]], n: int, seed: int) -> int:
    return next(i for i, p in enumerate(points) if p["n"] == n and p["seed"] == seed)
