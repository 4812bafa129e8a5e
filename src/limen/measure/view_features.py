"""Features of two random views of the same inputs, by a checkpoint of a run: what alignment and spectral loss are of.

Views are those of the run's objective; where it has none (its views are the inputs themselves) the usual ones for such
inputs (`limen.pretrain.views.strengths.usual_views`). Draws are keyed by the run's split seed and the block of inputs:
two checkpoints, and two runs of one split seed, see the same views.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.arrays.random import stream
from limen.records.errors import BadInput, Problem
from limen.records.stage import StageRecord

Matrix = NDArray[np.float64]
BLOCK = 256


def view_features(
    spec: Mapping[str, Any], record: StageRecord, inputs: Any, step: int | None = None
) -> tuple[Matrix, Matrix]:
    """Features [n, d] of two views of each of n inputs (as in a table) at update `step` (default: the last kept).

    `spec` is the run's (keys of `PretrainSpec`). Raises BadInput for no inputs, and for a step that was not kept.
    """
    import torch

    from limen.pretrain.determinism import deterministic
    from limen.pretrain.encoder import encode_checkpoint
    from limen.pretrain.examples import Raw
    from limen.pretrain.objectives.make import make_objective
    from limen.pretrain.populations import prepared_examples
    from limen.pretrain.spec import PretrainSpec
    from limen.pretrain.views.strengths import KINDS, usual_views
    from limen.pretrain.views.views import draw_view

    if len(inputs) == 0:
        raise BadInput(Problem("inputs", "expected at least one, got none"))
    run = PretrainSpec.parse(spec)
    training, _, preprocessing = prepared_examples(run)
    views = make_objective(run, training).views
    if views == KINDS[run.input]():
        views = usual_views(run.input, training.inputs.shape[-1])
    encoder = encode_checkpoint(record, step, threads=run.threads)
    examples = Raw(inputs).prepared(preprocessing)
    found: tuple[list[Matrix], list[Matrix]] = ([], [])
    with deterministic(run.threads), torch.no_grad():
        for start in range(0, len(examples), BLOCK):
            batch = examples.batch(np.arange(start, min(start + BLOCK, len(examples)))).inputs
            for which, rows in enumerate(found):
                view = draw_view(batch, views, stream("view features", run.split_seed, start, which))
                rows.append(encoder.module(view, encoder.layer).numpy().astype(np.float64))
    return np.concatenate(found[0]), np.concatenate(found[1])
