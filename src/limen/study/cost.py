"""What cells cost before they run: seconds on one core, bytes kept, bytes of memory.

A conv encoder of width w with S stages on images that its stem leaves s×s does about S·w²·s² multiplications per image
and layer pair:

    forward  ≈ 30 µs + 0.5 ns · S·w²·s²  per image      forward and backward ≈ 90 µs + 1.6 ns · S·w²·s²  per view

and t threads are t^0.85 times as fast as one. resnet18 counts as 7.3·w²·s², an encoder of the whole image as its
weights; every update costs 1 ms (resnet18: 6 ms) besides.

A probe with all its refits (folds, halves, jackknife, radii) on N rows of d features, Σn rows in its learning curve:

    1.2 µs · d · (12 N + Σn),   nearly free of the number of classes, since products of matrices get faster with it

(all measured on one core of a 2-core x86-64 machine). Forecasts are meant to be right within a factor 3.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from limen.study.encoders import (
    Architecture,
    BagOfWords,
    ConvArchitecture,
    Embeddings,
    Encoder,
    LinearArchitecture,
    MlpArchitecture,
    Pixels,
    Pretrain,
    RandomFeatures,
    ResNet18Architecture,
    SentenceTransformers,
    Torch,
    Transformers,
)
from limen.study.files import Files
from limen.study.spec import Adapt

FORWARD, FORWARD_LEAST = 5e-10, 3e-5
TRAIN, TRAIN_LEAST = 1.6e-9, 9e-5
RESNET = 7.3
"""Multiplications of resnet18 in the unit of a conv encoder: 132·w²·s² of them, 18 a unit."""
FLAT_LEAST = 1e-6
"""Seconds of an image that is one vector, whatever the network."""
STEP, STEP_RESNET = 1e-3, 6e-3
"""Seconds of an update whatever the batch; of an encoder of that many small tensors."""
HEAD = 10
"""Classes of a typical linear head."""
SPEEDUP = 0.85
"""Threads t make a conv encoder t^SPEEDUP times as fast."""
DECODE = 1.5e-4
"""Seconds to decode one small image."""
VIEW = 3e-8
"""Seconds of augmentation per value of a view."""
TEXT_TOKENS = 30
"""Tokens of a typical labelled text."""
MULTIPLY = 1.6e-11
"""Seconds per multiplication of a transformer on one core."""
START, START_TORCH = 2.5, 6.0
"""Seconds until a worker has imported what it needs, without and with torch; paid once, not by every cell."""
LEAST = 0.05
"""Seconds of the smallest cell, with reading its inputs and publishing its record."""
FIT, REFITS = 1.2e-6, 12
"""Seconds per row and column of a probe; fits of all rows behind one budget."""
DEFAULT_COUNTS = 6
"""Label counts of the default doubling grid."""


RECORDED_STEP, RECORDED_BYTES = 1e-3, 5_000
"""Seconds and bytes that recording adds to a step, up to 100,000 of them."""
RECORDED_EXAMPLES = 512 * 2.5 * 60 + 2 * 4096
"""Gradients of one example behind the eigenpairs and the noise that a recorded run begins with."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on one core (on `threads` cores for pretraining), bytes on disk, bytes of memory of one cell."""

    seconds: float
    disk: int
    memory: int


def dimension_of(encoder: Encoder, files: Files, table: str = "") -> int:
    """Columns of the features of an encoder on a table, as far as it is known before anything runs."""
    if isinstance(encoder, BagOfWords | RandomFeatures):
        return encoder.dimension
    if isinstance(encoder, Pretrain):
        side = image_side(encoder.data)
        return width_of(encoder.architecture, side, 1 if side == 8 else 3)
    if isinstance(encoder, Torch):
        return width_of(encoder.architecture, encoder.architecture.image_size or 32, 3)
    if isinstance(encoder, Pixels):
        return image_side(table) ** 2 * (1 if table.startswith("digits") else 3)
    if isinstance(encoder, SentenceTransformers | Transformers):
        return _hidden_size(files.model(encoder.path, encoder.revision))
    return 512


