"""Do LogME and H-scores order encoders as the measured loss does? Ten encoders made of one, on the same rows.

    python benchmarks/score_order.py --data FILE.npz [--classes 40] [--rows 2500]

Made of the embeddings X: the first 16, 32, 64 and 128 principal components, 128 whitened ones, all but the first 128,
64 random projections, and X with noise of 0.05 and 0.1 a feature. A linear probe is fitted to each (log loss).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import limen
from limen.data.embeddings import read_embeddings
from limen.records.task import FitSpec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--rows", type=int, default=2500)
    asked = parser.parse_args()
    read, rng = read_embeddings(asked.data), np.random.default_rng(0)
    chosen = rng.permutation(np.flatnonzero(read.labels < asked.classes))[: asked.rows]
    x, y = np.asarray(read.features)[chosen], read.labels[chosen]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, features in made(x, rng).items():
            files.append(Path(folder) / f"{name}.npz")
            np.savez(files[-1], X=features.astype(np.float32), y=y)
        report = limen.compare(files, spec=FitSpec(labels=(asked.rows // 5, "all"), seeds=1, rich_head=False))
    for budget in sorted(report.budgets, key=lambda b: b.terms["adaptation_loss"].value):
        scores = {name: score.text() for name, score in budget.closed_forms.scores.items() if "nce" not in name}
        print(f"{budget.encoder:12} loss {budget.terms['adaptation_loss'].text():26} {scores}")
    for ranking in report.rankings:
        print(f"{ranking.score:15} Kendall's tau {ranking.tau.value:+.2f} over {len(ranking.by_loss)} encoders")


def made(x: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    centred = x - x.mean(axis=0)
    left, _, right = np.linalg.svd(centred, full_matrices=False)
    first = {f"pca{k}": centred @ right[:k].T for k in (16, 32, 64, 128)}
    return {
        "all": x,
        **first,
        "white128": left[:, :128] * np.sqrt(len(x)),
        "rest": centred @ right[128:].T,
        "project64": centred @ rng.normal(size=(x.shape[1], 64)),
        "noise05": x + 0.05 * rng.normal(size=x.shape),
        "noise10": x + 0.1 * rng.normal(size=x.shape),
    }


if __name__ == "__main__":
    main()
