"""Cells of tuned encoders: one a (method, n, seed), and the fit record that they make together.

    tune(spec, features of every population, encoder?)   losses of one tuned encoder on every part
    fit(spec, features …, tuned cells)                   the same record as that of any other method

The features are those of the frozen encoder: they say what recurs and how rows are split, so that a tuned encoder is
trained, chosen and scored on the same rows as every other method of the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limen.records.stage import StageRecord

ENCODER, TUNED = "_encoder", "_tuned-"
"""Needs of a cell beside its populations, whose names have no underscore."""


def tune(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    """One tuned encoder: `spec` = {task, encoder, populations, how, tune, n, load, input} and the inputs' records."""
    from limen.adapt.prepare import prepare
    from limen.adapt.tune.rows import Raw, RawRows, tune_rows
    from limen.adapt.tune.spec import TuneSpec
    from limen.adapt.tune.tune import tune as tune_encoder
    from limen.adapt.tune.tune import tuned_record
    from limen.data.inputs import usable_inputs
    from limen.models.trainable.trainable import trainable
    from limen.study.rows import task_of
    from limen.study.stages import encoder_of, fit_spec

    task = task_of(spec, _features(inputs))
    prepared = prepare(task, fit_spec(spec["how"]))

    def raw(name: str, labels: Any) -> RawRows:
        place = spec["populations"][name]
        found = usable_inputs(place["data"], place["column"], spec["input"], place.get("on_bad", "stop"))
        return RawRows(found.values, labels)

    every = Raw(raw("train", task.train.labels), {name: raw(name, p.labels) for name, p in task.populations.items()})
    n = len(prepared.fit) if spec["n"] == "all" else int(spec["n"])
    rows = tune_rows(task, prepared, every, n, int(spec["tune"].get("seed", 0)))
    encoder = trainable(encoder_of(spec["load"], inputs.get(ENCODER)))
    return tuned_record(tune_encoder(encoder, rows, TuneSpec.parse(spec["tune"])))


def assembled(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    """The fit record of the tuned cells among the inputs."""
    from limen.adapt.prepare import prepare
    from limen.adapt.tune.assemble import assemble
    from limen.study.rows import task_of
    from limen.study.stages import fit_spec

    task = task_of(spec, _features(inputs))
    cells = [record for name, record in inputs.items() if name.startswith(TUNED)]
    return assemble(task, prepare(task, fit_spec(spec["how"])), cells)


def _features(inputs: Mapping[str, StageRecord]) -> dict[str, StageRecord]:
    return {name: record for name, record in inputs.items() if not name.startswith("_")}
