"""Segments of a run: stretches of updates made under one setting of the optimizer and one batch size.

A learning rate or a momentum (or both, as under OneCycleLR) that changes again within 50 updates is a schedule: such
stretches become one segment, `varying`.
"""

from __future__ import annotations

from dataclasses import replace

from limen.records.trajectory import OptimizerSettings, RunInfo, Segment

SHORT = 50
"""Updates below which a change of rate and momentum alone counts as a schedule."""


def with_update(segments: list[Segment], step: int, settings: OptimizerSettings, batch_size: int | None) -> bool:
    """Take update `step` into the list; whether its setting is not that of the update before.

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
    scheduled = last.batch_size == batch_size and _alike(last.settings, settings)
    if scheduled and not last.varying and last.stop - last.start + 1 < SHORT:
        before = segments[-2] if len(segments) > 1 else None
        goes_on = before is not None and before.varying and before.batch_size == last.batch_size
        if before is not None and goes_on and _alike(before.settings, last.settings):
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


def _alike(a: OptimizerSettings, b: OptimizerSettings) -> bool:
    """Whether only the learning rate and the momentum differ (of Adam β₁, which is its dampening too)."""
    dampening = b.momentum if a.dampening == a.momentum and a.name != "SGD" else a.dampening
    return replace(a, learning_rate=b.learning_rate, momentum=b.momentum, dampening=dampening) == b
