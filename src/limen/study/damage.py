"""Results whose bytes are not those that were published: a run does them again, a report leaves them out and says so.

A flipped bit changes no size and no name, so only hashing finds it. Hashed is what is about to be used: what the
report reads (fits and pretraining runs), and what cells that have yet to run need. `limen verify` hashes everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from limen.records.report import CellOutcome
from limen.store import Store
from limen.study.plan import Plan


def set_aside_damaged(store: Store, plan: Plan) -> tuple[str, ...]:
    """Move every damaged result that is about to be used to quarantine, and return their keys: their cells run again.

    Needs `with store.coordinate():` around it. Raises StoreError where a newer Limen wrote a result.
    """
    published, seen, aside = store.published(), set[str](), []
    waiting = [*read_by_report(plan), *(key for key in plan.cells if not store.has(key))]
    while waiting:
        key = waiting.pop()
        if key in seen:
            continue
        seen.add(key)
        if key in published and not store.verify(key):
            continue
        if key in published:
            aside.append(key)
        waiting.extend(plan.cells[key].needs.values())
    return tuple(sorted(aside))


def damaged(store: Store, keys: Iterable[str], again: bool) -> dict[str, str]:
    """Key → what is wrong with it, of those published results that are not sound; changes nothing.

    With `again` everything is hashed anew, else what this process has not hashed yet.
    """
    published = store.published()
    found = {key: store.writer.problems(key, again=again) for key in keys if key in published}
    return {
        key: f"its stored result is damaged: {Path(problems[0].where).name}: {problems[0].what}"
        for key, problems in found.items()
        if problems
    }


def read_by_report(plan: Plan) -> tuple[str, ...]:
    """Keys of the cells whose records a report is made from."""
    return tuple(dict.fromkeys((*(fit.key for fit in plan.fits), *plan.pretrained.values())))


def with_damage(outcomes: Iterable[CellOutcome], broken: dict[str, str], fix: str) -> tuple[CellOutcome, ...]:
    """The outcomes with every damaged cell as `failed`, why, and what to do."""
    return tuple(
        CellOutcome(cell.key, cell.stage, cell.label, "failed", cell.seconds, f"{broken[cell.key]}\n  fix:   {fix}")
        if cell.key in broken
        else cell
        for cell in outcomes
    )
