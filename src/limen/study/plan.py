"""From a study and its files to cells: what is to be computed, each piece named by the hash of what it means.

    pretrain   one per encoder with source = "pretrain" and seed
    features   one per encoder reference and column of a table
    fit        one per encoder reference, task, method and radius; holds all label counts and seeds
    tune       one per encoder reference, task, tuned method, label count and seed; the fit of its method needs them

Identity of a cell = VERSION of its stage, semantic fields (`limen.study.identity`), content hashes of data and
weights, keys of the cells it needs. Not in it: names of study, encoder and task, paths, order of lists that are sets,
rows in one batch of an encoder, confidence, target, margin. Cells of equal identity are one cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

from limen.pretrain.options import OBJECTIVES as OPTIONS
from limen.pretrain.views.strengths import KINDS
from limen.records.cell import Cell
from limen.study.cost import dimension_of, features_cost, fit_cost, pretrain_cost, tune_cost
from limen.study.encoders import WITH_WEIGHTS, Embeddings, Encoder, OnDisk, Pretrain, Transformers
from limen.study.files import Files
from limen.study.identity import semantic
from limen.study.reference import EncoderReference, parse_reference
from limen.study.spec import Study, Task
from limen.study.stages import VERSIONS
from limen.study.tuning import ENCODER, TUNED
from limen.study.ways import fit_specs, tune_specs, tuning_split


@dataclass(frozen=True, slots=True)
class Fit:
    """One fit of the study and the cell that holds it; several fits may share a cell."""

    encoder: EncoderReference
    task: str
    method: str
    key: str
    radius: float | None = None
    """The radius where the study lists several: each is a fit, and their budgets share one confidence."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All cells in an order in which every cell comes after those it needs, and what each fit is called."""

    cells: Mapping[str, Cell]
    """Key → cell."""
    fits: tuple[Fit, ...]
    pretrained: Mapping[EncoderReference, str]
    """Encoder and seed → key of its pretraining cell."""
    skipped: int
    """Pairs of encoder and task left out because one gives another input than the other takes."""


def plan(study: Study, files: Files) -> Plan:
    """The plan of a study. Raises BadInput for files that are not there."""
    return _Planner(study, files).plan()


def pairs(study: Study) -> Iterator[tuple[str, Task, str, Encoder]]:
    """Every task with every encoder that it is adapted on."""
    for (task_name, task), (name, encoder) in product(study.task.items(), study.encoder.items()):
        named = task.encoders is None or name in {parse_reference(text).name for text in task.encoders}
        if named and encoder.input == task.input:
            yield task_name, task, name, encoder


def skipped_pairs(study: Study) -> int:
    """Pairs that do not fit: the encoder takes another input than the task gives, and the task does not choose."""
    every = product(study.task.values(), study.encoder.values())
    return sum(task.encoders is None and task.input != encoder.input for task, encoder in every)


def references(name: str, encoder: Encoder, task: Task) -> Iterator[EncoderReference]:
    """The encoders that a task adapts under one name.

    All seeds and checkpoints, where the task does not choose or names just NAME; else those it names.
    """
    chosen = [reference for text in task.encoders or (name,) if (reference := parse_reference(text)).name == name]
    bare = any(text == name for text in task.encoders or (name,))
    if not bare or not isinstance(encoder, Pretrain):
        yield from dict.fromkeys(canonical(reference, encoder) for reference in chosen)
        return
    whole = (EncoderReference(name, s, None, k) for s, k in product(range(encoder.seeds), encoder.kept_steps()))
    yield from dict.fromkeys(canonical(reference, encoder) for reference in (*whole, *chosen))


def canonical(reference: EncoderReference, encoder: Encoder) -> EncoderReference:
    """The reference without what it says by default: the last step, the last layer of a transformer."""
    step, layer = reference.step, reference.layer
    if isinstance(encoder, Pretrain) and step == encoder.kept_steps()[-1]:
        step = None
    if isinstance(encoder, Transformers) and layer is not None and int(layer) == encoder.layer:
        layer = None
    return EncoderReference(reference.name, reference.seed, layer, step)


def populations(task: Task) -> dict[str, str]:
    """Name → table of every population of a task: `train`, `test`, and the shift sets."""
    test = {"test": task.test} if task.test is not None else {}
    return {"train": task.train, **test, **{name: task.shift[name] for name in sorted(task.shift)}}


