"""Cost beside gain: the energy of known seconds, paired gains, the options that no cheaper one beats."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from limen.arrays.random import stream
from limen.measure.cost import Option, cost_of, gains_for_cost, measured
from limen.records.cost import Power
from limen.records.errors import BadInput
from limen.records.estimate import Estimate, not_identified


def option(name, seconds, loss, rows=None):
    half = 0.1
    measured_loss = Estimate(loss, loss - half, loss + half, confidence=0.95, grade="statistical")
    return Option(name, cost_of(seconds), measured_loss, rows)


def test_energy_is_the_stated_constants_and_no_more():
    plain = cost_of(3600.0, power=Power(watts_per_core=10.0, overhead=1.0))
    assert plain.kilojoules == pytest.approx(36.0)
    assert cost_of(3600.0).kilojoules == pytest.approx(3600 * 12 * 1.67 / 1000)
    with_memory = cost_of(0.0, 1000.0, 2**31)
    assert with_memory.kilojoules == pytest.approx(1000 * 2 * 0.3725 * 1.67 / 1000)
    assert cost_of(1.0, None, 2**31).kilojoules == cost_of(1.0).kilojoules
    assert "12 W a core" in cost_of(1.0).to_json()["power"]["source"]
    with pytest.raises(BadInput) as caught:
        cost_of(-1.0, float("inf"))
    assert len(caught.value.problems) == 2


def test_seconds_of_this_process_and_of_children_are_counted_and_sleep_is_not():
    with measured() as busy:
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
    with measured() as idle:
        time.sleep(0.2)
    with measured() as child:
        code = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
        subprocess.run([sys.executable, "-c", code], check=True)
    assert busy().cpu_seconds >= 0.15
    assert idle().cpu_seconds < 0.1
    assert idle().wall_seconds >= 0.2
    assert child().cpu_seconds >= 0.25


def test_gains_are_paired_where_rows_are_shared():
    effects = stream("cost rows").standard_normal(200)
    base = option("probe", 10.0, 1.0, effects + 1.0)
    tuned = option("tuned", 3610.0, 0.7, effects + 0.7 + 0.05 * stream("cost noise").standard_normal(200))
    paired = gains_for_cost({"probe": base, "tuned": tuned}, "probe")[1]
    apart = gains_for_cost({"probe": base, "tuned": option("tuned", 3610.0, 0.7)}, "probe")[1]
    assert paired.gain.low < 0.3 < paired.gain.high
    assert paired.gain.high - paired.gain.low < 0.1 * (apart.gain.high - apart.gain.low)
    assert paired.gain_per_cpu_hour.value == pytest.approx(paired.gain.value)
    assert apart.gain.value == pytest.approx(0.3)
    assert apart.gain.high - apart.gain.low == pytest.approx(2 * 0.1 * 2**0.5, rel=1e-6)


def test_efficient_are_those_that_no_cheaper_one_beats():
    options = {
        name: option(name, seconds, loss)
        for name, seconds, loss in (("a", 1, 1.0), ("b", 2, 0.8), ("c", 3, 0.9), ("d", 4, 0.5), ("e", 4, 0.5))
    }
    found = gains_for_cost(options, "a")
    assert [g.name for g in found if g.efficient] == ["a", "b", "d", "e"]
    assert [g.name for g in found] == ["a", "b", "c", "d", "e"]
    assert found[0].gain_per_cpu_hour.state == "not_identified"


def test_an_unknown_loss_gives_no_gain_and_misuse_is_named():
    lost = Option("lost", cost_of(5.0), not_identified("diverged early"))
    found = gains_for_cost({"a": option("a", 1, 1.0), "lost": lost}, "a")[1]
    assert found.gain.state == "not_identified"
    assert not found.efficient
    rows = {"a": option("a", 1, 1.0, np.zeros(3)), "b": option("b", 1, 1.0, np.zeros(4))}
    with pytest.raises(BadInput) as caught:
        gains_for_cost(rows, "z")
    assert len(caught.value.problems) == 2
