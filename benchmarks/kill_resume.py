"""Is a study that was killed three times the same, bit for bit, as one that was left alone?

    python benchmarks/kill_resume.py                                         # a small study on bundled digits
    python benchmarks/kill_resume.py --study studies/banking77-emotion.toml --data DIR

Runs the study twice in fresh folders, each with its own cache. The first run is left alone. In the second the
coordinator is sent SIGKILL, with its process group, at three random moments; the same command resumes. Then compares
every published array and every number of every budget and comparison, looks whether anything published was written
again (inode and time of its manifest), and times a further run, which has nothing to do. Prints a Markdown table and
leaves with exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

DIGITS = """\
name = "digits"

[encoder.pixels]
source = "pixels"

[encoder.random]
source = "random-features"
input = "image"
dimension = 96

[task.digits]
train = "digits:train"
test = "digits:test"
input = "image"

[adapt]
methods = ["linear-probe", "mean-classifier"]
labels = [50, 100, 200, 400, 800, "all"]
seeds = 5
"""
NOISE = ("seconds", "environment", "wall_seconds", "cpu_seconds", "at")
"""Keys of a document that name time and place, not results."""


@dataclass
class Place:
    """A study in a folder of its own, and how to run it."""

    folder: Path
    study: Path
    data: Path | None
    workers: int
    log: list[str] = field(default_factory=list)

    @property
    def runs(self) -> Path:
        return self.folder / "store" / "runs"

    def start(self) -> subprocess.Popen[bytes]:
        where = [] if self.data is None else ["--data", str(self.data)]
        options = ["--store", str(self.folder / "store"), "--workers", str(self.workers), "--yes", "--json", *where]
        environment = os.environ | {"LIMEN_CACHE": str(self.folder / "cache")}
        output, errors = ((self.folder / name).open("wb") for name in ("out.json", "err.txt"))
        command = [sys.executable, "-m", "limen", "run", str(self.study), *options]
        return subprocess.Popen(command, stdout=output, stderr=errors, env=environment, start_new_session=True)

    def finish(self) -> tuple[dict[str, Any], float]:
        """Run to the end: the document and the seconds."""
        begun = time.perf_counter()
        process = self.start()
        code = process.wait()
        seconds = time.perf_counter() - begun
        if code != 0:
            sys.exit(f"limen run left with {code}: {(self.folder / 'err.txt').read_text()[-2000:]}")
        return json.loads((self.folder / "out.json").read_text()), seconds

    def kill_after(self, seconds: float) -> bool:
        """Start, wait, SIGKILL the coordinator's process group; False if it had ended before."""
        process = self.start()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        return False

    def published(self) -> dict[str, tuple[int, int]]:
        """Key → inode and time of the manifest of every published result."""
        found = {}
        for manifest in self.runs.glob("[!.]*/MANIFEST.json"):
            facts = manifest.stat()
            found[manifest.parent.name] = (facts.st_ino, facts.st_mtime_ns)
        return found


