"""The stages of a study by name: what a worker runs for one cell.

    pretrain(spec, start?)                  weights at every checkpoint, losses of each
    features(spec, encoder?)                features [n, d] of one column of one table
    fit(spec, train, test, shift sets …)    everything that the budget of (encoder, task, method) is made of

VERSIONS[stage] is part of the identity of every cell of the stage: it rises when the same specification gives another
result. Libraries are imported when a stage first runs, so that no other verb pays for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from limen.records.stage import StageRecord
from limen.study.unchanged import unchanged

Stage = Callable[[Mapping[str, Any], Mapping[str, StageRecord]], StageRecord]
VERSIONS: dict[str, int] = {"pretrain": 3, "features": 1, "fit": 6}


def run_stage(stage: str, spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    """The record of one cell; `spec["files"]` holds path → SHA-256 of everything that the stage reads.

    Raises BadInput for input that the stage cannot use and for a file that is not, or not any more, the one that was
    planned for; KeyError for an unknown stage.
    """
    files = spec.get("files", {})
    unchanged(files)
    record = STAGES[stage]({key: value for key, value in spec.items() if key != "files"}, inputs)
    unchanged(files)
    return replace(record, kind=stage, version=VERSIONS[stage])


def pretrain(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    """Train one encoder. `spec` has the keys of `limen.pretrain.spec.PretrainSpec`; `inputs` = {start}, if any."""
    from limen.cluster.worker import tell
    from limen.pretrain.run import Around
    from limen.pretrain.run import pretrain as train
    from limen.pretrain.telling import Telling
    from limen.study.recording import observers_of, recorded
    from limen.study.unfinished import place

    if spec.get("processes", 1) > 1:
        from limen.pretrain.distributed import pretrain_together

        return pretrain_together(spec, inputs.get("start"), place())
    observers = observers_of(spec)
    record = train(spec, observers, inputs.get("start"), Around(place(), tellers=(Telling(tell),)))
    return replace(record, arrays={**record.arrays, **recorded(observers)}) if observers else record


def features(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    """Features of one column: `spec` = {encoder, data, column, input}; `inputs` = {encoder} for a pretrained one.

    Of a pretrained encoder also how many rows have a near-duplicate among those it was pretrained on, if any.
    """
    import numpy as np

    from limen.data.inputs import read_inputs

    values = read_inputs(spec["data"], spec["column"], spec["input"])
    matrix = np.asarray(_encoded(spec["encoder"], inputs, values))
    data = {"rows": len(matrix), "dimension": int(matrix.shape[1])}
    if seen := _seen(spec):
        data["seen"] = seen
    return StageRecord("features", VERSIONS["features"], data, {"features": matrix})


def fit(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    """Fit one (encoder, task, method) at all label counts and seeds. `inputs` = features of every population.

    `seen` in its data: population → rows with a near-duplicate among the pretraining rows, and rows.
    """
    from limen.adapt.fit import fit_task
    from limen.study.rows import task_of

    record = fit_task(task_of(spec, inputs), fit_spec(spec["how"]))
    seen = {
        name: [inputs[name].data["seen"], inputs[name].data["rows"]]
        for name in spec["populations"]
        if "seen" in inputs[name].data
    }
    return replace(record, data={**record.data, "seen": seen}) if seen else record


def fit_spec(plain: Mapping[str, Any]) -> Any:
    """`FitSpec` from its plain form in a cell."""
    from limen.records.task import FitSpec

    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
    return FitSpec(**fields)


def _encoded(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord], values: Any) -> Any:
    if spec["source"] == "pretrain":
        from limen.pretrain.encoder import encode_checkpoint

        return encode_checkpoint(inputs["encoder"], spec["step"], spec.get("layer"), spec["threads"]).encode(values)
    from limen.models.extract import BATCH, extract
    from limen.models.load import load_encoder

    return extract(load_encoder(spec), values, spec.get("batch_size", BATCH))


def _seen(spec: Mapping[str, Any]) -> int:
    """Rows with a near-duplicate in the data that the encoder was pretrained on; 0 where no cell pretrained it.

    One and the same file is known as that (`limen.study.overlap`) and not counted row by row.
    """
    trained = spec["encoder"].get("trained")
    if trained is None or trained["data"] == spec["data"]:
        return 0
    from limen.study.duplicates import near_duplicates

    return near_duplicates(spec["data"], spec["column"], (trained["data"], trained["column"]), spec["input"])


STAGES: dict[str, Stage] = {"pretrain": pretrain, "features": features, "fit": fit}
