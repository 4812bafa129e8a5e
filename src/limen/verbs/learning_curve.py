"""`limen.learning_curve`: train and held-out loss at every label count, by the fits of a budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from numpy.typing import ArrayLike

from limen.records.learning_curve import LearningCurve
from limen.records.task import Loss, Method
from limen.verbs.ask import Target
from limen.verbs.budget import budget


def learning_curve(
    X: ArrayLike | str | Path,
    y: ArrayLike | None = None,
    *,
    labels: Sequence[int | Literal["all"]] | int | Literal["all"] | None = None,
    seeds: int = 5,
    method: Method = "linear-probe",
    loss: Loss = "log",
    radius: float | Literal["auto"] = "auto",
    group: ArrayLike | str | None = None,
    label: str | None = None,
    target: Target = None,
    confidence: float = 0.95,
    threads: int | None = None,
) -> LearningCurve:
    """The learning curve of adapting on features X [n, d] with labels y [n], or on one .npz, .parquet or .csv file.

    Subset n of a seed is the first n of a random order of the fit rows (75 % of all), so subsets are nested; every
    point has the loss on its own rows and on the held-out ones (20 %), in nats (loss="log") or squared units.
    `labels` are totals, "all" always among them; `radius` bounds ‖W‖ of a probe, "auto" chooses it on rows that
    nothing else uses. The floor is that of a budget, the extrapolation its law (docs/how-sure.md).
    `.points`, `.floor`, `.extrapolation`; `.table()` is a list of rows, `.to_frame()` a pandas DataFrame.

    Labels of two classes that know nothing of the rows: no adapter loses less than ln 2.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> curve = learning_curve(rng.normal(size=(400, 2)), rng.integers(0, 2, 400), labels=[64, 128], seeds=2)
    >>> [(row["n"], row["seed"]) for row in curve.table()]
    [(64, 0), (64, 1), (128, 0), (128, 1), (300, None)]
    >>> bool(abs(curve.points[-1].adaptation_loss - np.log(2)) < 0.05)
    True

    Raises BadInput with every problem of the input found.
    """
    found = budget(
        X,
        y,
        labels=labels,
        seeds=seeds,
        method=method,
        loss=loss,
        radius=radius,
        group=group,
        label=label,
        target=target,
        confidence=confidence,
        threads=threads,
        rich_head=False,  # nothing of a curve reads it
    )
    return LearningCurve.of(found)
