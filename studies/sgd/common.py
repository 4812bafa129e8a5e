"""What the recipes share: where parts of a run are kept, tables, CIFAR-10, one trained network and its continuations.

A recipe is a list of parts. Each part is a pure function of its settings and leaves a JSON file or a recording under
`--into`; a finished part is read back, an unfinished one is begun anew. So a recipe that was killed goes on where it
stopped, and other settings never meet old results.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.images import decode_images
from limen.data.tables import read_table

CIFAR = "cifar10"
NORMAL = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recipe keeps its parts, and the folder that holds `cifar10/train.parquet` and `test.parquet`."""

    into: Path
    data: Path | None = None

    def part(self, name: str, settings: Any, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The plain data of one part: read back where these settings have finished, else computed and kept."""
        asked = plain(settings)
        file = self.into / f"{name}-{_tag(asked)}.json"
        if file.exists():
            return dict(json.loads(file.read_text())["result"])
        begun = time.perf_counter()
        result = plain(compute())
        whole = {"settings": asked, "seconds": time.perf_counter() - begun, "commit": commit(), "result": result}
        _write(file, json.dumps(whole, indent=1, allow_nan=False).encode())
        return dict(result)

    def folder(self, name: str, settings: Any) -> Path:
        """The folder of a part that is no JSON."""
        return self.into / f"{name}-{_tag(plain(settings))}"


@dataclass
class Report:
    """A recipe's result: tables, and sentences computed from them."""

    title: str
    blocks: list[str] = field(default_factory=list)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> None:
        """Add a Markdown table; numbers are shown to four digits."""
        lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
        self.blocks.append((f"{caption}\n\n" if caption else "") + "\n".join(lines))

    def say(self, *sentences: str) -> None:
        """Add sentences."""
        self.blocks.append(" ".join(sentences))

    def text(self) -> str:
        """The whole as Markdown."""
        return f"## {self.title}\n\n" + "\n\n".join(self.blocks) + "\n"


def cell(value: Any) -> str:
    """A value in a table: four digits, `–` for none, an (low, high) pair as an interval.

    >>> cell(0.123456), cell(None), cell((1.0, 2.5)), cell("iid"), cell(12)
    ('0.1235', '–', '1 … 2.5', 'iid', '12')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, tuple):
        return " … ".join(cell(part) for part in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def ratio(measured: float | None, predicted: float | None) -> float | None:
    """measured/predicted, None where either is missing or the prediction is 0."""
    return None if measured is None or not predicted else measured / predicted


def z_of(measured: float, error: float, predicted: float) -> float | None:
    """(measured − predicted)/error."""
    return (measured - predicted) / error if error > 0 else None


def plain(value: Any) -> Any:
    """Dataclasses, arrays, paths and numbers without a finite value (None) as JSON knows them.

    Fields named in a dataclass's `LATER` are left out at their defaults: parts from before they existed stay valid.
    """
    if hasattr(value, "__dataclass_fields__"):
        later = {name: value.__dataclass_fields__[name].default for name in getattr(value, "LATER", ())}
        kept = {name: held for name, held in asdict(value).items() if name not in later or held != later[name]}
        return {type(value).__name__: plain(kept)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value if value is None else str(value)


def commit() -> str:
    """The commit of the code that runs, or nothing outside a checkout."""
    done = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    )
    return done.stdout.strip()


def main(
    name: str, recipe: Callable[[Place, Any], Report], settings: Any, full: Any, arms: Mapping[str, Any] | None = None
) -> None:
    """Command line of a recipe: run it, print the report and keep it as `--into`/NAME.md (NAME-ARM.md)."""
    parser = argparse.ArgumentParser(prog=f"python -m studies.sgd.{name}")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--full", action="store_true", help=f"settings of the full run: {full}")
    if arms:
        said = "; ".join(f"{arm}: {given}" for arm, given in arms.items())
        which.add_argument("--arm", choices=tuple(arms), help=f"another network: {said}")
    parser.add_argument("--into", type=Path, default=Path("build/sgd"), help="folder of finished parts")
    given = os.environ.get("LIMEN_DATA") or None
    parser.add_argument("--data", type=Path, default=given, help="folder with cifar10/ (default: $LIMEN_DATA)")
    asked = parser.parse_args()
    import torch

    torch.set_num_threads(1)  # the same numbers on any machine of one type, and no contention
    begun = time.perf_counter()
    arm = getattr(asked, "arm", None)
    chosen = full if asked.full else arms[arm] if arms and arm else settings
    report = recipe(Place(asked.into, asked.data), chosen)
    option = " --full" if asked.full else f" --arm {arm}" if arm else ""
    report.say(
        f"`python -m studies.sgd.{name}{option}`, {time.strftime('%Y-%m-%d')}, commit {commit() or 'unknown'}, "
        f"{time.perf_counter() - begun:.0f} s this time."
    )
    _write(asked.into / f"{name}{f'-{arm}' if arm else ''}.md", report.text().encode())
    print(report.text())


@dataclass(frozen=True, slots=True)
class Images:
    """Pixels [n, h, w, c] from 0 to 255, labels [n] into the names of classes."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Any) -> tuple[Any, Any]:
        """Some of them as tensors: images [B, c, h, w] in [0, 1], channels last in memory, and labels."""
        import torch

        pixels = torch.from_numpy(self.images[rows]).permute(0, 3, 1, 2).to(torch.float32).div_(255)
        return pixels.contiguous(memory_format=torch.channels_last), torch.from_numpy(self.labels[rows])

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel over all pixels, of values in [0, 1]."""
        total, square = np.zeros(self.images.shape[3]), np.zeros(self.images.shape[3])
        for first in range(0, len(self), 4096):
            block = self.images[first : first + 4096].astype(np.float64) / 255
            total += block.sum(axis=(0, 1, 2))
            square += (block**2).sum(axis=(0, 1, 2))
        count = self.images[..., 0].size
        mean = total / count
        return mean, np.sqrt(square / count - mean**2)


def cifar(place: Place, split: str, count: int) -> Images:
    """The first `count` images of CIFAR-10's `train` or `test` file; decoded once, then kept under `--into`."""
    kept = place.into / f"{CIFAR}-{split}-{count}.npz"
    if not kept.exists():
        if place.data is None:
            raise SystemExit("expected --data or $LIMEN_DATA: the folder that holds cifar10/train.parquet")
        columns = read_table(str(place.data / CIFAR / f"{split}.parquet"), ["image", "label"]).columns
        images = decode_images(columns["image"][:count].tolist())
        classes, labels = np.unique(columns["label"], return_inverse=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial.npz")
        np.savez(partial, images=images, labels=labels[:count], classes=classes.astype(str))
        os.replace(partial, kept)
    with np.load(kept) as arrays:
        return Images(arrays["images"], arrays["labels"], tuple(arrays["classes"].tolist()))


@dataclass(frozen=True, slots=True)
class Run:
    """How training is continued from given weights at rest: heavy ball at a constant learning rate."""

    learning_rate: float
    momentum: float
    batch_size: int
    steps: int
    weight_decay: float = 0.0
    sampling: str = "iid"
    seed: int = 0


def recording(
    folder: Path, model: Any, loss: Callable[[Any, Any], Any], take: Callable[[Any], Any], examples: int, run: Run,
    modes: Any = None,
) -> Path:  # fmt: skip
    """Continue `model` and record it; a recording that ended with all its steps is kept, any other begun anew."""
    import torch

    import limen
    from limen.measure.recorder.read import read_run
    from limen.pretrain.samplers import Sampler

    if (folder / "finished").exists():
        return folder
    if folder.exists():
        shutil.rmtree(folder)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=run.learning_rate, momentum=run.momentum, weight_decay=run.weight_decay
    )
    sampler = Sampler(run.sampling, examples, run.batch_size, run.seed)  # type: ignore[arg-type]
    with limen.record(
        model, optimizer, folder, modes=modes, batch_size=run.batch_size, sampling=run.sampling, examples=examples
    ) as record:
        for rows in sampler.batches(0, run.steps):
            value = loss(model, take(rows))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            record.step(value)
    # a sketch of few large coordinates misses its tolerance now and then: those who read the sketch count that
    failed = [test for test in read_run(folder).info.self_tests if not test.passed and test.name != "sketch"]
    if failed:
        raise RuntimeError(f"{folder}: {len(failed)} self-tests of the recorder failed, the first {failed[0]}")
    (folder / "finished").write_text(commit())
    return folder


def _tag(settings: Any) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:10]


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, file)
