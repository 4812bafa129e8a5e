"""Read a recording; needs no torch, works while the run is still going on and after a kill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from limen.measure.recorder.anchors import displacements
from limen.measure.recorder.correlator import Correlator
from limen.measure.recorder.info import read_info
from limen.measure.recorder.scalars import Scalars
from limen.measure.recorder.segments import covering
from limen.measure.recorder.shards import QUARANTINE, read_arrays, read_rows, shards, states
from limen.records.trajectory import NOT_FINITE, SKIPPED, Correlation, RunInfo, Trajectory

Columns = dict[str, np.ndarray]


def read_run(path: str | Path) -> Trajectory:
    """The recording in a folder, without rows of damaged or superseded shards.

    A shard that does not verify is left out and counted in `info.damaged`; nothing is changed on disk.
    Raises BadInput where the folder holds no recording.
    """
    folder = Path(path)
    info = read_info(folder)
    rows, damaged = read_all(folder, "steps", info.resumed)
    sketches, damaged_sketches = read_sketches(folder, info.resumed)
    quarantine = sum(1 for _ in folder.glob(f"*{QUARANTINE}"))
    state, damaged_states = last_state(folder, info.resumed, None)
    count = len(rows["step"])
    codes, last = rows["excluded"], int(rows["step"][-1]) if count else 0
    info = replace(
        info,
        steps=last,
        segments=covering(info, last),
        not_finite=max(info.not_finite, int(np.sum(codes == NOT_FINITE))),
        skipped=max(info.skipped, int(np.sum(codes == SKIPPED))),
        damaged=damaged + _missing(folder, info) + damaged_sketches + damaged_states + quarantine,
    )
    modes = len(info.eigenvalues)
    names = ("step", "loss", "learning_rate", "excluded", *(field.name for field in fields(Scalars)))
    return Trajectory(
        info=info,
        **{name: rows[name] for name in names},
        positions=rows.get("positions", np.zeros((count, modes), dtype=np.float32)),
        velocities=rows.get("velocities", np.zeros((count, modes), dtype=np.float32)),
        sketch_step=sketches["step"],
        sketch=sketches.get("sketch", np.zeros((0, info.sketch_dimension), dtype=np.float32)),
        displacements=displacements(anchor_rows(state)),
        correlations=_correlations(state),
    )


def read_all(folder: Path, kind: str, resumed: Sequence[int]) -> tuple[Columns, int]:
    """Rows of all shards of a kind that still hold, by update; and how many shards are damaged."""
    found: list[Columns] = []
    damaged = 0
    for shard in shards(folder, kind):
        columns = read_rows(folder, shard)
        if columns is None:
            damaged += 1
            continue
        holds = columns["step"] <= last_holding(shard.generation, resumed)
        found.append({name: values[holds] for name, values in columns.items()})
    if not found:
        return dict.fromkeys(("loss", "learning_rate", *(f.name for f in fields(Scalars))), np.zeros(0)) | {
            "step": np.zeros(0, dtype=np.int64),
            "excluded": np.zeros(0, dtype=np.uint8),
        }, damaged
    joined = {name: np.concatenate([columns[name] for columns in found if name in columns]) for name in found[0]}
    order = np.unique(joined["step"], return_index=True)[1]  # a write that failed may have left a sketch twice
    return {name: values[order] for name, values in joined.items()}, damaged


def _missing(folder: Path, info: RunInfo) -> int:
    """Stretches of updates whose row shards are gone: at the begin of a generation, between, at the very end.

    Where a resume follows, the last shards before it may have been lost with the process; that is no damage.
    """
    present = [*shards(folder, "steps"), *shards(folder, "steps", QUARANTINE)]
    gaps = 0
    for generation, begin in enumerate((0, *info.resumed)):
        ends = [begin]
        for shard in sorted((s for s in present if s.generation == generation), key=lambda shard: shard.first):
            gaps += shard.first > ends[-1] + 1
            ends.append(shard.last)
        gaps += generation == len(info.resumed) and info.steps > ends[-1]
    return gaps


def read_sketches(folder: Path, resumed: Sequence[int]) -> tuple[Columns, int]:
    """Sketches that were kept, by update, and how many shards are damaged."""
    parts = [read_all(folder, kind, resumed) for kind in ("sketch", "fine")]
    damaged = sum(count for _, count in parts)
    held = [columns for columns, _ in parts if "sketch" in columns]
    if not held:
        return {"step": np.zeros(0, dtype=np.int64)}, damaged
    joined = {name: np.concatenate([columns[name] for columns in held]) for name in ("step", "sketch")}
    order = np.unique(joined["step"], return_index=True)[1]
    return {name: values[order] for name, values in joined.items()}, damaged


def last_holding(generation: int, resumed: Sequence[int]) -> float:
    """The last update of a generation that no resume has superseded."""
    return min(resumed[generation:], default=np.inf)


def last_state(folder: Path, resumed: Sequence[int], until: int | None) -> tuple[Columns | None, int]:
    """The newest whole state (up to an update) that still holds, and how many are damaged."""
    found: tuple[int, Columns] | None = None
    damaged = 0
    for generation, step, path in states(folder):
        state = read_arrays(path)
        if state is None:
            damaged += 1
        elif step <= last_holding(generation, resumed) and (until is None or step <= until):
            found = max(found, (step, state), key=lambda pair: pair[0]) if found else (step, state)
    return (found[1] if found else None), damaged


def anchor_rows(state: Columns | None) -> list[tuple[int, int, float]]:
    """(birth, lag, squared displacement) of a state."""
    if state is None:
        return []
    return [(int(birth), int(lag), float(value)) for birth, lag, value in state["displacements"]]


def closed_correlations(state: Columns | None) -> list[Correlation]:
    """Correlations of segments that were over."""
    found: list[Correlation] = []
    while state is not None and f"closed-{len(found)}-start" in state:
        prefix = f"closed-{len(found)}-"
        values: dict[str, Any] = {field.name: state[prefix + field.name] for field in fields(Correlation)}
        found.append(Correlation(**{**values, "start": int(values["start"])}))
    return found


def _correlations(state: Columns | None) -> tuple[Correlation, ...]:
    found = closed_correlations(state)
    last = Correlator.from_state(state).result() if state is not None and "correlator" in state else None
    return (*found, last) if last is not None else tuple(found)
