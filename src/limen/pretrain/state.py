"""The state of an unfinished run on disk, so that a killed run goes on where it was.

A folder with

    training.safetensors       weights, the optimizer's tensors, losses so far; its header holds everything else
    kept-000100.safetensors    a checkpoint that the record will hold, written once

Each file is written beside its name, flushed, and renamed: a name always holds a whole file, and what is half written
is never looked at. All randomness of a run is keyed by (purpose, seed, step), so weights, optimizer and step are its
whole state: a run that was killed and resumed gives the same weights bit for bit.

The state of another run, or of files that have been damaged, is set aside as `NAME.unusable`, and the run begins anew.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from limen.pretrain.checkpoints import Arrays, CheckpointKeeper
from limen.pretrain.loop import Before
from limen.pretrain.place import Place
from limen.records.observer import Step

FILE = "training.safetensors"
VERSION = 1


class StateSaver:
    """Observer that writes the state of a run every `place.every` seconds of it."""

    def __init__(self, place: Place, before: Before, keeper: CheckpointKeeper) -> None:
        self.place, self.keeper = place, keeper
        self.losses, self.skipped = list(before.losses), list(before.skipped)
        self._written = set(keeper.checkpoints)
        self._last = time.monotonic()
        self._model: Any = None
        self._optimizer: Any = None

    def begin(self, model: Any, optimizer: Any, steps: int) -> None:
        """Remember what is to be written."""
        del steps
        self._model, self._optimizer = model, optimizer

    def step(self, step: Step) -> None:
        """Write the state if it is time."""
        if len(self.losses) == step.done - 1:
            self.losses.append(step.loss)
        if time.monotonic() - self._last >= self.place.every:
            self.write(step.seconds)
            self._last = time.monotonic()

    def end(self) -> None:
        """Let go of the model."""
        self._model = self._optimizer = None

    def write(self, seconds: float) -> None:
        """Write the checkpoints that are new, then the state."""
        self.place.folder.mkdir(parents=True, exist_ok=True)
        for step in sorted(set(self.keeper.checkpoints) - self._written):
            arrays = {name: torch.from_numpy(np.array(array)) for name, array in self.keeper.checkpoints[step].items()}
            _publish(self.place.folder / f"kept-{step:06d}.safetensors", arrays, {"run": self.place.run})
            self._written.add(step)
        optimizer = self._optimizer.state_dict()
        tensors = {f"model/{name}": tensor for name, tensor in self._model.state_dict().items()}
        scalars: dict[str, dict[str, Any]] = {}
        for number, values in optimizer["state"].items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer/{number}/{name}"] = value
                else:
                    scalars.setdefault(str(number), {})[name] = value
        tensors["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        about = {
            "version": VERSION, "run": self.place.run, "seconds": seconds, "skipped": self.skipped,
            "kept": sorted(self._written), "groups": optimizer["param_groups"], "scalars": scalars,
        }  # fmt: skip
        whole = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
        _publish(self.place.folder / FILE, whole, {"limen": json.dumps(about)})


def resume(place: Place, model: Any, optimizer: Any, keeper: CheckpointKeeper) -> Before | None:
    """Bring model, optimizer and kept checkpoints to the state on disk; None where there is none of this run."""
    path = place.folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("limen", "{}"))
            if about.get("version") != VERSION or about.get("run") != place.run:
                raise ValueError("the state of another run")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        kept = {step: _kept(place, step) for step in about["kept"]}
        model.load_state_dict({n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")})
        optimizer.load_state_dict({"state": _optimizer_state(tensors, about), "param_groups": about["groups"]})
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        aside = path.with_name(f"{FILE}.unusable")
        os.replace(path, aside)
        print(f"{aside}: unusable ({str(error).splitlines()[0][:160]}); the run begins anew", flush=True)
        return None
    keeper.checkpoints.update(kept)
    return Before(tuple(tensors["losses"].tolist()), tuple(about["skipped"]), float(about["seconds"]))


def _kept(place: Place, step: int) -> Arrays:
    with safe_open(place.folder / f"kept-{step:06d}.safetensors", "pt") as file:
        if (file.metadata() or {}).get("run") != place.run:
            raise ValueError("a checkpoint of another run")
        return {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118


def _optimizer_state(tensors: Mapping[str, Any], about: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    state: dict[int, dict[str, Any]] = {int(number): dict(values) for number, values in about["scalars"].items()}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, number, key = name.split("/", 2)
            state.setdefault(int(number), {})[key] = tensor
    return state


def _publish(path: Path, tensors: Mapping[str, Any], about: Mapping[str, str]) -> None:
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    try:
        save_file(dict(tensors), part, dict(about))
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(part, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
