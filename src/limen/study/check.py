"""Whether a study can run: every error of the file and of what it names, and the forecast of its cost.

Looks at headers and footers of tables, at their labels and vectors, and at the folders of models; trains nothing,
imports no torch, uses no network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from limen.adapt.split import LEAST_ROWS
from limen.models.folder import check_model_folder
from limen.models.weights import check_weights
from limen.records.errors import BadInput, Problem
from limen.study.architectures import VitArchitecture
from limen.study.contents import empty_texts, key_of, unusable_rows
from limen.study.cost import fit_part
from limen.study.encoders import EXTRAS, Encoder, OnDisk, Pretrain, Torch
from limen.study.files import DIGITS, Facts, Files, files_of
from limen.study.forecast import Forecast, forecast, merged
from limen.study.parse import read_study
from limen.study.plan import column_of, label_of, learned_label, pairs, populations, skipped_pairs
from limen.study.positions import Path as KeyPath
from limen.study.recording import RECORDERS
from limen.study.source import Finding, Source, did_you_mean
from limen.study.spec import Study, Task
from limen.study.work import image_side

SCHEMA = "limen.check/1"
KINDS: Mapping[str, tuple[str, ...]] = {
    "text": ("text",), "image": ("bytes", "image"), "audio": ("bytes",), "features": ("vector",),
}  # fmt: skip

PREPARING: Mapping[str, str] = {"text": "tokenizers", "audio": "transformers"}
"""Kind of input → the library that makes it what a pretrained encoder takes."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `limen check` found."""

    study: str
    errors: tuple[Problem, ...]
    forecast: Forecast | None
    """None where errors leave nothing to forecast."""
    skipped: int = 0
    """Pairs of encoder and task whose inputs differ."""
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """The report for a terminal: every error as it stands, or the forecast, and the notes."""
        if self.errors:
            return "\n".join(str(problem) for problem in self.errors)
        notes = [f"note: {note}" for note in self.notes]
        cost = [] if self.forecast is None else [self.forecast.text()]
        if self.forecast is not None and self.forecast.large:
            notes.append("note: this study is large, limen run asks for --yes")
        return "\n".join([f"{self.study}: no errors", *cost, *notes])

    def to_json(self) -> dict[str, Any]:
        """The document of schema limen.check/1; the forecast's keys are null where there is none."""
        empty = {"cells": None, "models": None, "minutes": None, "disk_bytes": None, "memory_bytes": None}
        return {
            "schema": SCHEMA,
            "study": self.study,
            "errors": [_plain(problem) for problem in self.errors],
            **(self.forecast.to_json() if self.forecast else empty),
            "skipped_pairs": self.skipped,
            "notes": list(self.notes),
        }


def check(path: Path | str, data: Path | None = None, workers: int = 1) -> CheckReport:
    """Everything that keeps the study at `path` from running, and what running it would cost.

    Raises nothing for a bad study: its problems are the `errors` of the report.
    """
    path = Path(path)
    try:
        study, source = read_study(path)
    except BadInput as error:
        return CheckReport(str(path), error.problems, None)
    files = files_of(path, data)
    problems = [source.problem(finding) for finding in missing(study, files)]
    expected = None if problems else forecast(study, files, workers)
    notes = merged(study)
    skipped = skipped_pairs(study)
    if skipped:
        notes.append(f"{skipped} pair{'s' * (skipped > 1)} of encoder and task skipped: their inputs differ")
    return CheckReport(str(path), tuple(problems), expected, skipped, tuple(notes))


def ready(study: Study, source: Source, files: Files, running: bool = True) -> None:
    """Raise BadInput with everything that keeps the study from running, or else from being planned."""
    problems = [source.problem(finding) for finding in missing(study, files, running)]
    if problems:
        raise BadInput(problems)


def missing(study: Study, files: Files, running: bool = True) -> list[Finding]:
    """What the study names and what is not there, or not as it says.

    Without `running`, libraries are not asked for and no row is read: looking at results needs neither.
    """
    found = list(_libraries(study, files)) if running else []
    found += [finding for name, encoder in study.encoder.items() for finding in _encoder(name, encoder, files)]
    for name, task in study.task.items():
        encoders = [encoder for other, _, _, encoder in pairs(study) if other == name]
        structure = [*_task(name, task, encoders, files), *_labels(study, name, files)]
        found += structure
        if running and not structure:
            found += unusable_rows(name, task, encoders, files)
    if running and not found:
        found += empty_texts(study, files)
    return found