def main() -> int:
    """Run, kill, resume, compare, print."""
    asked = arguments()
    folder = Path(tempfile.mkdtemp(prefix="kill-resume-", dir=asked.scratch))
    try:
        left_alone, killed = (place(folder / name, asked) for name in ("left-alone", "killed"))
        alone, alone_seconds = left_alone.finish()
        moments, redone, resumed = interrupted(killed, alone_seconds, random.Random(asked.seed), asked.kills)
        spent = cpu_seconds()
        again, again_seconds = killed.finish()
        spent = cpu_seconds() - spent
        arrays, different = compare_arrays(left_alone.runs, killed.runs)
        numbers, other = compare_numbers(results(alone), results(resumed))
        _, third = compare_numbers(results(alone), results(again))
        further = f"{again['cached']} cached / {again['run']} run in {again_seconds:.1f} s, {spent:.1f} s of CPU"
        lines = [
            ("cells of the study", len(left_alone.published())),
            ("seconds of the run left alone", f"{alone_seconds:.0f}"),
            ("SIGKILL after seconds (published by then)", ", ".join(f"{s:.1f} ({n})" for s, n in moments)),
            ("published results written again", redone),
            ("published arrays compared, different", f"{arrays}, {different}"),
            ("numbers of budgets and comparisons compared, different", f"{numbers}, {other + third}"),
            ("a further `limen run`", further),
        ]
        print("| what | measured |\n|---|---|")
        print("\n".join(f"| {name} | {value} |" for name, value in lines))
        sound = redone == different == other == third == again["run"] == 0 and spent < asked.limit
        return int(not sound)
    finally:
        if asked.scratch is None:
            shutil.rmtree(folder, ignore_errors=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="study file; without it a small one on bundled digits")
    parser.add_argument("--data", type=Path, help="its data folder")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--limit", type=float, default=5.0, help="most CPU-seconds of a run that has nothing to do")
    parser.add_argument("--scratch", type=Path, help="folder in which to leave both stores, else removed")
    return parser.parse_args()


def place(folder: Path, asked: argparse.Namespace) -> Place:
    folder.mkdir()
    study = folder / "study.toml"
    study.write_text(DIGITS if asked.study is None else asked.study.read_text("utf-8"), encoding="utf-8")
    return Place(folder, study, None if asked.data is None else asked.data.absolute(), asked.workers)


def interrupted(
    killed: Place, seconds: float, draw: random.Random, kills: int = 3
) -> tuple[list[tuple[float, int]], int, dict[str, Any]]:
    """Kill `kills` times at moments uniform over a third of the undisturbed time each, then run to the end.

    Returns (seconds, results published by then) of every kill, how many published results were written again, and the
    document of the run that ended.
    """
    moments: list[tuple[float, int]] = []
    redone, known = 0, killed.published()
    while len(moments) < kills:
        after = draw.uniform(0.05, 0.95) * seconds / kills
        if not killed.kill_after(after):
            sys.exit("the study ended before it could be killed: take a longer one")
        now = killed.published()
        redone += sum(now.get(key) != mark for key, mark in known.items())
        known = now
        moments.append((after, len(known)))
    document, _ = killed.finish()
    now = killed.published()
    return moments, redone + sum(now.get(key) != mark for key, mark in known.items()), document


def compare_arrays(left: Path, right: Path) -> tuple[int, int]:
    """Files of arrays under both folders, and how many differ in a byte or are in one only."""
    names = [{str(f.relative_to(root)) for f in root.glob("[!.]*/*") if array_file(f)} for root in (left, right)]
    both = names[0] & names[1]
    different = len(names[0] ^ names[1])
    for name in both:
        if name.endswith(".npy"):
            one, other = (np.load(root / name, mmap_mode="r", allow_pickle=False) for root in (left, right))
            different += one.dtype != other.dtype or one.shape != other.shape or one.tobytes() != other.tobytes()
        else:
            different += (left / name).read_bytes() != (right / name).read_bytes()
    return len(names[0] | names[1]), different


def cpu_seconds() -> float:
    """CPU time of all processes started so far that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def array_file(path: Path) -> bool:
    return path.suffix in (".npy", ".safetensors")


def results(document: dict[str, Any]) -> Any:
    """Budgets and comparisons of a run's document."""
    return {key: document[key] for key in ("budgets", "comparisons")}


def compare_numbers(one: Any, other: Any) -> tuple[int, int]:
    """Leaves of two documents, and how many differ; floats are compared by their shortest exact form."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [key for key in one.keys() | other.keys() if key not in NOISE]
        parts = [compare_numbers(one.get(key, "absent"), other.get(key, "absent")) for key in keys]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        parts = [compare_numbers(a, b) for a, b in zip(one, other, strict=True)]
    else:
        return 1, int(json.dumps(one) != json.dumps(other))
    return sum(n for n, _ in parts), sum(d for _, d in parts)


if __name__ == "__main__":
    sys.exit(main())