def tables_of(study: Study) -> tuple[str, ...]:
    """Every table that the cells of a study read, as the study names it, in order of appearance."""
    found: dict[str, None] = {}
    for _, task, _, encoder in pairs(study):
        if isinstance(encoder, Pretrain):
            found[encoder.data] = None
            found |= {encoder.heldout: None} if isinstance(encoder.heldout, str) else {}
        found |= dict.fromkeys(populations(task).values())
    return tuple(found)


def column_of(task: Task, encoder: Encoder, kinds: Mapping[str, str]) -> str:
    """The column of a table that the encoder reads: named, or named like the input; of vectors `X` or the only one."""
    named = (encoder.column if isinstance(encoder, Embeddings) else None) or task.column
    if named is None and task.input == "features":
        vectors = [name for name, kind in kinds.items() if kind == "vector"]
        only = vectors[:1] if len(vectors) == 1 else []
        return next((name for name in ("features", "X", *only) if name in kinds), "features")
    return named or task.input


def label_of(task: Task, kinds: Mapping[str, str]) -> str:
    """The column of the labels: as named; an .npz without `label` has it in `y`."""
    chosen = "label" in task.model_fields_set or "label" in kinds or "y" not in kinds
    return task.label if chosen else "y"


def learned_label(encoder: Pretrain, kinds: Mapping[str, str]) -> str:
    """The column of the labels that a run learns or pairs by, told as `label_of` tells those of a task."""
    chosen = "label" in encoder.model_fields_set or "label" in kinds or "y" not in kinds
    return encoder.label if chosen else "y"


def place_of(task: Task, table: str, files: Files) -> dict[str, Any]:
    """Where the rows of one population are and what its columns are called: what `limen.study.rows` reads."""
    label = label_of(task, files.describe(table).columns)
    return {"data": files.table(table), "on_bad": task.on_bad, **roles_of(task, label)}


def roles_of(task: Task, label: str) -> dict[str, Any]:
    """The columns of a task by what they are for."""
    return {"label": label, "group": task.group, "slices": sorted(set(task.slices)), "id": task.id}