def image_side(table: str) -> int:
    """Side of the images of a table: 8 for the bundled digits, else 32 is assumed."""
    return 8 if table.startswith("digits") else 32


def pretrain_cost(encoder: Pretrain, rows: int) -> Cost:
    """One run of one seed."""
    side = image_side(encoder.data)
    channels = 1 if side == 8 else 3
    supervised = encoder.objective == "supervised"
    values = 0 if supervised and not encoder.augmentation else side * side * channels
    count = 1 if supervised else 2  # views of an example
    flat = isinstance(encoder.architecture, MlpArchitecture | LinearArchitecture)
    train_least, forward_least = (FLAT_LEAST, FLAT_LEAST) if flat else (TRAIN_LEAST, FORWARD_LEAST)
    step = STEP_RESNET if isinstance(encoder.architecture, ResNet18Architecture) else STEP
    work = _multiplications(encoder.architecture, side, channels)
    views = count * values * VIEW
    training = encoder.steps * (step + encoder.batch_size * (views + count * (train_least + TRAIN * work)))
    shown = encoder.evaluation.training_batches
    scored_rows = 0.1 * rows * encoder.evaluation.draws + (rows if shown is None else shown * encoder.batch_size)
    scored = len(encoder.kept_steps()) * scored_rows * (views + count * (forward_least + FORWARD * work))
    if encoder.record is not None:
        training += encoder.steps * RECORDED_STEP
        if supervised and not encoder.augmentation:
            training += RECORDED_EXAMPLES * (train_least + TRAIN * work)
    decoded = 0.0 if side == 8 else rows * DECODE
    weights = RECORDED_BYTES * min(encoder.steps, 100_000) * (encoder.record is not None) + 4 * len(
        encoder.kept_steps()
    ) * _weights(encoder.architecture, side, channels)
    activations = 40 * count * encoder.batch_size * _maps(encoder.architecture, side)
    seconds = LEAST + decoded + (training + scored) / encoder.threads**SPEEDUP
    return Cost(seconds, weights, 600_000_000 + activations + 4 * rows * side * side * 3)


def features_cost(encoder: Encoder, table: str, files: Files) -> Cost:
    """Features of one table."""
    facts, width = files.describe(table), dimension_of(encoder, files, table)
    per_row, memory = 2e-6 + 2e-9 * width, 200_000_000
    if isinstance(encoder, Pretrain | Torch):
        side = image_side(encoder.data) if isinstance(encoder, Pretrain) else encoder.architecture.image_size or 32
        channels = 1 if side == 8 else 3
        threads = encoder.threads if isinstance(encoder, Pretrain) else 1
        forward = FORWARD_LEAST + FORWARD * _multiplications(encoder.architecture, side, channels)
        per_row, memory = forward / threads**SPEEDUP + (DECODE if side > 8 else 1e-5), 600_000_000
    elif isinstance(encoder, SentenceTransformers | Transformers):
        size = _size(files.model(encoder.path, encoder.revision))
        per_row, memory = MULTIPLY * TEXT_TOKENS * size / 4, 800_000_000 + 2 * size
    elif isinstance(encoder, BagOfWords):
        per_row = 3e-5 + 1e-9 * width
    elif isinstance(encoder, RandomFeatures):
        per_row = 5e-5 + 1e-9 * 512 * width
    elif isinstance(encoder, Embeddings | Pixels):
        per_row = 1e-5 if width < 100 else DECODE
    return Cost(LEAST + facts.rows * per_row, 4 * facts.rows * width, memory + 8 * facts.rows * width)


def fit_cost(method: str, rows: int, width: int, adapt: Adapt) -> Cost:
    """All label counts and seeds of one (encoder, task, method); `rows` of the train table."""
    fitted, used = models(adapt, rows), trained_rows(adapt, rows)
    if method == "linear-probe":
        seconds = FIT * width * (REFITS * rows + used)
    elif method == "knn":
        seconds = used * 0.2 * rows * width * 1e-10
    else:
        seconds = used * width * 1e-8
    return Cost(LEAST + seconds + 5e-3 * fitted, 24 * rows * fitted, 300_000_000 + 24 * rows * width)


