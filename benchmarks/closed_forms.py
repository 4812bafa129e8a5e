"""Time of the closed forms of a fit, and how often each prediction of squared loss lies inside the measured interval.

    python benchmarks/closed_forms.py [--data FILE] [--splits 10]

FILE is .npz, .parquet or .csv as for `limen budget`; without it, the bundled digits. One thread; seconds of processor
time. Splits are those of split seeds 0, 1, …: other design, fit and held-out rows of one file, so not independent.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from limen.adapt.closed_forms import closed_forms as parts
from limen.adapt.labels import label_counts
from limen.adapt.prepare import prepare
from limen.arrays.intervals import clopper_pearson_lower, clopper_pearson_upper
from limen.data.digits import digits
from limen.data.embeddings import read_embeddings
from limen.records.estimate import Estimate
from limen.records.stage import StageRecord
from limen.records.task import FitSpec, LabelledFeatures, Task
from limen.verdict.closed_forms import closed_forms

NAMES = ("spectrum", "gcv", "leave_one_out")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--splits", type=int, default=10)
    asked = parser.parse_args()
    rows = digits_rows() if asked.data is None else read_embeddings(asked.data)
    with threadpool_limits(limits=1, user_api="blas"):
        run(rows, asked.splits)


def digits_rows() -> LabelledFeatures:
    images, labels = digits("digits")
    return LabelledFeatures(images.reshape(len(images), -1), labels, tuple(map(str, range(10))))


def run(rows: LabelledFeatures, splits: int) -> None:
    seconds, inside, misses = [], dict.fromkeys(NAMES, 0), {name: [] for name in NAMES}
    for seed in range(splits):
        spec = FitSpec(split_seed=seed)
        prepared = prepare(Task("rows", "rows", rows), spec)
        counts = label_counts(spec, prepared.classes, len(prepared.fit))
        start = time.process_time()
        facts, arrays = parts(prepared, counts, 1)
        if prepared.holdout_groups is not None:
            arrays["holdout_groups"] = prepared.holdout_groups
        found = closed_forms(StageRecord("fit", 0, facts, arrays), Estimate(0.0), 0.95)
        seconds.append(time.process_time() - start)
        assert found is not None
        for name in NAMES:
            for point in found.curve:
                difference = point.predicted[name].difference
                if difference is not None and point.measured.value is not None:
                    inside[name] += point.predicted[name].outcome == "inside"
                    misses[name].append(difference / point.measured.value)
        if seed == 0:
            show(found)
    print(f"{len(prepared.fit):,} fit rows, {prepared.fit.features.shape[1]} features, {prepared.classes} classes")
    print(f"closed forms: {min(seconds):.2f} s at best, {np.median(seconds):.2f} s median of {splits}, one thread")
    for name in NAMES:
        total = len(misses[name])
        if not total:
            continue
        share, sizes = inside[name] / total, np.abs(misses[name])
        low, high = clopper_pearson_lower(inside[name], total, 0.025), clopper_pearson_upper(inside[name], total, 0.025)
        print(
            f"{name:14} inside {inside[name]} of {total} ({share:.0%}, {low:.0%} to {high:.0%}); "
            f"miss: mean {np.mean(misses[name]):+.2%}, median size {np.median(sizes):.2%}, largest {sizes.max():.1%}"
        )


def show(found) -> None:
    print("labels  penalty   measured                    spectrum     GCV     leave-one-out")
    for point in found.curve:
        values = [point.predicted[name].value for name in NAMES]
        shown = "  ".join("–".rjust(8) if value is None else f"{value:8.4f}" for value in values)
        print(f"{point.n:6,}  {point.penalty:7g}   {point.measured.text():26}  {shown}")
    print("floors by formula:", {name: round(one.value, 4) for name, one in found.floors.items()})


if __name__ == "__main__":
    main()
