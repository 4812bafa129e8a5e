"""One pretraining run on several processes of this machine: torchrun, gloo, every process on its own micro-batches.

    torchrun --standalone --nproc-per-node w -m limen.pretrain.distributed FOLDER

FOLDER holds `spec.json` and, for a run that starts from another's checkpoint, `start.json` and `start.npz`; the first
process leaves the record there. Batch statistics would be those of one process's micro-batches and differ between
them: an encoder that has any is refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from limen.pretrain.place import Place
from limen.pretrain.processes import Processes
from limen.pretrain.run import Around, pretrain
from limen.pretrain.spec import PretrainSpec
from limen.records.errors import BadInput, LimenError, Problem
from limen.records.stage import StageRecord

TOLD = 400
"""Characters of a failed process's last words."""


def pretrain_together(
    spec: Mapping[str, Any], start: StageRecord | None = None, state: Place | None = None
) -> StageRecord:
    """The record of a run whose `processes` are started here. Raises what one process would, and for a lost process."""
    run = PretrainSpec.parse(spec)
    if run.architecture["name"] == "resnet18":
        what = f"expected an encoder without batch statistics on {run.processes} processes, got resnet18"
        raise BadInput(Problem("processes", what, fix="take conv or vit, or one process with accumulation"))
    with tempfile.TemporaryDirectory(prefix="limen-together-") as name:
        folder = Path(name)
        asked = {"spec": dict(spec)} | ({"state": [str(state.folder), state.run, state.every]} if state else {})
        (folder / "spec.json").write_text(json.dumps(asked), "utf-8")
        if start is not None:
            _write(folder, "start", start)
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(run.processes),
            "-m", "limen.pretrain.distributed", name,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        problems = folder / "problems.json"
        if problems.is_file():
            raise BadInput([Problem(**plain) for plain in json.loads(problems.read_text("utf-8"))])
        if done.returncode or not (folder / "record.json").is_file():
            what = f"a process ended with status {done.returncode}: {done.stderr[-TOLD:].strip()}"
            raise LimenError([Problem("processes", what, fix="try processes = 1")])
        return _read(folder, "record")


def main(name: str) -> None:
    """One process of the run."""
    from torch import distributed

    folder = Path(name)
    asked = json.loads((folder / "spec.json").read_text("utf-8"))
    distributed.init_process_group("gloo")
    try:
        processes = Processes(distributed.get_rank(), distributed.get_world_size())
        start = _read(folder, "start") if (folder / "start.json").is_file() else None
        state = Place(Path(asked["state"][0]), *asked["state"][1:]) if "state" in asked else None
        record = pretrain(asked["spec"], (), start, Around(state, processes))
        if processes.rank == 0:
            _write(folder, "record", record)
        distributed.barrier()
    except BadInput as error:
        plain = [{"where": p.where, "what": p.what, "cause": p.cause, "fix": p.fix} for p in error.problems]
        (folder / "problems.json").write_text(json.dumps(plain), "utf-8")
        raise SystemExit(2) from error
    finally:
        distributed.destroy_process_group()


def _write(folder: Path, name: str, record: StageRecord) -> None:
    np.savez(folder / f"{name}.npz", **record.arrays)  # type: ignore[arg-type]
    plain = {"kind": record.kind, "version": record.version, "data": record.data}
    (folder / f"{name}.json").write_text(json.dumps(plain), "utf-8")


def _read(folder: Path, name: str) -> StageRecord:
    plain = json.loads((folder / f"{name}.json").read_text("utf-8"))
    with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
        return StageRecord(plain["kind"], plain["version"], plain["data"], {key: arrays[key] for key in arrays})


if __name__ == "__main__":
    main(sys.argv[1])