def models(adapt: Adapt, rows: int) -> int:
    """Fitted models of one (encoder, task, method): each number of labels at each seed, all labels once."""
    if adapt.labels is None:
        return 1 + adapt.seeds * _default_counts(rows)
    return adapt.seeds * len({n for n in adapt.labels if n != "all"}) + ("all" in adapt.labels)


def trained_rows(adapt: Adapt, rows: int) -> int:
    """Σ of the rows of all fitted models."""
    part = fit_part(rows)
    if adapt.labels is None:
        return part + adapt.seeds * 2 * part
    return adapt.seeds * sum(n for n in set(adapt.labels) if isinstance(n, int)) + part * ("all" in adapt.labels)


def fit_part(rows: int) -> int:
    """Rows that can be fitted on: 75 % of the train table.

    >>> fit_part(1000)
    750
    """
    return math.floor(0.75 * rows)


def _default_counts(rows: int) -> int:
    return min(DEFAULT_COUNTS, max(1, math.floor(math.log2(max(2, rows / 20)))))


def _maps(architecture: Architecture, side: int) -> int:
    """Numbers in the largest map of an image."""
    if isinstance(architecture, ConvArchitecture | ResNet18Architecture):
        return architecture.width * side * side
    return max(side * side * 3, *(architecture.hidden if isinstance(architecture, MlpArchitecture) else (0,)))


def width_of(architecture: Architecture, side: int, channels: int) -> int:
    """Columns of the last layer of an architecture on images of this side and these channels.

    >>> from limen.study.encoders import ResNet18Architecture
    >>> width_of(ResNet18Architecture(width=16), 32, 3), width_of(ConvArchitecture(), 8, 1)
    (128, 32)
    """
    if isinstance(architecture, ConvArchitecture):
        return architecture.width << (_stages(architecture, side) - 1)
    if isinstance(architecture, ResNet18Architecture):
        return 8 * architecture.width
    return architecture.hidden[-1] if isinstance(architecture, MlpArchitecture) else channels * side**2


def _stages(architecture: ConvArchitecture, side: int) -> int:
    return 1 + int(math.log2(max(1, side // architecture.stem_stride // 4)))


def _multiplications(architecture: Architecture, side: int, channels: int) -> float:
    """In the unit S·w²·s² of a conv encoder, which is 18 multiplications."""
    if isinstance(architecture, ConvArchitecture):
        inner = side // architecture.stem_stride
        return _stages(architecture, side) * architecture.width**2 * inner**2
    if isinstance(architecture, ResNet18Architecture):
        return RESNET * architecture.width**2 * side**2
    return _weights(architecture, side, channels) / 18


def _weights(architecture: Architecture, side: int, channels: int) -> int:
    if isinstance(architecture, ConvArchitecture):
        widths = [architecture.width << stage for stage in range(_stages(architecture, side))]
        return sum(19 * width**2 for width in widths) + 27 * architecture.width
    if isinstance(architecture, ResNet18Architecture):
        return 2730 * architecture.width**2
    hidden = architecture.hidden if isinstance(architecture, MlpArchitecture) else ()
    widths = [channels * side**2, *hidden, HEAD]
    return sum((before + 1) * after for before, after in pairwise(widths))


def _hidden_size(folder: Path) -> int:
    try:
        found = json.loads((folder / "config.json").read_text("utf-8")).get("hidden_size")
    except (OSError, ValueError, AttributeError):
        return 768
    return found if isinstance(found, int) else 768


def _size(path: Path) -> int:
    """Bytes of weights in a file or folder."""
    if path.is_file():
        return path.stat().st_size
    weights = [file.stat().st_size for file in path.rglob("*.safetensors")]
    return sum(weights) or 400_000_000