def _libraries(study: Study, files: Files) -> Iterator[Finding]:
    for name, encoder in study.encoder.items():
        module, extra = EXTRAS.get(encoder.source, ("", ""))
        if module and find_spec(module) is None:
            yield Finding((("encoder", name, "source"),), f'source = "{encoder.source}" needs the library {module},'
                          " which is not installed", f"pip install '.[{extra}]'")  # fmt: skip
        needed = PREPARING.get(encoder.input) if isinstance(encoder, Pretrain) else None
        if needed is not None and find_spec(needed) is None:
            yield Finding((("encoder", name, "input"),), f"encoders of {encoder.input} need the library {needed}, which"
                          " is not installed", "pip install '.[hf]'")  # fmt: skip
    for name, task in study.task.items():
        for population, table in populations(task).items():
            facts, _ = _facts((), table, files)
            decoded = facts is not None and "bytes" in facts.columns.values() and task.input == "image"
            if decoded and find_spec("PIL") is None:
                yield Finding((key_of(name, population),), "images need the library pillow, which is not installed",
                              "pip install '.[images]'")  # fmt: skip


def _encoder(name: str, encoder: Encoder, files: Files) -> Iterator[Finding]:
    here: KeyPath = ("encoder", name)
    if isinstance(encoder, OnDisk):
        yield from _weights((*here, "path"), encoder, files)
    if isinstance(encoder, Pretrain):
        yield from _pretraining(here, encoder, files)


def _weights(where: KeyPath, encoder: OnDisk, files: Files) -> Iterator[Finding]:
    revision = getattr(encoder, "revision", None)
    try:
        path = files.model(encoder.path, revision)
        if not isinstance(encoder, Torch):
            check_model_folder(path, encoder.path, revision, encoder.source)
        else:
            check_weights(path)
    except BadInput as error:
        yield from (_foreign(where, problem) for problem in error.problems)


def _pretraining(here: KeyPath, encoder: Pretrain, files: Files) -> Iterator[Finding]:
    if encoder.record is not None and encoder.record not in RECORDERS:
        yield Finding(((*here, "record"),), "not available in this version", "remove it", at_key=True)
    facts, problems = _facts((*here, "data"), encoder.data, files)
    yield from problems
    heldout = None
    if isinstance(encoder.heldout, str):
        heldout, problems = _facts((*here, "heldout"), encoder.heldout, files)
        yield from problems
    for key, table in (("data", facts), ("heldout", heldout)):
        if table is not None:
            place = (*here, key if encoder.column is None else "column")
            yield from _column(place, encoder.column or encoder.input, table, KINDS[encoder.input])
            if encoder.learns_labels:
                named = "label" in encoder.model_fields_set
                column = learned_label(encoder, (facts or table).columns)
                yield from _column((*here, "label") if named else (*here, key), column, table)
    yield from _patches(here, encoder)
    if facts is None:
        return
    share = encoder.heldout if isinstance(encoder.heldout, float) else 0.0
    held = heldout.rows if heldout else round(share * facts.rows)
    training = facts.rows - round(share * facts.rows)
    both = ((*here, "batch_size"), (*here, "heldout"))
    if training < encoder.batch_size:
        yield Finding(both, f"batch_size = {encoder.batch_size} is more than the {training:,} training examples",
                      "take a smaller batch_size")  # fmt: skip
    if held < 2 * encoder.batch_size and (heldout is not None or share):
        yield Finding(both, f"the held-out loss needs two batches of {encoder.batch_size}, and {held:,} examples are"
                      " held out", "hold out more, or take a smaller batch_size")  # fmt: skip


