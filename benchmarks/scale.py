"""Time and memory against the number of rows: a squared-loss budget and a logistic probe of 768 float32 features.

    python benchmarks/scale.py [--rows 100000 200000 ...] [--what budget-npy probe ...] [--folder DIR] [--features 768]

Makes its own data (Gaussian classes in a power-law spectrum, labels beside) in a temporary folder, or in DIR, removed
at the end. Every measurement is a process of its own with one BLAS thread per worker; its memory is VmHWM, the most it
ever had resident, mapped files included. Prints a Markdown table and the line processor seconds = a + b·n through the
points of each kind (seconds on the clock depend on what else runs); exits 1 where a process exceeded --memory gigabytes
(default 4) or failed.

    budget-npy      limen budget X.npy --label y.npy --loss squared
    budget-parquet  limen budget x.parquet --loss squared
    probe           limen.LinearProbe(radius=8).fit(np.load("X.npy", mmap_mode="r"), y)
    path            limen.probe_path(np.load("X.npy", mmap_mode="r"), y, penalties=[0.1, 0.01])
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BLOCK = 16_384
CLASSES = 10
FITTED = {
    "probe": "fit = limen.LinearProbe(radius=8.0).fit(X, y).certificate_; print(fit.loss, fit.gap)",
    "path": "print([p.certificate_.gap for p in limen.probe_path(X, y, penalties=[0.1, 0.01])])",
}
BUDGET = ["--loss", "squared", "--json", "--quiet"]


@dataclass(frozen=True)
class Measured:
    """One process: what it did, over how many rows; seconds of the clock and of processors, memory, how it ended."""

    what: str
    rows: int
    clock: float
    seconds: float
    gigabytes: float
    status: int


def make(folder: Path, rows: int, features: int, parquet: bool) -> None:
    """X.npy and y.npy, and the same as x.parquet."""
    draw = np.random.default_rng(rows)
    scale = (1 + np.arange(features)) ** -0.5
    means = np.random.default_rng(0).normal(size=(CLASSES, features)) * scale * 0.35
    labels = draw.integers(0, CLASSES, rows)
    matrix = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (rows, features))
    for start in range(0, rows, BLOCK):
        y = labels[start : start + BLOCK]
        noise = draw.standard_normal((len(y), features), dtype=np.float32)
        matrix[start : start + BLOCK] = noise * scale.astype(np.float32) + means[y].astype(np.float32)
    matrix.flush()
    del matrix
    np.save(folder / "y.npy", labels)
    if parquet:
        _parquet(folder, labels)


def _parquet(folder: Path, labels: np.ndarray) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    matrix = np.load(folder / "X.npy", mmap_mode="r")
    kind = pa.list_(pa.float32(), matrix.shape[1])
    with pq.ParquetWriter(folder / "x.parquet", pa.schema({"X": kind, "label": pa.int64()}), compression="none") as to:
        for start in range(0, len(labels), BLOCK):
            block = pa.FixedSizeListArray.from_arrays(np.array(matrix[start : start + BLOCK]).ravel(), matrix.shape[1])
            to.write_table(pa.table({"X": block, "label": labels[start : start + BLOCK]}))


def command(what: str, folder: Path) -> list[str]:
    """What runs in the process."""
    limen = [sys.executable, "-m", "limen", "budget"]
    if what == "budget-npy":
        return [*limen, str(folder / "X.npy"), "--label", str(folder / "y.npy"), *BUDGET]
    if what == "budget-parquet":
        return [*limen, str(folder / "x.parquet"), *BUDGET]
    load = f"X = np.load({str(folder / 'X.npy')!r}, mmap_mode='r'); y = np.load({str(folder / 'y.npy')!r})"
    return [sys.executable, "-c", f"import numpy as np, limen; {load}; {FITTED[what]}"]


def measured(what: str, rows: int, folder: Path) -> Measured:
    """Run one process to its end and watch its largest resident size."""
    pinned = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    begun, most = time.perf_counter(), 0
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command(what, folder), stdout=out, env={**os.environ, **pinned})
        while True:
            most = max(most, high_water(process.pid))
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(0.05)
    clock, spent = time.perf_counter() - begun, used.ru_utime + used.ru_stime
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measured(what, rows, clock, spent, most / 1e9, process.returncode)


def high_water(pid: int) -> int:
    """VmHWM of a process in bytes; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def line(points: list[Measured]) -> str:
    """Least squares line through processor seconds, and the largest distance of a point from it."""
    n, seconds = np.array([p.rows for p in points]), np.array([p.seconds for p in points])
    slope, start = np.polyfit(n, seconds, 1)
    off = float(np.abs(start + slope * n - seconds).max() / seconds.max())
    said = f"processor seconds = {start:.1f} + {1e5 * slope:.2f} per 100,000 rows"
    return f"{points[0].what}: {said}; a point is off it by at most {off:.0%}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 200_000, 400_000, 1_000_000])
    parser.add_argument("--what", nargs="+", default=["budget-npy", "budget-parquet", "probe"],
                        choices=["budget-npy", "budget-parquet", *FITTED])  # fmt: skip
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--memory", type=float, default=4.0)
    parser.add_argument("--folder", type=Path, default=None)
    asked = parser.parse_args()
    found = []
    head = f"{asked.features} features, {CLASSES} classes"
    print(f"| {head} | rows | seconds | processor seconds | peak resident GB | status |")
    print("|---|---|---|---|---|---|", flush=True)
    if asked.folder is not None:
        asked.folder.mkdir(parents=True, exist_ok=True)
    for rows in asked.rows:
        with tempfile.TemporaryDirectory(dir=asked.folder) as name:
            make(Path(name), rows, asked.features, "budget-parquet" in asked.what)
            for what in asked.what:
                one = measured(what, rows, Path(name))
                found.append(one)
                figures = f"{one.clock:.0f} | {one.seconds:.0f} | {one.gigabytes:.2f} | {one.status}"
                print(f"| {what} | {rows:,} | {figures} |", flush=True)
    for what in asked.what if len(asked.rows) > 1 else []:
        print(line([one for one in found if one.what == what]))
    return int(any(one.status or one.gigabytes > asked.memory for one in found))


if __name__ == "__main__":
    sys.exit(main())
