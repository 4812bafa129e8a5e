"""The four losses of the chain as functions of weights, for slices: made from a pretraining run and a task's rows.

Weights are named arrays: `encoder.…` and `head.…` as in the record of a run, `task.weight` [d, K] and `task.bias` [K]
for a linear head on the encoder's last layer.

    empirical_pretraining_loss, pretraining_loss     per batch, on the run's training and held-out examples
    empirical_adaptation_loss, adaptation_loss       per row, log loss in nats, on fitted and on held-out rows of a task
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.adapt.losses import per_example_loss
from limen.measure.loss_slices import Arrays, LossOf
from limen.records.stage import StageRecord


def pretraining_losses(spec: Mapping[str, Any], batches: int = 8) -> dict[str, LossOf]:
    """L̂_pre and L_pre of the run that `spec` describes, on `batches` training batches and all held-out ones.

    Examples are read once; every call scores the same batches with the same draws. Raises BadInput as `pretrain`.
    """
    from limen.pretrain.determinism import deterministic
    from limen.pretrain.evaluate import BatchLosses, Scored, evaluate
    from limen.pretrain.evaluation import Evaluation
    from limen.pretrain.model import make_model
    from limen.pretrain.objectives.make import make_objective
    from limen.pretrain.populations import prepared_examples
    from limen.pretrain.spec import PretrainSpec

    run = PretrainSpec.parse(spec)
    training, heldout, preprocessing = prepared_examples(run)
    with deterministic(run.threads):
        objective = make_objective(run, training)
        model = make_model(run, objective, training, preprocessing)
    scored = Scored(objective, model, run.batch_size // run.accumulation, run.split_seed)
    last: dict[str, Any] = {}

    def both(at: Arrays) -> BatchLosses:
        if last.get("at") is not at:  # the two losses are asked for one after the other at the same weights
            weights = {k: np.array(v) for k, v in at.items() if k.split(".")[0] in ("encoder", "head")}
            with deterministic(run.threads):
                last["losses"] = evaluate(scored, weights, (training, heldout), Evaluation(1, batches))
            last["at"] = at
        found: BatchLosses = last["losses"]
        return found

    return {
        "empirical_pretraining_loss": lambda at: np.array(both(at).training_losses),
        "pretraining_loss": lambda at: np.array(both(at).heldout_losses),
    }


def adaptation_losses(
    record: StageRecord,
    fitted: tuple[Any, NDArray[np.int64]],
    heldout: tuple[Any, NDArray[np.int64]],
    threads: int = 1,
) -> dict[str, LossOf]:
    """L̂_adapt and L_adapt of a linear head on the encoder of `record`: (inputs as in a table, labels [n]) of each."""

    def of(rows: tuple[Any, NDArray[np.int64]]) -> LossOf:
        inputs, labels = rows
        return lambda at: per_example_loss(
            _features(record, at, inputs, threads) @ at["task.weight"] + at["task.bias"], labels, "log"
        )

    return {"empirical_adaptation_loss": of(fitted), "adaptation_loss": of(heldout)}


def _features(record: StageRecord, at: Arrays, inputs: Any, threads: int) -> NDArray[np.float64]:
    import torch

    from limen.models.architectures.registry import build
    from limen.models.preprocessing.preprocessing import restore
    from limen.pretrain.encoder import CheckpointEncoder

    module = build(record.data["architecture"])
    prefix = "encoder."
    own = {k.removeprefix(prefix): torch.from_numpy(np.array(v)) for k, v in at.items() if k.startswith(prefix)}
    module.load_state_dict(own)
    preprocessing = restore(record.data.get("preprocessing", {}))
    encoder = CheckpointEncoder(module.eval(), preprocessing, record.data["layers"][-1], -1, threads)
    return encoder.encode(inputs).astype(np.float64)
