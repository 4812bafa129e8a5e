"""What `limen verify` computes anew of a fit: from stored features, the labels of the data file and stored weights.

rows         the split into fit and holdout rows, and their labels
fit          ℓ(z_i, y_i) of every fit row; for a probe L̂, ‖∇L̂‖, the certificate's gap at the stored W, and ‖W‖ ≤ B
holdout      ℓ and prediction of the final adapter on every holdout row and every row of the scored populations

Numbers agree when |stored − anew| ≤ 1e-9·(1 + scale); a prediction agrees when its score is the largest up to that.
tuned        for encoders whose weights moved: that the fit is what the results of its cells give

Not computed anew: the training of tuned encoders, the smaller fits of the curve, the floor's path, cross-validation and
the jackknife; what a budget says of them follows from their stored losses, whose bytes are hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from limen.adapt.ball import Rows, certify
from limen.adapt.curve import TOLERANCE as FITTED
from limen.adapt.curve import adapt
from limen.adapt.losses import per_example_loss
from limen.adapt.prepare import Prepared, prepare
from limen.records.cell import Cell
from limen.records.errors import BadInput, Problem
from limen.records.stage import StageRecord
from limen.study.rows import task_of
from limen.study.stages import fit_spec
from limen.study.tuning import TUNED, assembled

TOLERANCE = 1e-9
Array = NDArray[Any]


def differences(cell: Cell, load: Callable[[str], StageRecord]) -> list[Problem]:
    """Every stored number of a fit cell that is not what its features, labels and weights give. Empty: it is true.

    `load` gives the record of a key. Bad input (data that is gone or changed) is a problem too, not an error.
    """
    stored = load(cell.key)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            inputs = {name: load(key) for name, key in cell.needs.items()}
            if any(name.startswith(TUNED) for name in inputs):
                found = list(_assembled_otherwise(assembled(cell.spec, inputs), stored))
            else:
                prepared = prepare(task_of(cell.spec, inputs), fit_spec(cell.spec["how"]))
                found = list(_different(prepared, stored))
    except BadInput as error:
        return list(error.problems)
    fix = "keep a copy, then delete this result and run the study again"
    return [Problem(cell.label, what, "it was computed by another version, or changed and hashed again", fix)
            for what in found]  # fmt: skip


def _assembled_otherwise(anew: StageRecord, stored: StageRecord) -> Iterator[str]:
    """What is not as the tuned cells of a fit give it; their training is not done again."""
    names = sorted(set(anew.arrays) | set(stored.arrays))
    other = [name for name in names if not _same(anew.arrays.get(name), stored.arrays.get(name))]
    if other:
        yield f"{', '.join(other)}: not what the tuned encoders' own results give"
    if anew.data["curve"] != stored.data["curve"]:
        yield "curve: not what the tuned encoders' own results give"


def _same(one: Array | None, two: Array | None) -> bool:
    return one is not None and two is not None and bool(np.array_equal(one, two))


def _different(prepared: Prepared, stored: StageRecord) -> Iterator[str]:
    arrays, data = stored.arrays, stored.data
    rows = {"fit_rows": prepared.rows["fit"], "holdout_rows": prepared.rows["holdout"]}
    rows["holdout_labels"] = prepared.holdout.labels
    other = [name for name, values in rows.items() if not np.array_equal(values, arrays[name])]
    if other:
        yield f"{', '.join(other)}: the rows are split otherwise than stored"
        return
    weights = arrays.get("weights")
    if weights is None:
        scores = adapt(prepared.fit, prepared.spec, None, FITTED).scores
    else:
        scores = _linear(weights)
        yield from _certificate(prepared.fit, weights, data)
    yield from _losses("fit", scores(prepared.fit.features), prepared.fit, arrays["fit_loss"])
    held = scores(prepared.holdout.features)
    yield from _losses("holdout", held, prepared.holdout, arrays["curve_holdout_loss"][-1])
    yield from _predicted("holdout", held, arrays["curve_holdout_prediction"][-1])
    for name, population in prepared.populations.items():
        there = scores(population.features)
        yield from _losses(name, there, population, arrays[f"population.{name}.loss"])
        yield from _predicted(name, there, arrays[f"population.{name}.prediction"])


def _linear(weights: Array) -> Callable[[Array], Array]:
    return lambda x: np.asarray(x @ weights)


def _certificate(rows: Rows, weights: Array, data: Mapping[str, Any]) -> Iterator[str]:
    radius = float(data["radius"])
    anew = certify(rows, weights, radius)
    scale = radius * anew.gradient_norm  # the gap is the difference of two terms of this size
    for name in ("loss", "gap", "gradient_norm"):
        was, now = float(data["final"][name]), float(getattr(anew, name))
        if not abs(was - now) <= TOLERANCE * (1 + abs(now) + scale):
            yield f"{name} of the final probe: {was:.10g} is stored, {now:.10g} follows from its weights"
    size = float(np.linalg.norm(weights))
    if not size <= radius * (1 + TOLERANCE):
        yield f"the stored weights have norm {size:.10g}, expected at most the radius {radius:.10g}"


def _losses(part: str, scores: Array, rows: Rows, stored: Array) -> Iterator[str]:
    anew = per_example_loss(scores, rows.labels, rows.loss)
    if anew.shape != stored.shape:
        yield f"losses of the {part} rows: {len(stored):,} are stored, expected {len(anew):,}"
        return
    wrong = ~(np.abs(anew - stored) <= TOLERANCE * (1 + np.abs(scores).max(axis=1)))
    if wrong.any():
        row = int(wrong.argmax())
        yield (
            f"losses of {int(wrong.sum()):,} {part} rows differ: at position {row}, {float(stored[row]):.10g} is "
            f"stored, {float(anew[row]):.10g} computed anew"
        )


def _predicted(part: str, scores: Array, stored: Array) -> Iterator[str]:
    chosen = scores[np.arange(len(scores)), stored]
    best = scores.max(axis=1)
    wrong = int((~(chosen >= best - TOLERANCE * (1 + np.abs(best)))).sum())
    if wrong:
        yield f"predictions of {wrong:,} {part} rows are not the label with the largest score"
