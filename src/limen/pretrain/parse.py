"""From plain data with the keys of a study file to the fields of a `PretrainSpec`; every problem is told at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Literal, get_args

from limen.data.on_bad import ON_BAD
from limen.models.preprocessing.options import OPTIONS
from limen.pretrain.checkpoints import log_spaced
from limen.pretrain.evaluation import Evaluation
from limen.pretrain.options import ABOVE_ZERO, CHOICES, OBJECTIVES, OPTIMIZERS, SHARES, WHOLE
from limen.pretrain.samplers import SAMPLINGS
from limen.pretrain.schedule import SHAPES, Schedule
from limen.pretrain.views.strengths import KINDS, Augmentation
from limen.records.errors import BadInput, Problem

RECORDS = ("dynamics",)
PRECISIONS = ("float32", "bfloat16")
OnNan = Literal["stop", "skip"]
ON_NAN: tuple[str, ...] = get_args(OnNan)
UP_TO_ONE = ("crop", "grayscale", "drop", "mask", "shift", "frames")
"""Strengths that are shares or probabilities."""


class Parser:
    """Collects problems while short forms become full ones."""

    def __init__(self, plain: Mapping[str, Any]) -> None:
        self.plain = {k: v for k, v in plain.items() if v is not None}
        self.kind = self.plain.get("input", "image")
        self.problems: list[Problem] = []

    def parsed(self, known: set[str]) -> dict[str, Any]:
        """The fields, for keys that are `known`. Raises BadInput with every problem."""
        for key in sorted(set(self.plain) - known):
            self._problem(key, f"expected the keys {', '.join(sorted(known))}, got {key!r}")
        self.problems += [
            Problem(k, "expected a value, got none") for k in ("data", "steps", "batch_size") if k not in self.plain
        ]
        numbers = {
            "steps": 1, "batch_size": 2, "threads": 1, "seed": 0, "split_seed": 0, "start": 0, "accumulation": 1,
            "processes": 1,
        }  # fmt: skip
        for key, least in numbers.items():
            self._whole(key, self.plain.get(key, least), least)
        self._one_of("record", self.plain.get("record", RECORDS[0]), RECORDS)
        self._one_of("input", self.kind, tuple(OPTIONS))
        self._one_of("precision", self.plain.get("precision", PRECISIONS[0]), PRECISIONS)
        self._one_of("on_nan", self.plain.get("on_nan", ON_NAN[0]), ON_NAN)
        self._one_of("on_bad", self.plain.get("on_bad", ON_BAD[0]), ON_BAD)
        self._shares()
        self._text("data")
        self._text("column")
        self._heldout()
        self._one_of("sampling", self.plain.get("sampling", "reshuffle"), SAMPLINGS)
        full = {k: v for k, v in self.plain.items() if k in known}
        full |= {k: read(full[k]) for k, read in self._tables().items() if k in full}
        full["checkpoints"] = self._checkpoints(self.plain.get("checkpoints", 8), self.plain.get("steps"))
        if self.problems:
            raise BadInput(self.problems)
        return full

    def _shares(self) -> None:
        """Whether batch, micro-batches and processes divide one another."""
        batch, micros, processes = (self.plain.get(k, 1) for k in ("batch_size", "accumulation", "processes"))
        if not all(isinstance(x, int) and x >= 1 for x in (batch, micros, processes)):
            return
        if micros > 1 and (batch % micros or batch // micros < 2):
            what = f"expected micro-batches of at least 2 that make up batch_size = {batch}, got {micros}"
            self._problem("accumulation", what)
        if micros % processes:
            what = f"expected a number that divides accumulation = {micros}, got {processes}"
            self._problem("processes", what)

    def _tables(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "objective": self._objective,
            "architecture": self._named("architecture"),
            "optimizer": self._optimizer,
            "schedule": self._schedule,
            "evaluation": self._evaluation,
            "preprocessing": self._preprocessing,
        }

    def _named(self, key: str) -> Callable[[Any], dict[str, Any]]:
        def read(value: Any) -> dict[str, Any]:
            if isinstance(value, str) and value:
                return {"name": value}
            if isinstance(value, Mapping) and isinstance(value.get("name"), str) and value["name"]:
                return dict(value)
            self._problem(key, f"expected a name or a table with a name, got {value!r}")
            return {"name": ""}

        return read

    def _objective(self, value: Any) -> dict[str, Any]:
        table = self._named("objective")(value)
        if not self._one_of("objective.name", table["name"], tuple(OBJECTIVES)):
            return table
        self._known("objective", table, ("name", *OBJECTIVES[table["name"]]))
        for key, value in table.items():
            if (table["name"], key, value) != ("spectral", "projection", 0):  # that objective goes without, too
                self._option(f"objective.{key}", key, value)
        if table.get("augmentation") == "none":
            table["augmentation"] = {}
        self._augmentation(table.get("augmentation"))
        return table

    def _option(self, where: str, key: str, value: Any) -> None:
        """One option of an objective."""
        if key in WHOLE:
            self._whole(where, value, WHOLE[key])
        elif key in ABOVE_ZERO:
            self._positive(where, value)
        elif key in SHARES and not (_number(value) and 0 < value < 1):
            self._problem(where, f"expected a share between 0 and 1, got {value!r}")
        elif key in CHOICES:
            self._one_of(where, value, CHOICES[key])
        elif key == "label" and not (isinstance(value, str) and value):
            self._problem(where, f"expected the name of a column, got {value!r}")

    def _preprocessing(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self._problem("preprocessing", f"expected a table of options, got {value!r}")
            return {}
        self._known("preprocessing", value, tuple(OPTIONS.get(self.kind, {})))
        for key, number in value.items():
            self._positive(f"preprocessing.{key}", number)
        return dict(value)

    def _augmentation(self, value: Any) -> None:
        if value is None:
            return
        if not isinstance(value, Mapping):
            self._problem("objective.augmentation", f"expected 'none' or a table of strengths, got {value!r}")
            return
        self._known("objective.augmentation", value, tuple(f.name for f in fields(KINDS.get(self.kind, Augmentation))))
        for key, strength in value.items():
            where = f"objective.augmentation.{key}"
            if key == "flip":
                self._flag(where, strength)
            elif not _number(strength) or strength < 0 or (key in UP_TO_ONE and strength > 1):
                self._problem(where, f"expected a number of at least 0{_up_to_one(key)}, got {strength!r}")

    def _optimizer(self, value: Any) -> dict[str, Any]:
        table = self._named("optimizer")(value)
        if not self._one_of("optimizer.name", table["name"], tuple(OPTIMIZERS)):
            return table
        options = OPTIMIZERS[table["name"]]
        found = len(self.problems)
        self._known("optimizer", table, ("name", *options))
        for key in set(table) & set(options):
            if isinstance(options[key], bool):
                self._flag(f"optimizer.{key}", table[key])
            elif not _number(table[key]) or table[key] < 0 or (key in ("momentum", "dampening") and table[key] >= 1):
                below = " and below 1" if key in ("momentum", "dampening") else ""
                self._problem(f"optimizer.{key}", f"expected a number of at least 0{below}, got {table[key]!r}")
        full = {**options, **table}
        if len(self.problems) == found and full.get("nesterov") and (full["momentum"] == 0 or full["dampening"] > 0):
            self._problem("optimizer.nesterov", "expected a momentum above 0 and no dampening beside nesterov")
        return full

    def _schedule(self, value: Any) -> Schedule:
        table = self._named("schedule")(value)
        warmup = table.get("warmup", 0)
        steps = self.plain.get("steps")
        good = self._one_of("schedule.name", table["name"], SHAPES)
        good &= self._known("schedule", table, ("name", "warmup")) & self._whole("schedule.warmup", warmup, 0)
        if good and isinstance(steps, int) and warmup >= steps:
            self._problem("schedule.warmup", f"expected fewer than the {steps} steps of the run, got {warmup}")
            good = False
        return Schedule(table["name"], warmup) if good else Schedule()

    def _evaluation(self, value: Any) -> Evaluation:
        if not isinstance(value, Mapping):
            self._problem("evaluation", f"expected a table with draws and training_batches, got {value!r}")
            return Evaluation()
        if not self._known("evaluation", value, ("draws", "training_batches")):
            return Evaluation()
        found = len(self.problems)
        for key, number in value.items():
            self._whole(f"evaluation.{key}", number, 2 if key == "training_batches" else 1)
        return Evaluation(**value) if len(self.problems) == found else Evaluation()

    def _checkpoints(self, value: Any, steps: Any) -> tuple[int, ...]:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            return (0,)
        if isinstance(value, (list, tuple)):
            if all(isinstance(s, int) and not isinstance(s, bool) and 0 <= s <= steps for s in value) and value:
                return tuple(sorted(set(value)))
            self._problem("checkpoints", f"expected steps from 0 to {steps}, got {list(value)!r}")
        elif self._whole("checkpoints", value, 2):
            if value <= steps + 1:
                return log_spaced(value, steps)
            self._problem("checkpoints", f"expected at most {steps + 1} (one per update and the start), got {value}")
        return (0,)

    def _heldout(self) -> None:
        value = self.plain.get("heldout", 0.05)
        if not isinstance(value, str) and (not _number(value) or not 0 < value < 1):
            self._problem("heldout", f"expected a share between 0 and 1 or a file, got {value!r}")

    def _text(self, key: str) -> None:
        if key in self.plain and not (isinstance(self.plain[key], str) and self.plain[key]):
            self._problem(key, f"expected text, got {self.plain[key]!r}")

    def _whole(self, where: str, value: Any, least: int) -> bool:
        good = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if not good:
            self._problem(where, f"expected a whole number of at least {least}, got {value!r}")
        return good

    def _positive(self, where: str, value: Any) -> None:
        if not _number(value) or value <= 0:
            self._problem(where, f"expected a number above 0, got {value!r}")

    def _flag(self, where: str, value: Any) -> None:
        if not isinstance(value, bool):
            self._problem(where, f"expected true or false, got {value!r}")

    def _one_of(self, where: str, value: Any, names: tuple[str, ...]) -> bool:
        if value not in names and value != "":  # an empty name was told already
            self._problem(where, f"expected one of {', '.join(names)}, got {value!r}")
        return value in names

    def _known(self, where: str, table: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
        unknown = [key for key in table if key not in keys]
        for key in unknown:
            self._problem(f"{where}.{key}", f"expected the keys {', '.join(keys)}, got {key!r}")
        return not unknown

    def _problem(self, where: str, what: str) -> None:
        self.problems.append(Problem(where, what))


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value and abs(value) < 1e300


def _up_to_one(key: str) -> str:
    return " and at most 1" if key in UP_TO_ONE else ""