def _patches(here: KeyPath, encoder: Pretrain) -> Iterator[Finding]:
    """Patches that do not share the bundled images, whose side is known before they are read."""
    side = image_side(encoder.data)
    if encoder.data in DIGITS and isinstance(encoder.architecture, VitArchitecture):
        patch = encoder.architecture.patch
        if side % patch:
            yield Finding(((*here, "architecture", "patch"), (*here, "data")),
                          f"patch = {patch} does not divide the {side} pixels of the images of {encoder.data}",
                          "patch = 1, 2, 4 or 8")  # fmt: skip


def _task(name: str, task: Task, encoders: list[Encoder], files: Files) -> Iterator[Finding]:
    here: KeyPath = ("task", name)
    if task.test == task.train:
        yield Finding(((*here, "test"), (*here, "train")), "train and test are the same table", "name another test")
    for population, table in populations(task).items():
        key = key_of(name, population)
        facts, problems = _facts(key, table, files)
        yield from problems
        if facts is None:
            continue
        if facts.rows == 0:
            yield Finding((key,), f"{table} has no rows", "an empty selection was saved")
        for role in ("group", "id"):
            if (column := getattr(task, role)) is not None:
                yield from _column((*here, role), column, facts)
        for number, column in enumerate(task.slices):
            yield from _column((*here, "slices", number), column, facts)
        yield from _column((*here, "label") if "label" in task.model_fields_set else key,
                           label_of(task, facts.columns), facts)  # fmt: skip
        for column in sorted({column_of(task, encoder, facts.columns) for encoder in encoders}):
            place = (*here, "column") if column == task.column else key
            yield from _column(place, column, facts, KINDS[task.input])


def _labels(study: Study, name: str, files: Files) -> Iterator[Finding]:
    task = study.task[name]
    facts, problems = _facts((), task.train, files)
    if facts is None or problems:
        return
    if facts.rows < LEAST_ROWS:
        what = (
            f"{task.train}: expected at least {LEAST_ROWS} rows to split into design, fit and holdout, got {facts.rows}"
        )
        yield Finding((("task", name, "train"),), what, "label more rows, or pool small tasks")
        return
    part = fit_part(facts.rows)
    for number, labels in enumerate(study.adapt.labels or ()):
        if isinstance(labels, int) and labels > part:
            rows = f"{task.train} has {facts.rows:,} rows"
            reason = rows if labels > facts.rows else f"{rows}, of which 75 % = {part:,} are fitted on"
            where: tuple[KeyPath, ...] = (("adapt", "labels", number), ("task", name, "train"))
            what = f"{labels:,} labels are asked for, and {reason}"
            yield Finding(where, what, f'at most {part:,}; "all" stands for that many')


def _facts(where: KeyPath, table: str, files: Files) -> tuple[Facts | None, list[Finding]]:
    try:
        return files.describe(table), []
    except BadInput as error:
        return None, [_foreign(where, problem) for problem in error.problems]


def _foreign(where: KeyPath, problem: Problem) -> Finding:
    """A problem of a file, tied to the key that names the file."""
    fix = "check the path, or pass --data DIR" if problem.fix in ("", "check the path") else problem.fix
    return Finding((where,), f"{problem.where}: {problem.what}", fix)


def _column(where: KeyPath, column: str, facts: Facts, kinds: tuple[str, ...] = ()) -> Iterator[Finding]:
    kind = facts.columns.get(column)
    if kind is None:
        yield Finding((where,), f'there is no column "{column}"', did_you_mean(column, facts.columns))
    elif kind == "pickle":
        from limen.data.npz import object_array  # psutil and numpy: only when there is one

        found = object_array(Path(facts.table), column)
        yield Finding((where,), f"{found.where}: {found.what} ({found.cause})", found.fix)
    elif kinds and kind not in kinds:
        yield Finding((where,), f'column "{column}" holds {kind}, expected {" or ".join(kinds)}',
                      "name the right column with column = …")  # fmt: skip


def _plain(problem: Problem) -> dict[str, Any]:
    where = problem.where.rsplit(":", 2)
    placed = len(where) == 3 and where[1].isdigit() and where[2].isdigit()
    return {
        "file": where[0] if placed else problem.where,
        "line": int(where[1]) if placed else None,
        "column": int(where[2]) if placed else None,
        "message": problem.what,
        "cause": problem.cause,
        "fix": problem.fix,
        "context": problem.context,
    }
