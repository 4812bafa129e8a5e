"""Where a recording is taken up again: the recorded update whose state the restored weights and buffers are.

The products ⟨v, v⟩ and ⟨θ − θ_ref, v⟩ (‖θ − θ_ref‖² where no buffer is kept) of the restored state are compared with
those of every row; rows after the one that fits are superseded, the correlator goes on from its last saved state
through the sketches of the rows between. Where those are gone it begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from limen.measure.recorder.correlator import Correlator
from limen.measure.recorder.info import read_info
from limen.measure.recorder.read import (
    Columns,
    anchor_rows,
    closed_correlations,
    last_holding,
    last_state,
    read_all,
    read_sketches,
)
from limen.measure.recorder.segments import covering
from limen.measure.recorder.shards import quarantined, read_arrays, shards, states
from limen.records.errors import BadInput, Problem
from limen.records.trajectory import (
    NOT_FINITE,
    SKIPPED,
    Correlation,
    Floats,
    OptimizerSettings,
    RunInfo,
    Segment,
)

CLOSE = 1e-6
"""Relative difference of products that are the same but for their summation."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What the restored weights and buffers say."""

    velocity_norm2: float | None
    """None where no buffer is kept."""
    offset_dot_velocity: float | None
    offset_norm2: float
    blank: bool
    """Whether a parameter has no momentum buffer (SGD), no moments or no count of steps (Adam)."""


@dataclass(slots=True)
class TakenUp:
    """A recording as of the update at which it goes on."""

    info: RunInfo
    done: int
    segments: list[Segment]
    state: Columns | None
    """The newest saved state up to `done`."""
    between: Columns
    """Rows after that state, up to `done`."""
    sketches: Columns
    displacements: list[tuple[int, int, float]]
    """Of anchors, up to `done`."""

    @property
    def closed(self) -> list[Correlation]:
        """Correlations of segments that were over."""
        return closed_correlations(self.state)

    @property
    def correlator(self) -> Correlator | None:
        """As saved; None where none is."""
        return Correlator.from_state(self.state) if self.state is not None and "correlator" in self.state else None

    @property
    def saved(self) -> int:
        """Updates that the saved state has seen."""
        return int(self.state["done"]) if self.state is not None else 0

    @property
    def complete(self) -> bool:
        """Whether every update after the saved state has its row and its sketch, and rows hold what they need.

        Nesterov's positions need the momentum of every update: rows of a schedule, which may be one of momentum, do
        not hold it.
        """
        if any(s.varying and s.settings.nesterov and s.stop > self.saved for s in self.segments):
            return False
        wanted = np.arange(self.saved + 1, self.done + 1)
        return np.array_equal(self.between["step"], wanted) and bool(np.isin(wanted, self.sketches["step"]).all())

    def replayed(self) -> Iterator[tuple[int, OptimizerSettings, int | None, int, Floats]]:
        """(step, settings, batch size, excluded, S v) of the updates after the saved state."""
        where = {int(step): row for row, step in enumerate(self.sketches["step"])}
        for row, step in enumerate(self.between["step"].tolist()):
            segment = next(segment for segment in self.segments if segment.start <= step <= segment.stop)
            settings = replace(segment.settings, learning_rate=float(self.between["learning_rate"][row]))
            sketch = self.sketches["sketch"][where[step]].astype(np.float64)
            yield step, settings, segment.batch_size, int(self.between["excluded"][row]), sketch


def take_up(folder: Path, restored: Restored, asked: bool | int, every: int) -> TakenUp:
    """The recording in a folder as of the restored state; damaged shards are set aside and counted.

    `asked` is True, or the number of updates already made where the weights fit no row that was written: at most one
    shard (the longest there is, or `every`) beyond the last. Raises BadInput where no row fits, several do, the row of
    that number does not, or the number is out of reach.
    """
    info = read_info(folder)
    if asked is not True:
        _within_reach(folder, info, asked, every)
    damaged = quarantined(folder)
    rows, _ = read_all(folder, "steps", info.resumed)
    done = _where(rows, restored, asked, str(folder))
    segments = covering(info, done)
    if restored.blank and done and _left_buffers(rows, segments[-1], done):
        what = f"expected the optimizer as it was after {done} updates, got one without its buffers"
        fix = "optimizer.load_state_dict of the same checkpoint, before recording"
        raise BadInput(Problem("optimizer", what, cause="only the model was restored", fix=fix))
    state, _ = last_state(folder, info.resumed, done)
    saved = int(state["done"]) if state is not None else 0
    inside = (rows["step"] > saved) & (rows["step"] <= done)
    return TakenUp(
        info=replace(
            info,
            resumed=(*info.resumed, done),
            damaged=damaged,
            not_finite=_count(rows, done, NOT_FINITE),
            skipped=_count(rows, done, SKIPPED),
            self_tests=tuple(test for test in info.self_tests if test.step <= done),
        ),
        done=done,
        segments=list(segments),
        state=state,
        between={name: values[inside] for name, values in rows.items()},
        sketches=read_sketches(folder, info.resumed)[0],
        displacements=_displacements(folder, info.resumed, done),
    )


