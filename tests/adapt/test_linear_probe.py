"""The probe is a scikit-learn estimator, reads memory maps in blocks and says what it was computed with."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from limen.adapt import mapped_rows
from limen.adapt.linear_probe import LinearProbe
from limen.adapt.probe_path import probe_path


@pytest.mark.filterwarnings("ignore")  # the checks themselves warn; ours are errors elsewhere
@parametrize_with_checks([LinearProbe(), LinearProbe(loss="squared")])
def test_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_a_memory_map_gives_the_probe_of_the_array_and_stays_in_its_file(loss, tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    y = draw.integers(0, 3, 12_000)
    x = (draw.normal(size=(12_000, 256)) + np.eye(3, 256)[y]).astype(np.float32)  # 12 MB
    np.save(tmp_path / "x.npy", x)
    held = LinearProbe(radius=2.0, loss=loss).fit(x, y)
    monkeypatch.setattr(mapped_rows, "HELD_BYTES", 100_000)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    probe = LinearProbe(radius=2.0, loss=loss).fit(mapped, y)
    scores = probe.decision_function(mapped)
    maps = Path("/proc/self/smaps").read_text()
    resident = re.search(r"x\.npy\n(?:.*\n)*?Rss: +(\d+) kB", maps)
    assert resident is not None
    assert int(resident[1]) < 4_000, "of the 12,000 kB of the file"
    assert probe.certificate_.gap <= 1e-4
    assert probe.objective_ == pytest.approx(held.objective_, abs=2e-4)
    assert np.allclose(scores, held.decision_function(x), atol=0.05)
    assert (probe.predict(mapped) == held.predict(x)).mean() > 0.999


def test_probes_name_the_threads_and_the_library_they_were_computed_with():
    with threadpool_limits(1, user_api="blas"):
        probes = [LinearProbe().fit([[0.0], [1.0]], [0, 1]), *probe_path([[0.0], [1.0]], [0, 1], penalties=[1.0])]
    for probe in probes:
        assert probe.environment_["threads"] == 1
        assert probe.environment_["blas"]
