"""Segments: one a setting, a schedule is one."""

from __future__ import annotations

from dataclasses import replace

from limen.measure.recorder.segments import with_update
from limen.records.trajectory import OptimizerSettings

SAID = OptimizerSettings("SGD", 0.1, 0.9, 0.0, False, (0.0,), False, False)


def _segments(rates, momenta=None, sizes=None):
    segments = []
    for index, rate in enumerate(rates):
        said = replace(SAID, learning_rate=rate, momentum=momenta[index] if momenta else 0.9)
        with_update(segments, index + 1, said, sizes[index] if sizes else 32)
    return [(s.start, s.stop, s.varying) for s in segments]


def test_a_drop_begins_a_segment():
    assert _segments([0.1] * 100 + [0.01] * 80) == [(1, 100, False), (101, 180, False)]


def test_warm_up_is_one_varying_segment_before_a_constant_one():
    rates = [0.001 * k for k in range(1, 61)] + [0.1] * 100 + [0.05] * 100
    assert _segments(rates) == [(1, 60, True), (61, 160, False), (161, 260, False)]


def test_a_schedule_by_the_step_stays_small():
    assert len(_segments([0.1 / k for k in range(1, 5001)])) <= 2


def test_a_schedule_of_rate_and_momentum_by_the_step_is_one():
    rates = [0.1 / k for k in range(1, 601)]
    momenta = [0.95 - 1e-4 * k for k in range(600)]
    assert _segments(rates, momenta)[0] == (1, 599, True)
    assert len(_segments(rates, momenta)) == 2
    assert len(_segments([0.1] * 600, momenta)) == 2
    assert _segments([0.1] * 200, [0.9] * 100 + [0.5] * 100) == [(1, 100, False), (101, 200, False)]


def test_a_schedule_of_adams_first_beta_is_one():
    segments = []
    for k in range(1, 201):
        said = replace(SAID, name="Adam", momentum=0.95 - 1e-3 * k, dampening=0.95 - 1e-3 * k)
        with_update(segments, k, said, 32)
    assert len(segments) == 2


def test_momentum_and_batch_size_begin_segments_however_short():
    assert len(_segments([0.1] * 20, momenta=[0.9] * 10 + [0.5] * 10)) == 2
    assert _segments([0.1] * 20, sizes=[32] * 5 + [64] * 15) == [(1, 5, False), (6, 20, False)]
