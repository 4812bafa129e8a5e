"""Before the first recorded update: what is checked, what is allocated, what is read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from limen.measure.recorder.anchors import PLACES, Anchors
from limen.measure.recorder.asked import Asked
from limen.measure.recorder.flat import Array, FlatParameters
from limen.measure.recorder.forecast import Forecast, forecast
from limen.measure.recorder.info import read_info
from limen.measure.recorder.observation import Instruments, Observation
from limen.measure.recorder.projections import HELD, MOST_MODES, Projections, basis_of, fingerprint
from limen.measure.recorder.record_file import RecordFile, replayed
from limen.measure.recorder.shards import write_vector
from limen.measure.recorder.sketch import CountSketch
from limen.measure.recorder.take_up import Restored, TakenUp, take_up
from limen.measure.recorder.track import LinearTrack, drift_allowed
from limen.measure.recorder.trained import Trained, trained
from limen.measure.recorder.update_rule import FROZEN, kind_of, settings_of
from limen.pretrain.samplers import SAMPLINGS
from limen.records.errors import BadInput, Problem
from limen.records.trajectory import SKIPPED, Floats, RunInfo, SelfTest

LEAST_SKETCH = 64
INHERITED = ("batch_size", "sampling", "examples")
"""What a resumed recording goes on with, unless told the same again."""


@dataclass(slots=True)
class Start:
    """A recording that may begin."""

    optimizer: Any
    kind: str
    trained: Trained
    weights: FlatParameters
    folder: Path
    asked: Asked
    forecast: Forecast
    identities: list[int]
    """Of the parameters that the optimizer trains, in its order, when recording began."""

    def opened(self) -> tuple[Observation, RecordFile]:
        """Everything in place for the next update; reads back what is resumed. Raises BadInput."""
        asked = self.asked
        sketch = CountSketch(self.weights.sizes, asked.sketch, asked.seed)
        basis, values = (None, ()) if asked.modes is None else basis_of(asked.modes, self.trained.names, self.weights)
        modes = (values, fingerprint(basis))
        if asked.resume is not False:
            reference = self._reference(modes)
            restored = self._restored(reference, sketch)
            earlier: TakenUp | None = take_up(self.folder, restored, asked.resume, asked.every)
        else:
            reference, earlier = self.weights.copy(), None
            self.folder.mkdir(parents=True, exist_ok=True)
            write_vector(self.folder / "reference.npy", reference)
        places = PLACES[asked.mode]
        tools = Instruments(
            self.weights,
            reference,
            sketch,
            None if basis is None else Projections(basis, self.weights, HELD[asked.mode]),
            Anchors(self.weights, reference, places, asked.sketch),
        )
        done = 0 if earlier is None else earlier.done
        observation = Observation(tools, self.kind, len(self.optimizer.param_groups), asked.every, done)
        self._begin_tracks(observation)
        info = self._info(modes) if earlier is None else earlier.info
        file = RecordFile(self.folder, info, observation, asked.every)
        if earlier is not None:
            self._go_on(observation, file, earlier)
        file.flush(ended=False)
        if earlier is not None:
            file.save_state()  # states that were superseded hold no more
        return observation, file

    def _begin_tracks(self, observation: Observation) -> None:
        """What tracks know besides a position of 0: buffers of a run under way; Sθ_ref, Uᵀθ_ref for decoupled decay."""
        if self.kind != "SGD":
            return
        said, tools, buffers = settings_of(self.optimizer, self.kind), observation.tools, self._buffers()
        tracks: list[tuple[LinearTrack, Callable[[list[Array]], Floats]]] = [(observation.track, tools.sketch.of)]
        if tools.projections is not None:
            basis = tools.projections.of
            tracks.append((tools.projections.track, lambda arrays: basis(np.concatenate(arrays)[None])[:, 0]))
        for track, seen in tracks:
            if said.decoupled:
                track.reference = seen(tools.reference)
            if said.nesterov and buffers is not None:
                track.buffer = seen(buffers)

    def _info(self, modes: tuple[tuple[float, ...], str]) -> RunInfo:
        asked = self.asked
        return RunInfo(
            optimizer=settings_of(self.optimizer, self.kind),
            batch_size=asked.batch_size,
            sampling=asked.sampling,
            examples=asked.examples,
            parameters=self.weights.total,
            left_out=self.trained.left_out,
            approximate="" if self.kind == "SGD" else FROZEN,
            segments=(),
            sketch_dimension=asked.sketch,
            sketch_seed=asked.seed,
            eigenvalues=modes[0],
            steps=0,
            not_finite=0,
            skipped=0,
            damaged=0,
            resumed=(),
            ended=False,
            self_tests=(),
            basis=modes[1],
        )

    def _reference(self, modes: tuple[tuple[float, ...], str]) -> list[Array]:
        """θ_ref of the recording that is resumed."""
        info = read_info(self.folder)
        pairs: tuple[tuple[str, object, object], ...] = (
            ("parameters", info.parameters, self.weights.total),
            ("optimizer", info.optimizer.name, self.kind),
            ("sketch", info.sketch_dimension, self.asked.sketch),
            ("seed", info.sketch_seed, self.asked.seed),
            ("modes", len(info.eigenvalues), len(modes[0])),
        )
        facts = [(name, getattr(info, name), getattr(self.asked, name)) for name in INHERITED]
        pairs += tuple(fact for fact in facts if fact[2] is not None)
        problems = [
            Problem(
                name,
                f"expected {then} as in the recording that is resumed, got {now}",
                fix="leave it out; run.step(loss, batch_size=…) where batches change" if name in INHERITED else "",
            )
            for name, then, now in pairs
            if then != now
        ]
        if len(info.eigenvalues) == len(modes[0]) and (info.eigenvalues, info.basis) != modes:
            what = "expected the modes of the recording that is resumed, got others of the same number"
            fix = "give the curvature that the recording began with, or begin another recording"
            problems.append(Problem("modes", what, cause="the curvature was measured anew", fix=fix))
        try:
            block = np.load(self.folder / "reference.npy", allow_pickle=False)
        except (OSError, ValueError):
            problems.append(Problem(str(self.folder / "reference.npy"), "expected the weights at the start, got none"))
        if problems:
            raise BadInput(problems)
        return self.weights.held(self.weights.split(block))

    def _buffers(self) -> list[Array] | None:
        """Momentum buffers of the restored optimizer; None where it has none."""
        state = [self.optimizer.state.get(parameter, {}) for parameter in self.weights.parameters]
        held = [entry.get("momentum_buffer") for entry in state]
        return None if any(buffer is None for buffer in held) else self.weights.views(held)

    def _blank(self) -> bool:
        """Whether the optimizer lacks what it would hold after an update (with momentum, for SGD)."""
        wanted = {"momentum_buffer"} if self.kind == "SGD" else {"exp_avg", "exp_avg_sq", "step"}
        state = [self.optimizer.state.get(parameter, {}) for parameter in self.weights.parameters]
        return any(entry.get(name) is None for entry in state for name in wanted)

    def _restored(self, reference: list[Array], sketch: CountSketch) -> Restored:
        """Products of the restored state, summed as recording sums them."""
        now, buffers = self.weights.views(self.weights.parameters), self._buffers()
        offset2 = buffer2 = offset_buffer = 0.0
        for stretch in sketch.stretches:
            index, where = stretch.parameter, stretch.where
            offset = now[index][where] - reference[index][where]
            offset2 += float(offset.dot(offset))
            if buffers is not None:
                buffer2 += float(buffers[index][where].dot(buffers[index][where]))
                offset_buffer += float(offset.dot(buffers[index][where]))
        if buffers is None:
            return Restored(None, None, offset2, self._blank())
        return Restored(buffer2, -offset_buffer, offset2, self._blank())

    def _go_on(self, observation: Observation, file: RecordFile, earlier: TakenUp) -> None:
        """Tracks anew from the restored weights; the correlator through the rows since its state."""
        tools = observation.tools
        now = self.weights.views(self.weights.parameters)
        offset = [a - b for a, b in zip(now, tools.reference, strict=True)]
        buffers = self._buffers()
        anew = tools.sketch.of(offset)
        seen = observation.track.reference
        observation.track = LinearTrack(anew, None if buffers is None else tools.sketch.of(buffers), seen)
        observation.self_tests = list(earlier.info.self_tests)
        if tools.projections is not None:
            position = tools.projections.anew(tools.reference)
            held = None if buffers is None else tools.projections.of(np.concatenate(buffers)[None])[:, 0]
            tools.projections.track = LinearTrack(position, held, tools.projections.track.reference)
        tools.anchors.rows = earlier.displacements
        file.done = earlier.done
        if earlier.complete:
            self._replay(observation, file, earlier, anew)
        else:
            file.segments = earlier.segments
            known = earlier.correlator.result() if earlier.correlator is not None else None
            file.closed = earlier.closed if known is None else [*earlier.closed, known]

    def _replay(self, observation: Observation, file: RecordFile, earlier: TakenUp, anew: Floats) -> None:
        """Feed the correlator with what was recorded after its state."""
        file.correlator, file.closed = earlier.correlator, earlier.closed
        saved = int(earlier.state["done"]) if earlier.state is not None else 0
        file.segments = [segment for segment in earlier.segments if segment.start <= saved]
        if file.segments:
            last = file.segments[-1]
            file.segments[-1] = replace(last, stop=min(last.stop, saved))
        track = LinearTrack(np.zeros(self.asked.sketch), None, observation.track.reference)
        if earlier.state is not None:
            position, buffer = earlier.state["track"]
            track = LinearTrack(position, buffer, observation.track.reference)
        path, steps = 0.0, 0
        for step, settings, batch_size, excluded, velocity in earlier.replayed():
            before = track.position
            if excluded != SKIPPED:
                track.moved(-velocity, settings)
            path += float(np.linalg.norm(track.position - before))
            steps += 1
            file.advance(step, replayed(settings, excluded, track.position, velocity), batch_size)
        apart = float(np.linalg.norm(track.position - anew))
        allowed = drift_allowed(path, observation.weights_norm(), max(steps, file.done))
        observation.self_tests.append(SelfTest(file.done, "resume", apart, allowed))


def started(model: Any, optimizer: Any, folder: Path, asked: Asked) -> Start:
    """Everything checked, nothing allocated yet. Raises BadInput with all problems."""
    problems = [*_of_options(asked), *_of_folder(folder, asked)]
    try:
        kind = kind_of(optimizer)
    except BadInput as error:
        raise BadInput([*problems, *error.problems]) from None
    for check in (lambda: settings_of(optimizer, kind), lambda: trained(model, optimizer)):
        try:
            check()
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)
    chosen = trained(model, optimizer)
    weights = FlatParameters(chosen.parameters, chosen.groups)
    expected = _forecast(weights, asked)
    allowed = psutil.virtual_memory().available if asked.memory is None else asked.memory
    if expected.memory > allowed:
        what = f"recording takes {expected}; allowed are {allowed / 1e6:,.0f} MB"
        raise BadInput(Problem("memory", what, fix='mode="lean", fewer modes, or a larger memory='))
    if asked.modes is not None:
        basis_of(asked.modes, chosen.names, weights)
    return Start(optimizer, kind, chosen, weights, folder, asked, expected, identities(optimizer))


def foretold(model: Any, optimizer: Any, asked: Asked) -> Forecast:
    """What recording takes, for a process that does not record itself: nothing of its folder or memory is looked at.

    Raises BadInput where options or parameters are wrong.
    """
    problems = _of_options(asked)
    if problems:
        raise BadInput(problems)
    chosen = trained(model, optimizer)
    return _forecast(FlatParameters(chosen.parameters, chosen.groups), asked)


def _forecast(weights: FlatParameters, asked: Asked) -> Forecast:
    modes = 0 if asked.modes is None else len(asked.modes.eigenvalues)
    return forecast(weights.total, weights.dtype.itemsize, modes, asked.mode, (asked.sketch, asked.every))


def identities(optimizer: Any) -> list[int]:
    """Of the parameters that an optimizer trains now, in its order."""
    groups = optimizer.param_groups
    return [id(parameter) for group in groups for parameter in group["params"] if parameter.requires_grad]


def _of_options(asked: Asked) -> list[Problem]:
    problems = []
    if asked.mode not in PLACES:
        problems.append(Problem("mode", f"expected full or lean, got {asked.mode!r}"))
    modes = 0 if asked.modes is None else len(asked.modes.eigenvalues)
    if modes > MOST_MODES.get(asked.mode, modes):
        most = MOST_MODES[asked.mode]
        problems.append(Problem("modes", f'expected at most {most} with mode="{asked.mode}", got {modes}'))
    if asked.sketch < LEAST_SKETCH:
        problems.append(Problem("sketch", f"expected at least {LEAST_SKETCH} numbers, got {asked.sketch}"))
    if asked.sampling is not None and asked.sampling not in SAMPLINGS:
        problems.append(Problem("sampling", f"expected one of {', '.join(SAMPLINGS)}, got {asked.sampling!r}"))
    for name, count in (("batch_size", asked.batch_size), ("examples", asked.examples)):
        if count is not None and count < 1:
            problems.append(Problem(name, f"expected at least 1, got {count}"))
    if asked.every < 1:
        problems.append(Problem("every", f"expected at least 1 update a shard, got {asked.every}"))
    if not _whole(asked.resume):
        what = f"expected True, False or a number of updates (0, 1, 2, …), got {asked.resume!r}"
        problems.append(Problem("resume", what))
    return problems


def _whole(resume: Any) -> bool:
    """Whether `resume` is True, False or a count."""
    return isinstance(resume, int) and resume >= 0


def _of_folder(folder: Path, asked: Asked) -> list[Problem]:
    problems = []
    if asked.resume is False and (folder / "run.json").exists():
        fix = "resume=True to go on with it, or another folder"
        problems.append(Problem(str(folder), "expected no recording there, found one", fix=fix))
    if _whole(asked.resume) and asked.resume is not False and not (folder / "run.json").exists():
        problems.append(Problem(str(folder), "expected a recording to resume, found none", fix="resume=False"))
    return problems
