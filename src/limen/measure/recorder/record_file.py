"""Rows into files: counts, segments, correlator, shards, run.json."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from limen.measure.recorder.correlator import Correlator
from limen.measure.recorder.info import to_document
from limen.measure.recorder.observation import NONE, Observation, Observed
from limen.measure.recorder.rows import Row, Rows
from limen.measure.recorder.segments import with_update
from limen.measure.recorder.shards import states, write_arrays, write_json
from limen.records.trajectory import (
    NOT_FINITE,
    SKIPPED,
    Correlation,
    Floats,
    OptimizerSettings,
    RunInfo,
    Segment,
)

STATES_KEPT = 2


class RecordFile:
    """The folder of one recording, from some update on."""

    def __init__(self, folder: Path, info: RunInfo, observation: Observation, every: int) -> None:
        self.folder = folder
        self.every = every
        self.generation = len(info.resumed)
        self.done = self.durable = info.steps
        self.segments: list[Segment] = list(info.segments)
        self.correlator: Correlator | None = None
        self.closed: list[Correlation] = []
        self._info = info
        self._observation = observation
        self._rows = Rows()
        self._track = np.zeros((2, info.sketch_dimension))
        """S(θ − θ_ref) and S b of the last row."""

    @property
    def batch_size(self) -> int | None:
        """Examples of one update where nothing else is said."""
        return self._info.batch_size

    def add(self, observed: Observed, loss: float, batch_size: int | None) -> None:
        """One more row; every `every` rows they become a shard."""
        self.done += 1
        self.advance(self.done, observed, batch_size)
        if observed.excluded == NOT_FINITE:
            self._info = replace(self._info, not_finite=self._info.not_finite + 1)
        if observed.excluded == SKIPPED:
            self._info = replace(self._info, skipped=self._info.skipped + 1)
        sketch = None if observed.velocity is None else observed.velocity.astype(np.float32)
        rate = observed.settings.learning_rate
        self._rows.add(Row(self.done, loss, rate, observed.scalars, observed.excluded, sketch))
        self._info = replace(self._info, optimizer=observed.settings)
        if len(self._rows) >= self.every:
            self.flush(ended=False)

    def advance(self, step: int, observed: Observed, batch_size: int | None) -> None:
        """Segments and correlator with one more update (also when rows are replayed)."""
        fresh = with_update(self.segments, step, observed.settings, batch_size)
        if fresh or self.correlator is None:
            self._close_correlator()
            self.correlator = Correlator(step - 1, self._info.sketch_dimension)
        if observed.excluded != SKIPPED and observed.position is not None and observed.velocity is not None:
            # also where only the loss is no number: the update was made
            self.correlator.add(observed.position, observed.velocity)
            self._track = np.stack([observed.position, -observed.velocity])

    def flush(self, *, ended: bool) -> None:
        """Everything so far into durable files: sketches, rows, state, run.json, in this order."""
        if len(self._rows):
            seen = self._observation
            if seen.check() and seen.done == self.done:
                self._track[0] = seen.track.position
            projections = self._observation.tools.projections
            empty = np.zeros((len(self._rows), 0))
            count = len(self._rows)
            modes = (empty, empty) if projections is None else projections.first(count)
            self._rows.write(self.folder, self.generation, modes)
            if projections is not None:  # not before the write has succeeded
                projections.drop(count)
            self.save_state()
        self._info = replace(
            self._info,
            steps=self.done,
            segments=tuple(self.segments),
            self_tests=tuple(self._observation.self_tests),
            ended=ended,
        )
        write_json(self.folder / "run.json", to_document(self._info))
        self.durable = self.done

    def save_state(self) -> None:
        """What a reader and a resume need beside the rows; older states go."""
        state: dict[str, np.ndarray] = {
            "done": np.array(self.done),
            "displacements": np.array(self._observation.tools.anchors.rows, dtype=np.float64).reshape(-1, 3),
            "track": self._track,
        }
        if self.correlator is not None:
            state |= self.correlator.state()
        for index, correlation in enumerate(self.closed):
            for field in fields(Correlation):
                state[f"closed-{index}-{field.name}"] = np.asarray(getattr(correlation, field.name))
        write_arrays(self.folder / f"state-{self.generation:03d}-{self.done:09d}.npz", state)
        for _, _, path in states(self.folder)[:-STATES_KEPT]:
            path.unlink()

    def _close_correlator(self) -> None:
        result = self.correlator.result() if self.correlator is not None else None
        if result is not None:
            self.closed.append(result)


def replayed(settings: OptimizerSettings, excluded: int, position: Floats, velocity: Floats) -> Observed:
    """A recorded update as it was observed, for the correlator."""
    return Observed(settings, NONE, excluded, position, velocity)
