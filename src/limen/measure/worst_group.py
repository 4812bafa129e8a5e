"""The worst group of rows, with intervals that hold for all G groups at once.

Each group's mean has an interval at confidence 1 − (1 − c)/G (Bonferroni). If all hold, the largest true mean lies in
[max_g low_g, max_g high_g]. The largest *observed* mean is too large on average (E max ≥ max E): a name, no unbiased
estimate. Errors of independent rows: Clopper-Pearson, certified. Losses, and rows in units: t, statistical.

Source: Sagawa et al. 2020 (arXiv:1911.08731) for the quantity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limen.measure.risk import error_estimate, loss_estimate
from limen.records.budget import Slice
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.robustness import WorstGroup

REFERENCE = "Sagawa et al. 2020"


def worst_group(
    values: NDArray[Any],
    groups: ArrayLike,
    units: NDArray[np.int64] | None = None,
    confidence: float = 0.95,
) -> WorstGroup:
    """From one value a row: bool = wrong or not, else losses; the group of each row; units of rows where there are any.

    >>> found = worst_group(np.array([True, False] * 50 + [False] * 100), ["a"] * 100 + ["b"] * 100)
    >>> found.named, found.worst.value, found.candidates, found.worst.grade
    ('a', 0.5, ('a',), 'certified')

    Raises BadInput for groups or units of another length, or values that are not finite.
    """
    named = np.asarray(groups).astype(str)
    problems = [
        Problem(name, f"expected one for each of {len(values)} rows, got shape {array.shape}")
        for name, array in (("groups", named), ("units", units))
        if array is not None and array.shape != values.shape
    ]
    if not np.isfinite(values).all() or values.size == 0:
        problems.append(Problem("values", f"expected finite numbers, got {int((~np.isfinite(values)).sum())} others"))
    if problems:
        raise BadInput(problems)
    names = np.unique(named)
    each = 1 - (1 - confidence) / len(names)
    found = {}
    for name in names:
        at = named == name
        rows, own = values[at], None if units is None else units[at]
        measured = error_estimate(rows, own, each) if rows.dtype == np.bool_ else loss_estimate(rows, own, each)
        found[str(name)] = measured
    return _worst(found, confidence)


def worst_slice(slices: Mapping[str, Slice], quantity: str = "error") -> WorstGroup:
    """The same from a budget's slices of one column, whose intervals hold jointly: `error` or `adaptation_loss`.

    Raises BadInput for an empty column or another quantity.
    """
    if not slices or quantity not in ("error", "adaptation_loss"):
        what = f"expected a column with rows, and error or adaptation_loss, got {len(slices)} values and {quantity!r}"
        raise BadInput(Problem("slices", what))
    found: dict[str, Estimate] = {name: getattr(part, quantity) for name, part in slices.items()}
    return _worst(found, 1 - sum(1 - e.confidence for e in found.values() if e.confidence is not None))


def _worst(groups: Mapping[str, Estimate], confidence: float) -> WorstGroup:
    values = {name: e.value for name, e in groups.items() if e.value is not None}
    if not values:
        return WorstGroup(groups, not_identified("no group has a mean", reference=REFERENCE), "", tuple(groups))
    named = max(values, key=lambda name: values[name])
    bare = [name for name, e in groups.items() if not e.two_sided]
    common: dict[str, Any] = {"n": len(groups), "method": "largest of the groups, simultaneous intervals"}
    if bare:
        why = (f"{len(bare)} groups have too few rows for an interval (first: {bare[0]})",)
        worst = Estimate(values[named], grade="point", assumptions=why, reference=REFERENCE, **common)
        return WorstGroup(groups, worst, named, tuple(groups))
    low = max(e.low for e in groups.values() if e.low is not None)
    high = max(e.high for e in groups.values() if e.high is not None)
    certified = all(e.grade == "certified" for e in groups.values())
    worst = Estimate(
        values[named],
        low,
        high,
        confidence,
        "certified" if certified else "statistical",
        assumptions=(f"{len(groups)} groups hold together", "the value is the largest observed: high on average"),
        reference=REFERENCE,
        **common,
    )
    may = tuple(name for name, e in groups.items() if e.high is not None and e.high >= low)
    return WorstGroup(groups, worst, named, may)
