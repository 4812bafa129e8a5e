"""What cells cost before they run: seconds on one core, bytes kept, bytes of memory.

An encoder that multiplies m times for an input (`limen.study.work`) takes

    forward  ≈ 30 µs + 28 ps · m  per input      forward and backward ≈ 90 µs + 89 ps · m  per input and view

and t threads are t^0.85 times as fast as one; every update costs 1 ms (resnet18: 6 ms) besides. The constants are one
and the same for convolutions, transformers and encoders of sound, and for the heads that restore an input.

A probe with all its refits (folds, halves, jackknife, radii) on N rows of d features, Σn rows in its learning curve:

    1.2 µs · d · (12 N + Σn),   nearly free of the number of classes, since products of matrices get faster with it

(all measured on one core of a 2-core x86-64 machine). Forecasts are meant to be right within a factor 3.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limen.pretrain.options import COMPARING
from limen.study.adapt import Adapt
from limen.study.architectures import LinearArchitecture, MlpArchitecture, ResNet18Architecture
from limen.study.encoders import (
    Augmentation,
    BagOfWords,
    Embeddings,
    Encoder,
    Hub,
    Pixels,
    Pretrain,
    RandomFeatures,
    Torch,
)
from limen.study.files import Files
from limen.study.work import (
    HEAD,
    Shape,
    image_shape,
    image_side,
    maps,
    multiplications,
    restoring,
    shape_of,
    weights,
    width_of,
)

FORWARD, FORWARD_LEAST = 5e-10 / 18, 3e-5
TRAIN, TRAIN_LEAST = 1.6e-9 / 18, 9e-5
FLAT_LEAST = 1e-6
"""Seconds of an image that is one vector, whatever the network."""
STEP, STEP_RESNET = 1e-3, 6e-3
"""Seconds of an update whatever the batch; of an encoder of that many small tensors."""
SPEEDUP = 0.85
"""Threads t make an encoder t^SPEEDUP times as fast."""
DECODE = 1.5e-4
"""Seconds to decode one small image, and to learn a vocabulary from one short text and cut it into tokens."""
SPECTRUM = 1.1e-3
"""Seconds to decode one second of sound at 8,000 samples a second into its spectrum."""
COMPARE, COMPARE_SOUND = 1e-5, 1.2e-4
"""Seconds to bring one row of a table, or one sound, into the form in which near-duplicates agree."""
VIEW = 3e-8
"""Seconds of augmentation per value of a view."""
TEXT_TOKENS = 30
"""Tokens of a typical labelled text."""
IMAGE_USES = 300
"""Multiplications with each weight of a convolutional network or vision transformer, for an image of 224 pixels a side
(resnet18 to resnet50, vit tiny and small, convnext tiny: 290 to 340; efficientnet_b0: 500)."""
MULTIPLY = 1.6e-11
"""Seconds per multiplication of a transformer of a large library on one core."""
START, START_TORCH = 2.5, 6.0
"""Seconds until a worker has imported what it needs, without and with torch; paid once, not by every cell."""
BACKWARD, EPOCHS = 3.0, 20
"""Passes that forward and backward together cost; epochs of a tuned method where none are given."""
LEAST = 0.05
"""Seconds of the smallest cell, with reading its inputs and publishing its record."""
FIT, REFITS = 1.2e-6, 12
"""Seconds per row and column of a probe; fits of all rows behind one budget."""
DEFAULT_COUNTS = 6
"""Label counts of the default doubling grid."""
RESTORING = ("masked", "next-token", "autoencoder")
"""Objectives that restore an input from its positions."""


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
        return width_of(encoder.architecture, shape_of(encoder))
    if isinstance(encoder, Torch):
        return width_of(encoder.architecture, _torch_shape(encoder))
    if isinstance(encoder, Pixels):
        return image_side(table) ** 2 * (1 if table.startswith("digits") else 3)
    if isinstance(encoder, Hub):
        return _hidden_size(files.model(encoder.path, encoder.revision))
    return 512


def pretrain_cost(encoder: Pretrain, rows: int) -> Cost:
    """One run of one seed."""
    shape, kind = shape_of(encoder), encoder.architecture
    count = _passes(encoder)
    flat = isinstance(kind, MlpArchitecture | LinearArchitecture)
    train_least, forward_least = (FLAT_LEAST, FLAT_LEAST) if flat else (TRAIN_LEAST, FORWARD_LEAST)
    step = STEP_RESNET if isinstance(kind, ResNet18Architecture) else STEP
    work = multiplications(kind, shape)
    head = restoring(kind, shape) if encoder.objective in RESTORING else 0
    held = shape.positions if encoder.input == "text" else shape.values
    views = VIEW * held * (count * _draws_views(encoder) + (encoder.objective == "autoencoder"))
    example = views + count * (train_least + TRAIN * work) + TRAIN * head
    training = encoder.steps * (step + encoder.batch_size * example)
    shown = encoder.evaluation.training_batches
    scored_rows = 0.1 * rows * encoder.evaluation.draws + (rows if shown is None else shown * encoder.batch_size)
    scored = views + count * (forward_least + FORWARD * work) + FORWARD * head
    evaluated = len(encoder.kept_steps()) * scored_rows * scored
    if encoder.record is not None:
        training += encoder.steps * RECORDED_STEP
        if encoder.objective == "supervised" and not _draws_views(encoder):
            training += RECORDED_EXAMPLES * (train_least + TRAIN * work)
    recorded = RECORDED_BYTES * min(encoder.steps, 100_000) * (encoder.record is not None)
    scores = shape.positions * shape.channels if head and encoder.input == "text" else 0
    activations = encoder.batch_size * (40 * count * maps(kind, shape) + 12 * scores)
    seconds = LEAST + rows * _prepared(encoder) + (training + evaluated) / encoder.threads**SPEEDUP
    disk = recorded + 4 * len(encoder.kept_steps()) * (weights(kind, shape) + _head(encoder, shape))
    return Cost(seconds, disk, 600_000_000 + activations + 8 * rows * held)


def _passes(encoder: Pretrain) -> int:
    """Inputs that are encoded for one example."""
    return {"nt-xent": 2, "spectral": 2, "contrastive": 1 + encoder.block}.get(encoder.objective, 1)


def _head(encoder: Pretrain, shape: Shape) -> int:
    """Weights of what the objective trains on top of the encoder."""
    width = width_of(encoder.architecture, shape)
    if encoder.objective in RESTORING:
        return width * (shape.channels if encoder.input == "text" else max(1, shape.values // 16))
    projected = width * (width + encoder.projection) if encoder.projection else 0
    return {"nt-xent": projected, "spectral": projected, "supervised": HEAD * width}.get(encoder.objective, 0)


def _draws_views(encoder: Pretrain) -> bool:
    """Whether inputs are augmented."""
    named = encoder.augmentation
    return encoder.objective in COMPARING if named is None else named != Augmentation()


def _prepared(encoder: Pretrain) -> float:
    """Seconds until one row of a table is what the encoder takes."""
    if encoder.input == "audio":
        return SPECTRUM * encoder.sound.seconds * max(1.0, encoder.sound.rate / 8000)
    return 0.0 if encoder.input == "image" and image_side(encoder.data) == 8 else DECODE


def _torch_shape(encoder: Torch) -> Shape:
    return image_shape(encoder.architecture.image_size or 32)


def features_cost(encoder: Encoder, table: str, files: Files) -> Cost:
    """Features of one table."""
    facts, width = files.describe(table), dimension_of(encoder, files, table)
    per_row, memory = 2e-6 + 2e-9 * width, 200_000_000
    if isinstance(encoder, Pretrain):
        forward = FORWARD_LEAST + FORWARD * multiplications(encoder.architecture, shape_of(encoder))
        per_row, memory = forward / encoder.threads**SPEEDUP + max(_prepared(encoder), 1e-5), 600_000_000
    elif isinstance(encoder, Torch):
        forward = FORWARD_LEAST + FORWARD * multiplications(encoder.architecture, _torch_shape(encoder))
        per_row, memory = forward + DECODE, 600_000_000
    elif isinstance(encoder, Hub):
        folder = files.model(encoder.path, encoder.revision)
        size, uses = _size(folder), TEXT_TOKENS
        if encoder.input == "image":
            uses = math.ceil(IMAGE_USES * (_side(folder) / 224) ** 2)
        per_row, memory = MULTIPLY * uses * size / 4, 800_000_000 + 2 * size
    elif isinstance(encoder, BagOfWords):
        per_row = 3e-5 + 1e-9 * width
    elif isinstance(encoder, RandomFeatures):
        per_row = 5e-5 + 1e-9 * 512 * width
    elif isinstance(encoder, Embeddings | Pixels):
        per_row = 1e-5 if width < 100 else DECODE
    seconds = LEAST + facts.rows * per_row
    if isinstance(encoder, Pretrain) and table != encoder.data:
        both = facts.rows + files.describe(encoder.data).rows
        seconds += both * (COMPARE_SOUND if encoder.input == "audio" else COMPARE)
    return Cost(seconds, 4 * facts.rows * width, memory + 8 * facts.rows * width)


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


def tune_cost(rows: int, per_row: float, n: int | str, options: Mapping[str, Any]) -> float:
    """Seconds of one tuned encoder: forward and backward on n rows, forward on design and holdout, every epoch.

    `per_row` are the seconds of one forward pass; a pass forward and backward costs BACKWARD of them.
    """
    labels = fit_part(rows) if n == "all" else int(n)
    epochs = int(options.get("epochs", EPOCHS))
    passes = epochs * (BACKWARD * labels + 0.05 * rows) + 0.25 * rows + labels
    return float(LEAST + passes * per_row / int(options.get("threads", 1)) ** SPEEDUP)


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


def _hidden_size(folder: Path) -> int:
    """Width of the features by the folder's configuration: of transformers, timm or open_clip."""
    plain = _configuration(folder)
    known = (plain.get("hidden_size"), plain.get("num_features"), _table(plain, "model_cfg").get("embed_dim"))
    return next((width for width in known if isinstance(width, int) and width > 0), 768)


def _side(folder: Path) -> int:
    """Pixels of the side to which images are resized, by the folder's configuration."""
    plain = _configuration(folder)
    sizes = _table(plain, "pretrained_cfg").get("input_size", plain.get("input_size", [None]))
    vision = _table(_table(plain, "model_cfg"), "vision_cfg")
    last = sizes[-1] if isinstance(sizes, list) and sizes else None
    known = (plain.get("image_size"), vision.get("image_size"), last)
    return next((side for side in known if isinstance(side, int) and side > 0), 224)


def _configuration(folder: Path) -> Mapping[str, Any]:
    for name in ("config.json", "open_clip_config.json"):
        try:
            plain = json.loads((folder / name).read_text("utf-8"))
        except (OSError, ValueError):
            continue
        return plain if isinstance(plain, dict) else {}
    return {}


def _table(plain: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = plain.get(key)
    return found if isinstance(found, dict) else {}


def _size(path: Path) -> int:
    """Bytes of weights in a file or folder."""
    if path.is_file():
        return path.stat().st_size
    weights = [file.stat().st_size for file in path.rglob("*.safetensors")]
    return sum(weights) or 400_000_000
