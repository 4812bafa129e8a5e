"""Why a cell runs or does not run: the fields of its identity that differ from the nearest published cell.

Nearest = fewest differing fields among the results of the same stage and label, else of the same stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from limen.records.cell import Cell
from limen.store.failures import Failure
from limen.store.ledger import Row

_ABSENT = "(absent)"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of the identity that changed."""

    field: str
    stored: Any
    wanted: Any

    def __str__(self) -> str:
        return f"{self.field}: {self.stored!s} → {self.wanted!s}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The state of one cell and the reason for it."""

    key: str
    label: str
    state: Literal["published", "failed", "stale", "new"]
    nearest: str = ""
    """Key of the nearest published cell of a stale one."""
    differences: tuple[Difference, ...] = ()
    failure: Failure | None = None

    def __str__(self) -> str:
        head = f"{self.label} ({self.key[:12]}): {self.state}"
        if self.failure is not None:
            return f"{head} after {self.failure.attempts} attempt(s): {self.failure.reason}"
        if self.state == "stale":
            changed = "\n".join(f"  {difference}" for difference in self.differences)
            return f"{head}; differs from {self.nearest[:12]} in\n{changed}"
        return head


def explain(cell: Cell, rows: Sequence[Row], failures: Sequence[Failure], published: bool) -> Explanation:
    """Compare a cell with what is stored.

    >>> cell = Cell("fit", "a · b", {"radius": 2.0, "data": {"train": "77"}}, {})
    >>> stored = Row("0" * 64, "fit", "a · b", 1, 1.0, 1, {"radius": 1.0, "data": {"train": "77"}}, {}, {})
    >>> explain(cell, [stored], [], published=False).differences
    (Difference(field='radius', stored=1.0, wanted=2.0),)
    """
    if published:
        return Explanation(cell.key, cell.label, "published")
    for failure in failures:
        if failure.key == cell.key:
            return Explanation(cell.key, cell.label, "failed", failure=failure)
    peers = [row for row in rows if row.stage == cell.stage and row.key != cell.key]
    namesakes = [row for row in peers if row.label == cell.label] or peers
    if not namesakes:
        return Explanation(cell.key, cell.label, "new")
    compared = [(_differences(row.identity, cell.identity), row.key) for row in namesakes]
    differences, nearest = min(compared, key=lambda pair: (len(pair[0]), pair[1]))
    return Explanation(cell.key, cell.label, "stale", nearest, differences)


def _differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[Difference, ...]:
    old, new = _fields("", stored), _fields("", wanted)
    pairs = [(name, old.get(name, _ABSENT), new.get(name, _ABSENT)) for name in sorted(old.keys() | new.keys())]
    return tuple(Difference(name, a, b) for name, a, b in pairs if a != b)


def _fields(prefix: str, value: Any) -> dict[str, Any]:
    """Dotted path → leaf; lists are leaves, because their members have no names."""
    if not isinstance(value, Mapping):
        return {prefix: list(value) if isinstance(value, tuple) else value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _fields(f"{prefix}.{key}" if prefix else str(key), inner)
    return found
