"""What recording costs: training steps with and without it, interleaved in one process; memory and disk of a recording.

    python benchmarks/recorder.py                     # ResNet-18 of width 64 on 3×32×32, batches of 128 and 32
    python benchmarks/recorder.py --stem 1 --batches 8 --steps 20     # with the stem at full size: 16 times the work
    python benchmarks/recorder.py --steps 60 --batches 128 --modes 20 --weight-decay 0
    python benchmarks/recorder.py --plain             # torch makes every update; they are read afterwards
    python benchmarks/recorder.py --updates           # SGD's update alone: not recorded, read afterwards, made and read
    python benchmarks/recorder.py --long 1000000 --folder runs/long   # speed, memory and disk of a long run, 9 numbers

One thread, processor seconds. Two copies of the same network are trained on the same batches, in turn, one step each;
only one of them is recorded. Shown are medians of the step, the median of the pairs' differences over the step without,
the mean difference over the mean step, one reading of an anchor (some 100 of them in 10^3 updates, 300 in 10^4), the
optimizer's update alone (what recording's passes over memory compare with: other processes slow both more than they
slow convolutions), memory that recording adds, and bytes on disk an update.
`same weights` says whether both copies ended with identical weights.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import psutil
import torch
from torch import nn

import limen
from limen.measure.recorder import stretchwise
from limen.measure.recorder.recorder import record
from limen.models.architectures.resnet import resnet18

WARM = 20


class Block(nn.Module):
    """Two 3×3 convolutions beside the identity or a 1×1 convolution."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        plain = stride == 1 and before == after
        self.side = (
            nn.Identity()
            if plain
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.side(x))


def small_resnet18(width: int) -> nn.Module:
    """18 layers with the stem of large images (7×7 by 2, max-pool by 2) on 3×32×32: few operations a weight."""
    widths = [width, width, 2 * width, 2 * width, 4 * width, 4 * width, 8 * width, 8 * width]
    strides = [1, 1, 2, 1, 2, 1, 2, 1]
    first = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    blocks = [Block(a, b, s) for a, b, s in zip([width, *widths], widths, strides, strict=False)]
    return nn.Sequential(*first, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, 10))


def trainer(width: int, stem: int, decay: float) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    full = stem == 1
    net = nn.Sequential(resnet18({"width": width}), nn.Linear(8 * width, 10)) if full else small_resnet18(width)
    return net, torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=decay)


