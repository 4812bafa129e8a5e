"""What splits a fit cell's numbers further: a richer head, baselines without information, slices, groups.

Arrays of the record: `rich_holdout_loss` [m]; `control.NAME.loss`, `control.NAME.prediction` [m]; `slice.COLUMN` [m],
codes into `data["slices"][COLUMN]`; `fit_groups` and `population.NAME.groups` where rows come in groups.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from limen.adapt.controls import controls
from limen.adapt.curve import run_threads
from limen.adapt.prepare import Prepared
from limen.adapt.rich_head import rich_head

Arrays = dict[str, np.ndarray[Any, Any]]


def finer_parts(prepared: Prepared, radius: float | None, threads: int) -> tuple[dict[str, Any], Arrays]:
    """Entries of the fit record; the richer head only beside a probe and where the spec asks for it."""
    data, arrays = _slices(prepared)
    arrays |= _groups(prepared)

    def baselines() -> tuple[dict[str, Any], Arrays]:
        found = controls(prepared, radius)
        kept: Arrays = {}
        for name, control in found.items():
            kept[f"control.{name}.loss"] = control.loss
            kept[f"control.{name}.prediction"] = control.prediction.astype(np.int32)
        return {"controls": {name: {"rows": control.rows} for name, control in found.items()}}, kept

    def richer() -> tuple[dict[str, Any], Arrays]:
        assert radius is not None
        head = rich_head(prepared, radius)
        facts = {"radius": head.radius, "landmarks": head.landmarks, "rows": head.rows, "train_loss": head.train_loss}
        return {"rich_head": facts}, {"rich_holdout_loss": head.holdout_loss}

    work = [baselines, richer] if radius is not None and prepared.spec.rich_head else [baselines]
    for facts, kept in run_threads(lambda part: part(), work, threads):
        data |= facts
        arrays |= kept
    return data, arrays


def _slices(prepared: Prepared) -> tuple[dict[str, Any], Arrays]:
    names, arrays = {}, {}
    for column, values in prepared.holdout_slices.items():
        categories, codes = np.unique(np.array(values, dtype=str), return_inverse=True)
        names[column] = [str(category) for category in categories]
        arrays[f"slice.{column}"] = codes.astype(np.int32)
    return {"slices": names}, arrays


def _groups(prepared: Prepared) -> Arrays:
    arrays: Arrays = {f"population.{name}.groups": groups for name, groups in prepared.population_groups.items()}
    if prepared.fit_groups is not None:
        arrays["fit_groups"] = prepared.fit_groups
    return arrays