def _left_buffers(rows: Columns, segment: Segment, done: int) -> bool:
    """Whether the optimizer must have had buffers after update `done`; skipped first updates leave none."""
    known = rows["velocity_norm2"][rows["step"] == done]
    moved = not len(known) or bool(known[0] > 0)
    return moved and (segment.settings.name != "SGD" or segment.settings.momentum > 0)


def _displacements(folder: Path, resumed: tuple[int, ...], done: int) -> list[tuple[int, int, float]]:
    """(birth, lag, squared displacement) up to `done` of all states, also of later ones: each as far as it holds."""
    found: dict[tuple[int, int], float] = {}
    for generation, _, path in states(folder):
        until = min(done, last_holding(generation, resumed))
        found |= {(birth, lag): value for birth, lag, value in anchor_rows(read_arrays(path)) if birth + lag <= until}
    ordered = sorted(found.items(), key=lambda pair: (sum(pair[0]), pair[0]))
    return [(birth, lag, value) for (birth, lag), value in ordered]


def _count(rows: Columns, done: int, code: int) -> int:
    """Rows up to `done` that are marked so."""
    return int(np.sum((rows["excluded"] == code) & (rows["step"] <= done)))


def _within_reach(folder: Path, info: RunInfo, asked: int, every: int) -> None:
    """Refuse a number of updates beyond what can have been made and lost after the last shard."""
    written = shards(folder, "steps")
    last = max([info.steps, *(shard.last for shard in written)])
    longest = max([every, *(shard.last - shard.first + 1 for shard in written)])
    if asked > last + longest:
        what = f"the recording holds {last:,} updates, resume says that {asked:,} were made"
        cause = f"at most {longest:,} updates, one shard, are lost with a process"
        fix = "resume=True to find the update by the restored weights, or begin another recording"
        raise BadInput(Problem("resume", what, cause=cause, fix=fix))


def _where(rows: Columns, restored: Restored, asked: bool | int, where: str) -> int:
    """The update whose state was restored."""
    fits = rows["step"][_fitting(rows, restored)].tolist()
    last = int(rows["step"][-1]) if len(rows["step"]) else 0
    if restored.offset_norm2 == 0 and restored.velocity_norm2 is None:
        fits = [0]
    if asked is not True:
        if asked in rows["step"] and asked not in fits:
            what = f"the restored weights are not those recorded after {asked} updates"
            fix = f"restore that checkpoint, or resume={fits[0]}" if fits else "restore weights and optimizer"
            raise BadInput(Problem("resume", what, fix=fix))
        return int(asked)
    if len(fits) != 1:
        found = f"{len(fits)} of {len(rows['step'])} recorded updates fit the restored weights and buffers"
        cause = (
            f"the last update written is {last}; later ones were lost with the process"
            if not fits
            else "weights hardly moved"
        )
        fix = "restore model and optimizer before recording, or say resume=<updates already made>"
        raise BadInput(Problem(where, f"expected one recorded state, {found}", cause=cause, fix=fix))
    return int(fits[0])


def _fitting(rows: Columns, restored: Restored) -> np.ndarray:
    """Rows [T] whose products are the restored ones."""
    if restored.velocity_norm2 is None or restored.offset_dot_velocity is None:
        return np.asarray(np.isclose(rows["offset_norm2"], restored.offset_norm2, rtol=CLOSE, atol=0))
    scale = np.sqrt(restored.velocity_norm2 * restored.offset_norm2)
    same = np.isclose(rows["velocity_norm2"], restored.velocity_norm2, rtol=CLOSE, atol=0)
    apart = np.abs(rows["offset_dot_velocity"] - restored.offset_dot_velocity)
    return np.asarray(same & (apart <= CLOSE * scale))
