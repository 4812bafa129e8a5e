"""Segments of a run: stretches of updates made under one setting of the optimizer and one batch size.

A learning rate that changes again within 50 updates is a schedule: such stretches become one segment, `varying`.
"""

from __future__ import annotations

from dataclasses import replace

from limen.records.trajectory import OptimizerSettings, RunInfo, Segment

SHORT = 50
"""Updates below which a change of the rate alone counts as a schedule."""


def with_update(segments: list[Segment], step: int, settings: OptimizerSettings, batch_size: int | None) -> bool:
    """Take update `step` into the list; whether it begins a segment that does not continue a schedule.

    >>> said = OptimizerSettings("SGD", 0.1, 0.9, 0.0, False, (0.0,), False, False)
    >>> segments: list[Segment] = []
    >>> [with_update(segments, k, said, 32) for k in (1, 2)]
    [True, False]
    >>> (segments[0].start, segments[0].stop)
    (1, 2)
    """
    if not segments:
        segments.append(Segment(step, step, settings, batch_size, varying=False))
        return True
    last = segments[-1]
    if last.settings == settings and last.batch_size == batch_size:
        segments[-1] = replace(last, stop=step)
        return False
    rate_only = replace(last.settings, learning_rate=settings.learning_rate) == settings and (
        last.batch_size == batch_size
    )
    if rate_only and not last.varying and last.stop - last.start + 1 < SHORT:
        before = segments[-2] if len(segments) > 1 else None
        if before is not None and before.varying and _alike(before, last):
            segments[-2:] = [replace(last, start=before.start, varying=True)]
        else:
            segments[-1] = replace(last, varying=True)
    segments.append(Segment(step, step, settings, batch_size, varying=False))
    return True


def covering(info: RunInfo, done: int) -> tuple[Segment, ...]:
    """The segments of the updates 1 … done; the last also covers rows written just before a kill."""
    held = [replace(segment, stop=min(segment.stop, done)) for segment in info.segments if segment.start <= done]
    if held:
        held[-1] = replace(held[-1], stop=done)
    elif done:
        held = [Segment(1, done, info.optimizer, info.batch_size, varying=False)]
    return tuple(held)


def _alike(a: Segment, b: Segment) -> bool:
    """Whether only the learning rate differs."""
    return a.batch_size == b.batch_size and replace(a.settings, learning_rate=b.settings.learning_rate) == b.settings
