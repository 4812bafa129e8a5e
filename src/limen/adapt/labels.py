"""Which label counts are fitted: the grid asked for, or a doubling one."""

from __future__ import annotations

from limen.records.errors import BadInput, Problem
from limen.records.task import FitSpec

MOST_COUNTS = 6


def label_counts(spec: FitSpec, classes: int, n_fit: int, where: str = "labels") -> tuple[int, ...]:
    """Totals below `n_fit`, ascending; "all" (= n_fit) is always fitted and comes last.

    Without a request: twice the classes (at least 32), doubled while at most ¾ of the fit rows, the last six kept.

    >>> label_counts(FitSpec(), classes=10, n_fit=1000)
    (32, 64, 128, 256, 512, 1000)

    Raises BadInput for counts that are not positive or exceed the fit rows.
    """
    if spec.labels is None:
        grid, n = [], max(2 * classes, 32)
        while n <= 0.75 * n_fit:
            grid.append(n)
            n *= 2
        return (*grid[-MOST_COUNTS:], n_fit)
    asked = {n for n in spec.labels if n != "all"}
    wrong = sorted(n for n in asked if not 2 <= n <= n_fit)
    if wrong:
        counts = ", ".join(f"{n:,}" for n in wrong)
        raise BadInput(
            Problem(
                where,
                f"expected label counts between 2 and the {n_fit:,} fit rows, got {counts}",
                cause="the fit part is 75 % of the file: 20 % are held out, 5 % are design",
                fix='lower them, or use "all"',
            )
        )
    return (*sorted(asked - {n_fit}), n_fit)
