"""Stages so small that a test can run thirty of them, and a study of them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from limen.arrays.random import stream
from limen.records.cell import Cell
from limen.records.errors import BadInput, Problem, StoreError
from limen.records.stage import StageRecord
from limen.store import Writer


def run_stage(stage: str, spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    time.sleep(spec.get("sleep", 0.0))
    return STAGES[stage](spec, inputs)


def draw(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    """Random numbers keyed by the seed, plus the sums of the inputs."""
    seed = spec["seed"]
    if spec.get("journal"):
        with Path(spec["journal"]).open("a") as journal:
            journal.write(f"{seed}\n")
    numbers = stream("test", seed).normal(size=(7, 3))
    total = float(numbers.sum()) + sum(float(record.data["total"]) for record in inputs.values())
    return StageRecord("draw", 1, {"total": total, "seed": seed}, {"numbers": numbers, "group/half": numbers[:, :1]})


def tell(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    from limen.cluster.worker import tell as say

    for text in ("a third", "two thirds"):
        say(text)
        time.sleep(0.3)
    return StageRecord("tell", 1, {"seed": spec["seed"]})


def threads(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    from limen.arrays.environment import environment

    return StageRecord("threads", 1, {"threads": environment()["threads"], "pid": os.getpid()})


def die(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    """Kill the own process until `times` attempts were made."""
    journal = Path(spec["journal"])
    made = len(journal.read_text().splitlines()) if journal.exists() else 0
    if made < spec["times"]:
        with journal.open("a") as file:
            file.write("x\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return StageRecord("die", 1, {"attempts": made + 1})


def bad(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    raise BadInput(Problem("adapt.labels", "expected at most 10 rows, got 12", fix="ask for fewer"))


def crash(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    raise ZeroDivisionError("an unforeseen mistake")


def nan(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    return StageRecord("nan", 1, {"curve": [{"loss": float("nan")}]})


def nest(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    """Start a process of its own, as a distributed training run does, and wait for it."""
    child = subprocess.Popen(["sleep", "60"])
    Path(spec["journal"]).write_text(f"{os.getpid()} {child.pid}")
    child.wait()
    return StageRecord("nest", 1, {})


def say(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    print("said", spec["seed"], flush=True)
    return StageRecord("say", 1, {})


def publish_and_die(writer: Writer, cell: Cell, record: StageRecord, seconds: float) -> Path:
    """Publish, then die before telling anyone."""
    writer.publish(cell, record, seconds)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def publish_slowly(writer: Writer, wait: float, cell: Cell, record: StageRecord, seconds: float) -> Path:
    """Say that publishing has begun, wait, publish."""
    (writer.root / "publishing").touch()
    time.sleep(wait)
    return writer.publish(cell, record, seconds)


def publish_on_a_full_disk(writer: Writer, cell: Cell, record: StageRecord, seconds: float) -> Path:
    """Publish seeds below 3, refuse the others."""
    if cell.spec["seed"] < 3:
        return writer.publish(cell, record, seconds)
    raise StoreError(Problem(str(writer.runs), "[Errno 28 ENOSPC] No space left on device", fix="free space"))


STAGES = {
    "nest": nest,
    "say": say,
    "draw": draw,
    "threads": threads,
    "die": die,
    "bad": bad,
    "crash": crash,
    "nan": nan,
    "tell": tell,
}


def cell(stage: str, seed: int = 0, needs: Mapping[str, str] | None = None, **spec: Any) -> Cell:
    identity = {"seed": seed, "needs": dict(needs or {}), "VERSION": 1}
    return Cell(stage, f"{stage} {seed}", identity, {"seed": seed, **spec}, dict(needs or {}))


def grid(count: int = 30, **spec: Any) -> list[Cell]:
    """Cells of three levels: two thirds stand alone, the others need one or two of them."""
    alone = [cell("draw", seed, **spec) for seed in range(2 * count // 3)]
    resting = [
        cell("draw", 1000 + k, {"a": alone[k].key, "b": alone[-1 - k].key}, **spec)
        for k in range(count - len(alone) - 1)
    ]
    return [*resting, *alone, cell("draw", 2000, {"last": resting[-1].key}, **spec)]


def contents(root: Path) -> dict[str, tuple[Any, ...]]:
    """What was computed, by key: record text and array bytes; seconds are left out."""
    return {
        folder.name: (
            (folder / "record.json").read_bytes(),
            np.load(folder / "numbers.npy").tobytes(),
            (folder / "group.safetensors").read_bytes(),
        )
        for folder in (root / "runs").iterdir()
        if not folder.name.startswith(".")
    }
