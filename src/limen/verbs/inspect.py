"""`limen status`, `explain`, `verify`, `gc`: what is there, why a cell is stale, whether it is still true."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limen.records.cell import Cell
from limen.records.errors import BadInput, Problem
from limen.store.explain import Explanation
from limen.study.run import Opened, Options, open_study
from limen.verbs.speak import plain

Study = str | Path
SHOWN = 12
"""Labels of results that a person is shown before they are deleted."""


@dataclass(frozen=True, slots=True)
class Status:
    """Cells of the study by stage and state, and who holds the store."""

    study: str
    stages: dict[str, dict[str, int]]
    """Stage → {published, failed, waiting}."""
    failed: tuple[Explanation, ...]
    holder: str
    other: int
    """Published cells of the store that this study does not name."""
    versions: dict[str, int]
    """Library versions → published cells computed with them."""
    store: str = ""
    """Folder of the results; it may not be there yet."""

    def text(self) -> str:
        """The status for a terminal."""
        return _status_text(self)

    def to_json(self) -> dict[str, Any]:
        """The document of schema limen.status/1."""
        failed = [
            {"key": e.key, "label": e.label, "reason": e.failure.reason if e.failure else ""} for e in self.failed
        ]
        return {
            "schema": "limen.status/1",
            "study": self.study,
            "stages": self.stages,
            "failed": failed,
            "store": self.store,
            "holder": self.holder,
            "other": self.other,
            "versions": self.versions,
        }


@dataclass(frozen=True, slots=True)
class Garbage:
    """What of a store a study does not name, and whether it was deleted."""

    results: int
    bytes: int
    """Of these results and of what is in quarantine."""
    kept: int
    """Results that the study names."""
    deleted: bool
    labels: tuple[str, ...] = ()

    def text(self) -> str:
        """What was or would be deleted, for a terminal."""
        counted = f"{self.results:,} result{'s' * (self.results != 1)}"
        if self.deleted:
            return f"{counted} deleted, {self.bytes:,} bytes freed, {self.kept:,} kept"
        lines = [f"{counted} of {self.bytes:,} bytes would be deleted, {self.kept:,} kept; nothing was deleted"]
        lines += [f"  {label}" for label in self.labels[:SHOWN]]
        lines += [f"  … and {len(self.labels) - SHOWN:,} more"] * (len(self.labels) > SHOWN)
        if self.results:
            lines.append("they may be another study's, if it uses the same store: --yes deletes them")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The document of schema limen.gc/1."""
        counts = {"results": self.results, "bytes": self.bytes, "kept": self.kept, "deleted": self.deleted}
        return {"schema": "limen.gc/1", **counts, "labels": list(self.labels)}


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at again, and what is not as it was."""

    results: int
    """Published results of the study whose bytes were hashed."""
    budgets: int
    """Budgets that were derived again; 0 where a result is damaged or a file changed."""
    problems: tuple[Problem, ...]
    files: int = 0
    """Data and weights whose content was hashed."""
    fits: int = 0
    """Fits that were computed anew; 0 where a result is damaged or a file changed."""

    def text(self) -> str:
        """One line for a person; the problems are not in it."""
        if self.problems:
            n = len(self.problems)
            return f"{n} problem{'s' * (n > 1)} in {self.results} results: what is damaged was set aside, run again"
        return (
            f"{self.results} results and {self.files} data files have the bytes they had,\n"
            f"{self.fits} fits give the same losses when computed anew, {self.budgets} budgets add up"
        )

    def to_json(self) -> dict[str, Any]:
        """The document of schema limen.verify/1."""
        problems = [plain(problem) for problem in self.problems]
        counts = {"results": self.results, "files": self.files, "fits": self.fits, "budgets": self.budgets}
        return {"schema": "limen.verify/1", **counts, "problems": problems}


def _status_text(found: Status) -> str:
    lines = [found.study]
    for stage, counts in found.stages.items():
        lines.append(f"  {stage:<9} " + ", ".join(f"{n} {state}" for state, n in counts.items() if n))
    lines += [f"  failed: {e.label}: {e.failure.reason if e.failure else ''}" for e in found.failed]
    if len(found.versions) > 1:
        lines.append("  computed with " + "; ".join(f"{v} ({n} cells)" for v, n in found.versions.items()))
    if found.other:
        lines.append(f"  {found.other} more results in the store are not this study's (limen gc)")
    place = found.store if Path(found.store).is_dir() else f"{found.store} (not there yet)"
    lines.append(f"  store     {place}, " + (f"held by {found.holder}" if found.holder else "held by no run"))
    return "\n".join(lines)


def status(study: Study, *, store: Study | None = None, data: Study | None = None) -> Status:
    """What is published, failed and waiting. Raises BadInput for a study that is not sound."""
    opened = _open(study, store, data)
    stages: dict[str, dict[str, int]] = {}
    failed = []
    known = {failure.key: failure for failure in opened.store.failures()}
    for cell in opened.plan.cells.values():
        counts = stages.setdefault(cell.stage, {"published": 0, "failed": 0, "waiting": 0})
        if opened.store.has(cell.key):
            counts["published"] += 1
        elif cell.key in known:
            counts["failed"] += 1
            failed.append(Explanation(cell.key, cell.label, "failed", failure=known[cell.key]))
        else:
            counts["waiting"] += 1
    versions: dict[str, int] = {}
    rows = opened.store.rows()
    for row in rows:
        libraries = row.environment.get("versions", {})
        named = ", ".join(f"{k} {v}" for k, v in sorted(libraries.items()) if k in ("limen", "numpy", "torch"))
        versions[named] = versions.get(named, 0) + 1
    holder = opened.store.holder()
    other = sum(row.key not in opened.plan.cells for row in rows)
    return Status(opened.study.name, stages, tuple(failed), str(holder) if holder else "", other, versions,
                  str(opened.store.root))  # fmt: skip


def explain(study: Study, cell: str, *, store: Study | None = None, data: Study | None = None) -> Explanation:
    """Why one cell, named by its label or the head of its key, is published, failed, stale or new.

    Raises BadInput for a study that is not sound, or a name that no cell or several have.
    """
    opened = _open(study, store, data)
    return opened.store.explain(_find(opened, cell))


def verify(study: Study, *, store: Study | None = None, data: Study | None = None) -> Verification:
    """Whether what is published of the study is still true.

    Data and weights are hashed from their content, whatever was remembered of them; so is every published result. Every
    published fit is computed anew as far as `limen.verbs.recompute` says, within 1e-9. Every budget is derived
    again from its fit, and its terms must add up within 1e-9.

    A damaged result is moved to quarantine, so that the next run does its cell again.
    Raises BadInput where nothing of the study is published, StoreError while a run holds the store.
    """
    opened = _open(study, store, data)
    keys = [key for key in opened.plan.cells if key in opened.store.published()]
    if not keys:
        what = f"nothing of this study is published (0 of {len(opened.plan.cells)} cells): there is nothing to verify"
        cause = "it never ran, or its data or study file changed since (limen explain says which)"
        raise BadInput(Problem(str(opened.store.root), what, cause, f"limen run {study}, or name its --store"))
    with opened.store.coordinate():
        problems = [problem for key in keys for problem in opened.store.verify(key)]
    files, changed = _hashed_anew(opened)
    if problems or changed:
        return Verification(len(keys), 0, (*problems, *changed), files)
    fits, untrue = _computed_anew(opened, keys)
    budgets, wrong = _rederived(opened)
    return Verification(len(keys), budgets, (*untrue, *wrong), files, fits)


def _hashed_anew(opened: Opened) -> tuple[int, list[Problem]]:
    """How many files the study reads, and those whose content is not what their remembered hash says."""
    from limen.data.fingerprint import content_hash, folder_hash

    known = {path: sha for cell in opened.plan.cells.values() for path, sha in cell.spec.get("files", {}).items()}
    problems: list[Problem] = []
    for path, sha in sorted(known.items()):
        found = folder_hash if Path(path).is_dir() else content_hash
        try:
            same = found(path, remembered=False) == sha
        except BadInput as error:
            problems += error.problems
            continue
        if not same:
            what = "its content changed, but its size and time did not: results of what it held before are published"
            problems.append(Problem(path, what, "a file written in place", "touch it, then limen run the study again"))
    return len(known), problems


def _computed_anew(opened: Opened, keys: list[str]) -> tuple[int, list[Problem]]:
    """How many fits were computed anew (their features are published), and what is not as stored."""
    from limen.verbs.recompute import differences

    cells = [opened.plan.cells[key] for key in keys]
    fits = [c for c in cells if c.stage == "fit" and all(opened.store.has(need) for need in c.needs.values())]
    return len(fits), [problem for cell in fits for problem in differences(cell, opened.store.load)]


def _rederived(opened: Opened) -> tuple[int, list[Problem]]:
    """How many budgets there are, and those whose numbers, as they would be written, do not add up."""
    from limen.measure.budget import identity_residual
    from limen.study.run import report_of

    problems = []
    budgets = report_of(opened).budgets
    for budget in budgets:
        minimum = budget.sides.empirical_minimum if budget.sides else None
        residual = identity_residual(budget.to_json()["terms"], minimum)
        if residual is not None and residual > 1e-9:
            where = f"{budget.encoder} · {budget.task} · {budget.method}"
            problems.append(Problem(where, f"its terms do not add up: residual {residual:.2g}, expected below 1e-9"))
    return len(budgets), problems


def gc(study: Study, *, store: Study | None = None, data: Study | None = None, yes: bool = False) -> Garbage:
    """Published cells that the study does not name, and quarantine: counted, and deleted only with `yes`.

    A store may be shared: what this study does not name may be another study's. What its own report cites is kept.
    Without `yes` nothing is touched. Raises BadInput where there is no store, StoreError while a run holds it.
    """
    opened = _open(study, store, data)
    root = opened.store.root
    if not root.is_dir():
        raise BadInput(Problem(str(root), "there is no store here", fix="check the path, or pass --store"))
    published = opened.store.published()
    doomed = published - set(opened.plan.cells)
    size = sum(_size(root / "runs" / key) for key in doomed) + _size(root / "quarantine")
    labels = tuple(sorted(row.label for row in opened.store.rows() if row.key in doomed))
    if yes:
        with opened.store.coordinate():
            freed = opened.store.gc(set(opened.plan.cells))
        return Garbage(freed.results, freed.bytes, len(published) - len(doomed), True, labels)
    return Garbage(len(doomed), size, len(published) - len(doomed), False, labels)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _open(study: Study, store: Study | None, data: Study | None) -> Opened:
    return open_study(
        study,
        Options(data=None if data is None else Path(data), store=None if store is None else Path(store), yes=True),
    )


def _find(opened: Opened, name: str) -> Cell:
    cells = opened.plan.cells.values()
    found = [c for c in cells if c.label == name or (len(name) >= 4 and c.key.startswith(name))]
    if len(found) == 1:
        return found[0]
    near = [c for c in cells if name.lower() in c.label.lower()]
    if not found and len(near) == 1:
        return near[0]
    shown = "; ".join(f"{c.label} ({c.key[:12]})" for c in (found or near or list(cells))[:12])
    what = f"{len(found or near)} cells of the study match {name!r}, expected one"
    raise BadInput(Problem("CELL", what, fix=f"name one by its label or key: {shown}"))
