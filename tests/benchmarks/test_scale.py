"""The scale benchmark sees the memory that a process had, mapped pages included, and the line through its points."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from limen.data.embeddings import read_embeddings

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # benchmarks is no part of the package

from benchmarks import scale


def test_the_most_that_was_resident_is_seen_after_it_was_given_back(tmp_path) -> None:
    (tmp_path / "file").write_bytes(bytes(60_000_000))
    code = (
        "import mmap; x = bytearray(120_000_000); x[::4096] = x[::4096]; del x\n"
        f"f = open({str(tmp_path / 'file')!r}, 'rb'); m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)\n"
        "s = sum(m[k] for k in range(0, len(m), 4096)); print('done', flush=True); input()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert scale.high_water(process.pid) > 120_000_000
    process.communicate(b"\n")
    assert scale.high_water(process.pid) == 0


def test_the_line_goes_through_its_points_and_says_how_far_they_are_off() -> None:
    points = [scale.Measured("x", n, 0.0, 3 + 2e-5 * n, 1.0, 0) for n in (100_000, 200_000, 400_000)]
    assert scale.line(points) == "x: processor seconds = 3.0 + 2.00 per 100,000 rows; a point is off it by at most 0%"
    bent = [*points, scale.Measured("x", 800_000, 0.0, 100.0, 1.0, 0)]
    assert not scale.line(bent).endswith("0%")


def test_data_and_both_files_hold_the_same_rows(tmp_path) -> None:
    scale.make(tmp_path, 500, 8, parquet=True)
    a = read_embeddings(tmp_path / "X.npy", label=str(tmp_path / "y.npy"))
    b = read_embeddings(tmp_path / "x.parquet")
    assert np.array_equal(a.features, b.features)
    assert np.array_equal(a.labels, b.labels)
    assert a.features.dtype == np.float32
