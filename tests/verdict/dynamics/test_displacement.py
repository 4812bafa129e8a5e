"""Displacements and exponents beside the laws; which lags have an error."""

from __future__ import annotations

from limen.records.dynamics import Dynamics


def test_displacement_lies_on_the_law_of_the_sampling_and_laws_differ(
    independent: Dynamics, reshuffled: Dynamics
) -> None:
    for found, own in ((independent, "discrete"), (reshuffled, "epoch")):
        z = []
        for lag in found.lags:
            assert set(lag.predicted) == {"discrete", "langevin", "epoch"}
            if lag.measured.low is not None and lag.measured.high is not None and lag.measured.value is not None:
                error = (lag.measured.high - lag.measured.low) / 3.92
                z.append((lag.measured.value - (lag.predicted[own] or 0.0)) / error)
        assert max(abs(x) for x in z) < 4
    late = reshuffled.lags[-1]
    assert (late.predicted["epoch"] or 0) < 0.95 * (late.predicted["discrete"] or 0)


def test_long_lags_have_a_value_and_no_interval(independent: Dynamics) -> None:
    long = [lag for lag in independent.lags if lag.lag > 12_000 / 16]
    assert all(lag.measured.low is None for lag in long)
    assert all(lag.measured.low is not None for lag in independent.lags if lag.lag <= 12_000 / 16)
