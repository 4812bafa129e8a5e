"""Every way in which a study adapts an encoder to a task, as plain data: the specs of fit cells and of tuned cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from limen.study.adapt import Adapt, Knn


def fit_specs(adapt: Adapt, seed: int) -> Iterator[dict[str, Any]]:
    """Each way to fit, with the keys of `limen.records.task.FitSpec`: methods, and for a probe each listed radius."""
    labels = sorted({n for n in adapt.labels or () if isinstance(n, int)})
    everything = ["all"] if adapt.labels and "all" in adapt.labels else []
    radius = adapt.linear_probe.radius
    for method in dict.fromkeys(adapt.methods):
        plain: dict[str, Any] = {
            "method": method,
            "loss": adapt.loss,
            "labels": [*labels, *everything] if adapt.labels is not None else None,
            "seeds": adapt.seeds,
            "subsets": adapt.subsets,
            "split_seed": seed,
        }
        if method == "knn" and adapt.knn != Knn():
            plain["neighbours"] = adapt.knn.k
        if method == "linear-probe" and not adapt.linear_probe.rich_head:
            plain["rich_head"] = False
        radii = radius if isinstance(radius, tuple) else (radius,)
        for value in sorted(set(radii)) if method == "linear-probe" else ("auto",):
            yield plain | {"radius": value}


def tune_specs(adapt: Adapt, method: str) -> Iterator[tuple[int | str, int, dict[str, Any]]]:
    """Every (n, seed) of a method, and its options as the keys of `limen.adapt.tune.spec.TuneSpec`."""
    options = adapt.options(method)
    assert options is not None
    given = {
        key: list(value) if isinstance(value, tuple) else value
        for key in type(options).model_fields
        if (value := getattr(options, key)) != type(options).model_fields[key].default
    }
    loss = {} if adapt.loss == "log" else {"loss": adapt.loss}
    for n in sorted({n for n in adapt.labels or () if isinstance(n, int)}):
        for seed in range(adapt.seeds):
            yield n, seed, {"method": method, **loss, **given, **({"seed": seed} if seed else {})}
    if adapt.labels and "all" in adapt.labels:
        yield "all", 0, {"method": method, **loss, **given}


def tuning_split(how: Mapping[str, Any]) -> dict[str, Any]:
    """What of a fit says how rows are split: the same for every method of a task."""
    return {"method": "mean-classifier"} | {key: how[key] for key in ("loss", "subsets", "split_seed")}
