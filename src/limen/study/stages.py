"""The stages of a study by name: what a worker runs for one cell.

    pretrain(spec, start?)                  weights at every checkpoint, losses of each
    features(spec, encoder?)                features [n, d] of one column of one table
    fit(spec, train, test, shift sets …)    everything that the budget of (encoder, task, method) is made of
    tune(spec, train, …, encoder?)          one tuned encoder: a (method, n, seed); the fit of its method needs it

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
VERSIONS: dict[str, int] = {"pretrain": 3, "features": 1, "fit": 6, "tune": 1}


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
    """Features of one column: `spec` = {encoder, data, column, input, on_bad?}; `inputs` = {encoder} if pretrained.

    In its data also `skipped`, [row, reason] of every input that nothing could be made of; `notes`, what was done to
    the others; `seen`, how many have a near-duplicate among those that the encoder was pretrained on; where any.
    """
    import numpy as np

    from limen.data.inputs import usable_inputs

    found = usable_inputs(spec["data"], spec["column"], spec["input"], spec.get("on_bad", "stop"))
    encoder = encoder_of(spec["encoder"], inputs.get("encoder"))
    matrix = np.asarray(_encoded(encoder, spec["encoder"], found.values))
    told = {
        "skipped": [list(row) for row in found.skipped],
        "notes": _notes(encoder, spec["input"], found.values),
        "seen": _seen(spec, {row for row, _ in found.skipped}),
    }
    data = {"rows": len(matrix), "dimension": int(matrix.shape[1]), **{key: what for key, what in told.items() if what}}
    return StageRecord("features", VERSIONS["features"], data, {"features": matrix})


def fit(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    """Fit one (encoder, task, method) at all label counts and seeds. `inputs` = features of every population.

    `seen` in its data: population → rows with a near-duplicate among the pretraining rows, and rows.
    """
    from limen.adapt.fit import fit_task
    from limen.study.rows import task_of
    from limen.study.tuning import TUNED, assembled

    if any(name.startswith(TUNED) for name in inputs):
        record = assembled(spec, inputs)
    else:
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


def tune(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> StageRecord:
    """Tune one encoder on n labels of one seed. `inputs` = features of every population, and a pretrained encoder."""
    from limen.study import tuning

    return tuning.tune(spec, inputs)


def encoder_of(spec: Mapping[str, Any], record: StageRecord | None) -> Any:
    """The frozen encoder of a cell: a checkpoint of a pretraining record, or what its source loads."""
    if spec["source"] == "pretrain":
        from limen.pretrain.encoder import encode_checkpoint

        assert record is not None  # the plan names the run as a need
        return encode_checkpoint(record, spec["step"], spec.get("layer"), spec["threads"])
    from limen.models.load import load_encoder

    return load_encoder(spec)


def _encoded(encoder: Any, spec: Mapping[str, Any], values: Any) -> Any:
    if spec["source"] == "pretrain":
        return encoder.encode(values)
    from limen.models.extract import BATCH, extract

    return extract(encoder, values, spec.get("batch_size", BATCH))


def _notes(encoder: Any, kind: str, values: Any) -> list[str]:
    """What an encoder does to inputs that a person would want to know: sounds of other rates than its own."""
    if kind != "audio":
        return []
    from limen.data.audio import rate_notes

    heard = encoder.preprocessing
    return list(rate_notes(values, heard["sampling_rate"] if isinstance(heard, Mapping) else heard.rate))


def _seen(spec: Mapping[str, Any], skipped: set[int]) -> int:
    """Rows with a near-duplicate in the data that the encoder was pretrained on; 0 where no cell pretrained it.

    One and the same file is known as that (`limen.study.overlap`) and not counted row by row.
    """
    trained = spec["encoder"].get("trained")
    if trained is None or trained["data"] == spec["data"]:
        return 0
    from limen.study.duplicates import near_duplicates

    return near_duplicates(spec["data"], spec["column"], (trained["data"], trained["column"]), spec["input"], skipped)


STAGES: dict[str, Stage] = {"pretrain": pretrain, "features": features, "fit": fit, "tune": tune}