class _Planner:
    def __init__(self, study: Study, files: Files) -> None:
        self.study, self.files = study, files
        self.cells: dict[str, Cell] = {}
        self.pretrained: dict[EncoderReference, str] = {}

    def plan(self) -> Plan:
        fits = []
        for task_name, task, name, encoder in pairs(self.study):
            for reference in references(name, encoder, task):
                needs = self.features(reference, encoder, task)
                for how in fit_specs(self.study.adapt, self.study.seed):
                    if self.study.adapt.options(how["method"]) is not None and not tuned(reference, task, encoder):
                        continue
                    key = self.add(self.fit(reference, task_name, how, needs))
                    listed = isinstance(self.study.adapt.linear_probe.radius, tuple) and how["radius"] != "auto"
                    fits.append(Fit(reference, task_name, how["method"], key, how["radius"] if listed else None))
        return Plan(self.cells, tuple(fits), self.pretrained, skipped_pairs(self.study))

    def add(self, cell: Cell) -> str:
        key = cell.key
        self.cells.setdefault(key, cell)
        return key

    def pretrain(self, name: str, seed: int, encoder: Pretrain) -> str:
        reference = EncoderReference(name, seed)
        if reference not in self.pretrained:
            identity = semantic(encoder, "data", "heldout", "checkpoints", "seeds", "start")
            heldout = encoder.heldout
            tables = (encoder.data, *([heldout] if isinstance(heldout, str) else []))
            spec = self.pretrain_spec(encoder) | {"seed": seed, "files": self.hashes(*tables)}
            seconds = pretrain_cost(encoder, self.files.describe(encoder.data).rows).seconds
            identity |= {
                "version": VERSIONS["pretrain"],
                "data": self.files.hash(encoder.data),
                "heldout": self.files.hash(heldout) if isinstance(heldout, str) else heldout,
                "checkpoints": list(encoder.kept_steps()),
                "seed": seed,
                "split_seed": self.study.seed,
            }
            needs = {}
            if encoder.start is not None:
                start, step = self.start(encoder.start)
                needs = {"start": start}
                identity["start"], spec["start"] = {"run": start, "step": step}, step
            self.pretrained[reference] = self.add(Cell("pretrain", str(reference), identity, spec, needs, seconds))
        return self.pretrained[reference]

    def start(self, text: str) -> tuple[str, int]:
        """The run that another begins with, and its step."""
        reference = parse_reference(text)
        base = self.study.encoder[reference.name]
        assert isinstance(base, Pretrain)  # limen.study.contradictions refuses others
        step = base.kept_steps()[-1] if reference.step is None else reference.step
        return self.pretrain(reference.name, reference.seed, base), step

    def pretrain_spec(self, encoder: Pretrain) -> dict[str, Any]:
        """The keys of `limen.pretrain.spec.PretrainSpec`."""
        plain = encoder.model_dump(mode="json", exclude_none=True)
        heldout = encoder.heldout
        objective = {key: plain[key] for key in OPTIONS[encoder.objective] if key in plain}
        if "augmentation" in objective:
            known = {field.name for field in fields(KINDS[encoder.input])}
            objective["augmentation"] = {k: v for k, v in objective["augmentation"].items() if k in known}
        if encoder.learns_labels:
            objective["label"] = learned_label(encoder, self.files.describe(encoder.data).columns)
        preprocessing = {"text": plain["tokens"], "audio": plain["sound"]}.get(encoder.input, {})
        elsewhere = ("source", "seeds", "start", "tokens", "sound", *(k for every in OPTIONS.values() for k in every))
        for key in elsewhere:
            plain.pop(key, None)
        given: dict[str, Any] = {
            "data": self.files.table(encoder.data),
            "heldout": self.files.table(heldout) if isinstance(heldout, str) else heldout,
            "objective": {"name": encoder.objective, **objective},
            "preprocessing": preprocessing,
            "checkpoints": list(encoder.kept_steps()),
            "split_seed": self.study.seed,
        }
        return plain | given

    def features(self, reference: EncoderReference, encoder: Encoder, task: Task) -> dict[str, str]:
        """Population → key of the cell with its features."""
        needs: dict[str, str] = {}
        if isinstance(encoder, Pretrain):
            key = self.pretrain(reference.name, reference.seed, encoder)
            steps = {"step": encoder.kept_steps()[-1] if reference.step is None else reference.step}
            needs = {"encoder": key}
            meaning: dict[str, Any] = {"source": "pretrain", "run": key, **steps}
            trained = {"data": self.files.table(encoder.data), "column": encoder.column or encoder.input}
            spec: dict[str, Any] = {"source": "pretrain", "threads": encoder.threads, "trained": trained, **steps}
        else:
            meaning, spec = self.encoder(encoder)
        if reference.layer is not None:
            layer = int(reference.layer) if isinstance(encoder, Transformers) else reference.layer
            meaning, spec = meaning | {"layer": layer}, spec | {"layer": layer}
        keys = {}
        for population, table in populations(task).items():
            column = column_of(task, encoder, self.files.describe(table).columns)
            read = {"column": column, "input": task.input} | ({"on_bad": "skip"} if task.on_bad == "skip" else {})
            identity = {"version": VERSIONS["features"], "encoder": meaning, "data": self.files.hash(table), **read}
            trained_on = self.hashes(encoder.data) if isinstance(encoder, Pretrain) else {}
            files = self.hashes(table) | trained_on | self.weights(encoder)
            spec_here = {"encoder": spec, "data": self.files.table(table), **read, "files": files}
            if "threads" in spec:
                spec_here["threads"] = spec["threads"]
            cell = Cell("features", f"{reference} · {_short(table)}", identity, spec_here, needs,
                        features_cost(encoder, table, self.files).seconds)  # fmt: skip
            keys[population] = self.add(cell)
        return keys

    def encoder(self, encoder: Encoder) -> tuple[dict[str, Any], dict[str, Any]]:
        """What an encoder means (weights by hash) and what loads it (weights by path)."""
        spec: dict[str, Any] = encoder.model_dump(mode="json", exclude_none=True)
        if not isinstance(encoder, OnDisk):
            return semantic(encoder, "column"), spec
        revision = getattr(encoder, "revision", None)
        meaning = semantic(encoder, "path", "revision", "batch_size") | {
            "weights": self.files.model_hash(encoder.path, revision)
        }
        return meaning, spec | {"path": str(self.files.model(encoder.path, revision))}

    def fit(
        self, reference: EncoderReference, task_name: str, how: Mapping[str, Any], needs: Mapping[str, str]
    ) -> Cell:
        task = self.study.task[task_name]
        tables = populations(task)
        roles = {
            population: roles_of(task, label_of(task, self.files.describe(table).columns))
            for population, table in tables.items()
        }
        identity = {
            "version": VERSIONS["fit"],
            "populations": {key: {"features": needs[key], **_given(roles[key])} for key in needs},
            "same_population": task.same_population,
            "how": dict(how),
        }
        spec = {
            "task": task_name,
            "encoder": str(reference),
            "same_population": task.same_population,
            "populations": {key: self._read(needs[key]) | roles[key] for key in needs},
            "how": dict(how),
            "files": self.hashes(*tables.values()),
        }
        label = f"{reference} · {task_name} · {how['method']}"
        needs = dict(needs)
        if self.study.adapt.options(how["method"]) is not None:
            rows = self.files.describe(task.train).rows
            cells = self.tuned_cells((label, rows), (identity, spec), how["method"], needs)
            needs |= {f"{TUNED}{number}": self.add(cell) for number, cell in enumerate(cells)}
            identity["tuned"] = sorted(key for name, key in needs.items() if name.startswith(TUNED))
        rows, encoder = self.files.describe(task.train).rows, self.study.encoder[reference.name]
        cost = fit_cost(how["method"], rows, dimension_of(encoder, self.files, task.train), self.study.adapt)
        if how["method"] == "linear-probe" and isinstance(self.study.adapt.linear_probe.radius, tuple):
            label += f" · radius {how['radius']:g}"
        return Cell("fit", label, identity, spec, dict(needs), cost.seconds)

    def tuned_cells(
        self,
        what: tuple[str, int],
        base: tuple[Mapping[str, Any], Mapping[str, Any]],
        method: str,
        needs: Mapping[str, str],
    ) -> Iterator[Cell]:
        """One cell for each (n, seed) of a method that moves the encoder's weights; `what` = label, rows."""
        (label, rows), (identity, spec) = what, base
        features = self.cells[needs["train"]]
        split = tuning_split(spec["how"])
        run = {ENCODER: features.needs["encoder"]} if "encoder" in features.needs else {}
        seconds = features.seconds / max(1, rows)
        for n, seed, options in tune_specs(self.study.adapt, method):
            tuning = {"how": split, "tune": options, "n": n}
            threads = {"threads": options["threads"]} if "threads" in options else {}
            yield Cell(
                "tune",
                f"{label} · {n} labels, seed {seed}",
                {**identity, "version": VERSIONS["tune"], **tuning},
                {**spec, **tuning, **threads, "load": features.spec["encoder"], "input": features.spec["input"],
                 "files": {**spec["files"], **features.spec["files"]}},
                {**needs, **run},
                tune_cost(rows, seconds, n, options),
            )  # fmt: skip

    def hashes(self, *tables: str) -> dict[str, str]:
        """What a stage reads → its hash, so that the stage notices a file that is replaced before it reads it."""
        return {self.files.table(table): self.files.hash(table) for table in tables}

    def weights(self, encoder: Encoder) -> dict[str, str]:
        """The same for the weights of an encoder that has any on disk."""
        if not isinstance(encoder, OnDisk):
            return {}
        revision = getattr(encoder, "revision", None)
        return {str(self.files.model(encoder.path, revision)): self.files.model_hash(encoder.path, revision)}

    def _read(self, features: str) -> dict[str, Any]:
        """Table and column behind a cell of features: rows of equal input stay together in the fit."""
        spec = self.cells[features].spec
        return {key: spec[key] for key in ("data", "column", "on_bad") if key in spec}


def tuned(reference: EncoderReference, task: Task, encoder: Encoder) -> bool:
    """Whether methods that move weights are run on an encoder: it has weights, and is no early checkpoint unless the
    task names it."""
    if encoder.source not in WITH_WEIGHTS:
        return False
    return reference.step is None or str(reference) in (task.encoders or ())


def _given(roles: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in roles.items() if value}


def _short(table: str) -> str:
    return table if len(table) <= 40 else f"…{table[-39:]}"