def step(net: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    loss = nn.functional.cross_entropy(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def compare(asked: argparse.Namespace, batch: int, folder: Path) -> dict[str, float | str]:
    rng = torch.Generator().manual_seed(1)
    plain, plain_optimizer = trainer(asked.width, asked.stem, asked.weight_decay)
    seen, seen_optimizer = trainer(asked.width, asked.stem, asked.weight_decay)
    twin, twin_optimizer = trainer(asked.width, asked.stem, asked.weight_decay)  # its update alone is timed
    for parameter in twin.parameters():
        parameter.grad = torch.zeros_like(parameter)
    numbers = sum(p.numel() for p in seen.parameters())
    modes = None
    if asked.modes:
        basis = np.random.default_rng(0).standard_normal((asked.modes, numbers), dtype=np.float32)
        basis /= np.linalg.norm(basis, axis=1, keepdims=True)
        modes = SimpleNamespace(eigenvalues=np.ones(asked.modes), vectors=basis)
    for net, optimizer in ((plain, plain_optimizer), (seen, seen_optimizer)):  # gradients, buffers, workspace
        for _ in range(2):
            step(net, optimizer, torch.zeros(batch, 3, 32, 32), torch.zeros(batch, dtype=torch.int64))
    before = psutil.Process().memory_info().rss
    without, with_it, updates = [], [], []
    with record(seen, seen_optimizer, folder, modes=modes, mode=asked.mode, batch_size=batch) as run:
        for index in range(WARM + asked.steps):
            x = torch.randn(batch, 3, 32, 32, generator=rng)
            y = torch.randint(10, (batch,), generator=rng)
            begun = time.process_time()
            step(plain, plain_optimizer, x, y).item()
            between = time.process_time()
            run.step(step(seen, seen_optimizer, x, y))
            ended = time.process_time()
            twin_optimizer.step()
            updated = time.process_time()
            if index >= WARM:
                without.append(between - begun)
                with_it.append(ended - between)
                updates.append(updated - ended)
        anchors = run._observation.tools.anchors
        begun = time.process_time()
        for _ in range(5):
            anchors.displacement(anchors._anchors[0].weights)
        reading = (time.process_time() - begun) / 5
        after = psutil.Process().memory_info().rss
        predicted = run.forecast.memory
    apart = np.array(with_it) - np.array(without)
    same = all(torch.equal(a, b) for a, b in zip(plain.parameters(), seen.parameters(), strict=True))
    written = sum(path.stat().st_size for path in folder.iterdir() if path.suffix == ".parquet")
    return {
        "batch": batch,
        "step, ms": f"{np.median(without) * 1e3:.1f}",
        "recorded, ms": f"{np.median(with_it) * 1e3:.1f}",
        "SGD update, ms": f"{np.median(updates) * 1e3:.1f}",
        "median": f"{100 * np.median(apart) / np.median(without):.2f} %",
        "anchor reading, ms": f"{reading * 1e3:.1f}",
        "mean": f"{100 * apart.mean() / np.mean(without):.2f} %",
        "memory, MB": f"{(after - before) / 1e6:.0f}",
        "forecast, MB": f"{predicted / 1e6:.0f}",
        "disk, KB an update": f"{written / (WARM + asked.steps) / 1e3:.2f}",
        "same weights": str(same),
    }


def updates_alone(asked: argparse.Namespace, folder: Path) -> None:
    """SGD's update not recorded, read after torch has made it, made by the recorder: in turn, the cache emptied."""
    least, runs, flush = stretchwise.LEAST, {}, torch.zeros(40_000_000)
    for name in ("not recorded", "read afterwards", "made and read"):
        net, optimizer = trainer(asked.width, asked.stem, asked.weight_decay)
        for parameter in net.parameters():
            parameter.grad = torch.full_like(parameter, 1e-3)
        run = None if name == "not recorded" else record(net, optimizer, folder / name).__enter__()
        runs[name] = (optimizer, run, [])
    for index in range(WARM + asked.steps):
        for name, (optimizer, run, seconds) in runs.items():
            stretchwise.LEAST = least if name == "made and read" else 1 << 60
            flush.add_(1)
            begun = time.process_time()
            optimizer.step()
            if run is not None:
                run.step(0.0)
            if index >= WARM:
                seconds.append(time.process_time() - begun)
    for name, (_, run, seconds) in runs.items():
        made = 0 if run is None else run._observation.stretchwise.made
        print(f"{name:16s} {1e3 * np.median(seconds):5.1f} ms (median of {len(seconds)}), made here {made}")


def long(steps: int, folder: Path) -> None:
    """A 3×3 linear layer from its minimum, batches of 16 of 4,096, with its modes, curvature and noise."""
    torch.manual_seed(0)
    examples, size = 4096, 16
    x = torch.randn(examples, 3) * torch.tensor([2.0, 1.0, 0.5])
    y = x @ torch.randn(3, 3) + 0.5 * torch.randn(examples, 3)
    net = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.linalg.lstsq(x, y).solution.T)

    def loss_of(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], reduction: str = "mean") -> torch.Tensor:
        losses = 0.5 * (model(batch[0]) - batch[1]).square().sum(1)
        return losses.mean() if reduction == "mean" else losses

    curvature = limen.curvature(net, loss_of, [(x, y)], modes=6)
    noise = limen.gradient_noise(net, loss_of, [(x, y)], curvature, batch_size=size)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    with limen.record(
        net, optimizer, folder, modes=curvature, batch_size=size, sampling="iid", examples=examples
    ) as run:
        begun = time.process_time()
        for done in range(steps):
            if done % examples == 0:
                drawn = torch.randint(examples, (examples, size))
            rows = drawn[done % examples]
            loss = loss_of(net, (x[rows], y[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.step(loss)
            if (done + 1) % max(1, steps // 20) == 0:
                speed = (done + 1) / (time.process_time() - begun)
                disk = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
                memory = psutil.Process().memory_info().rss / 1e6
                print(f"{done + 1:9,} updates  {speed:5.0f}/s  {memory:.1f} MB  disk {disk:.1f} MB", flush=True)
    limen.attach(folder, curvature=curvature, noise=noise)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 32])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument(
        "--stem", type=int, default=2, choices=[1, 2], help="1: limen's ResNet-18 (3×3 stem at full size)"
    )
    parser.add_argument("--mode", default="full", choices=["full", "lean"])
    parser.add_argument("--modes", type=int, default=0)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--plain", action="store_true", help="torch makes every update; it is read afterwards")
    parser.add_argument("--updates", action="store_true", help="time the optimizer's update alone, three ways")
    parser.add_argument("--long", type=int, metavar="UPDATES", help="a long run of a tiny network instead")
    parser.add_argument("--folder", type=Path, default=Path("runs/long"), help="of the long run")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.plain:
        stretchwise.LEAST = 1 << 60
    if asked.long:
        long(asked.long, asked.folder)
        return
    if asked.updates:
        with tempfile.TemporaryDirectory() as folder:
            updates_alone(asked, Path(folder))
        return
    rows = []
    for batch in asked.batches:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(compare(asked, batch, Path(folder) / "run"))
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


if __name__ == "__main__":
    main()
