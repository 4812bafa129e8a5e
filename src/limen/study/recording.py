"""What a study records along a pretraining run: the only place where a recorder meets a training loop.

`record = "dynamics"` in `[encoder.NAME]` asks for one. An observer reads and never writes, so the weights are those of
the same run without it; it sees the model as `{encoder, head}`, the optimizer, and every update. What it recorded lies
in the record of the cell as bytes of files, `recording/NAME`: the folder that `limen dynamics` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from limen.records.errors import BadInput, Problem
from limen.records.observer import StepObserver
from limen.records.stage import StageRecord

FOLDER = "recording/"
"""Where the files of a recording lie among the arrays of a record."""


class Recording(StepObserver, Protocol):
    """An observer that has something to keep when the run is over."""

    def files(self) -> Mapping[str, bytes]:
        """Name → content of every file of the recording."""


def _dynamics(spec: Mapping[str, Any]) -> Recording:
    from limen.study.record_dynamics import DynamicsRecording

    return DynamicsRecording(spec)


RECORDERS: Mapping[str, Callable[[Mapping[str, Any]], Recording]] = {"dynamics": _dynamics}
"""Kind of record → what makes its observer from the spec of a pretrain cell."""


def observers_of(spec: Mapping[str, Any]) -> tuple[Recording, ...]:
    """The observers of the run of a pretrain cell; none where nothing is recorded.

    >>> observers_of({"data": "digits"})
    ()

    Raises BadInput for a kind of record that cannot be made.
    """
    kind = spec.get("record")
    if kind is None:
        return ()
    if kind not in RECORDERS:
        raise BadInput(Problem("record", f'"{kind}" is not available in this version', fix="remove it"))
    return (RECORDERS[kind](spec),)


def recorded(observers: Sequence[Recording]) -> dict[str, NDArray[np.uint8]]:
    """What observers kept, as arrays of a record."""
    return {
        FOLDER + name: np.frombuffer(content, dtype=np.uint8)
        for observer in observers
        for name, content in observer.files().items()
    }


def unpack_recording(record: StageRecord, folder: Path) -> bool:
    """Write the files of a record's recording into `folder`; False where it has none."""
    names = [name for name in record.arrays if name.startswith(FOLDER)]
    for name in names:
        (folder / Path(name).name).write_bytes(np.asarray(record.arrays[name], dtype=np.uint8).tobytes())
    return bool(names)
