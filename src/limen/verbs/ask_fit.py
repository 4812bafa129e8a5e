"""How a budget is to be fitted, from the arguments of a call: every value that is out of range named at once."""

from __future__ import annotations

import math
import numbers
import os
from typing import Any, Literal, get_args

from limen.records.errors import BadInput, Problem
from limen.records.task import FitSpec, Loss, Method

Counts = tuple[int | Literal["all"], ...] | None


def fit_of(method: Any, loss: Any, labels: Any, seeds: Any, radius: Any, rich_head: bool) -> FitSpec:
    """The specification of a fit.

    >>> fit_of("knn", "log", [100, "all"], 2, "auto", False).labels
    (100, 'all')

    Raises BadInput naming every argument out of range.
    """
    problems: list[Problem] = []
    for name, value, allowed in (("method", method, get_args(Method)), ("loss", loss, get_args(Loss))):
        if value not in allowed:
            problems.append(Problem(name, f"expected one of {', '.join(allowed)}, got {value!r}"))
    counts = _counts(labels, problems)
    if not _whole(seeds) or seeds < 1:
        problems.append(Problem("seeds", f"expected a whole number of at least 1, got {seeds!r}"))
    if radius != "auto" and not (_real(radius) and 0 < radius < math.inf):
        what = f'expected "auto" or a number above 0, got {radius!r}'
        problems.append(Problem("radius", what, fix="leave it out: auto chooses one on rows that nothing else uses"))
    if problems:
        raise BadInput(problems)
    size: float | Literal["auto"] = "auto" if radius == "auto" else float(radius)
    return FitSpec(method=method, loss=loss, labels=counts, seeds=int(seeds), radius=size, rich_head=rich_head)


def threads_of(threads: Any) -> int:
    """Fits side by side: as asked, or the processors this process may run on. Raises BadInput for less than 1."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not _whole(threads) or threads < 1:
        raise BadInput(Problem("threads", f"expected a whole number of at least 1, got {threads!r}"))
    return int(threads)


def _counts(labels: Any, problems: list[Problem]) -> Counts:
    """Label counts as given; a single one is a list of one."""
    if labels is None:
        return None
    found = (
        (labels,) if isinstance(labels, str) or _whole(labels) else tuple(labels) if _iterable(labels) else (labels,)
    )
    wrong = [n for n in found if not (isinstance(n, str) and n == "all") and not _whole(n)]
    if wrong:
        what = f'expected whole numbers or "all", got {wrong[0]!r}'
        problems.append(Problem("labels", what, fix='labels=[100, 1000, "all"]'))
        return None
    return tuple("all" if isinstance(n, str) else int(n) for n in found)


def _whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _iterable(value: Any) -> bool:
    return hasattr(value, "__iter__")
