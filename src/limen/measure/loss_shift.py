"""The pretraining loss on a task's inputs less the loss on held-out pretraining examples: a shift without any label.

Both are means over disjoint batches of B, of two different samples of examples: Welch. Batch size, views and draws are
those of the run (`limen.pretrain.evaluate`), so the two are losses of one name; the encoder's seed of batches is kept.
0 does not mean "the same population": it means "no harder for this objective".

Source: theory Q4 (b); estimators §7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limen.arrays.means import welch_interval
from limen.measure.pretraining import heldout_batches
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.stage import StageRecord

LEAST_BATCHES = 2


def loss_shift(task_losses: ArrayLike, heldout_losses: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean of the batch losses on task inputs [m] less that on held-out pretraining examples [k].

    >>> loss_shift([3.0, 4.0, 5.0], [1.0, 2.0, 3.0]).value
    2.0
    """
    a, b = (np.asarray(x, dtype=np.float64).reshape(-1) for x in (task_losses, heldout_losses))
    method = "difference of means over batches, Welch"
    if (least := min(a.size, b.size)) < LEAST_BATCHES:
        return not_identified(f"{least} batches have no spread; at least 2 are needed", n=least, method=method)
    found = welch_interval(a, b, confidence)
    said = ("task inputs and held-out examples are independent samples", "batch losses near Gaussian")
    return Estimate(
        found.value, found.low, found.high, confidence, "statistical", found.units, method, said, "Welch 1947"
    )


def loss_shifts(
    record: StageRecord, task_losses: Mapping[int, ArrayLike], confidence: float = 0.95
) -> dict[int, Estimate]:
    """`loss_shift` at every checkpoint of a pretraining record of which `task_losses` has the batches: step → shift.

    Raises BadInput for steps that the record has not.
    """
    steps = sorted(int(found["step"]) for found in record.data["checkpoints"])
    if unknown := sorted(set(task_losses) - set(steps)):
        what = f"expected steps among {', '.join(map(str, steps))}, got {unknown[0]}"
        raise BadInput(Problem("task_losses", what))
    held = dict(zip(steps, heldout_batches(record), strict=True))
    return {step: loss_shift(losses, held[step], confidence) for step, losses in sorted(task_losses.items())}


def losses_on_inputs(
    spec: Mapping[str, Any], record: StageRecord, inputs: Any, draws: int = 2
) -> dict[int, NDArray[np.float64]]:
    """Pretraining loss of every checkpoint on batches of other inputs, as they are in a table: step → [batches].

    `spec` is the run's (keys of `PretrainSpec`), `inputs` images [n, h, w, c], texts or sounds. Inputs are prepared as
    the run's own. Raises BadInput for fewer inputs than two batches, and for objectives that look at labels.
    """
    from limen.pretrain.checkpoints import unpack
    from limen.pretrain.determinism import deterministic
    from limen.pretrain.evaluate import Scored, evaluate
    from limen.pretrain.evaluation import Evaluation
    from limen.pretrain.examples import Raw
    from limen.pretrain.model import make_model
    from limen.pretrain.objectives.make import make_objective
    from limen.pretrain.options import needs_labels
    from limen.pretrain.populations import prepared_examples
    from limen.pretrain.spec import PretrainSpec

    run = PretrainSpec.parse(spec)
    size = run.batch_size // run.accumulation
    problems = []
    if needs_labels(run.objective):
        problems.append(Problem("objective", "looks at labels, which a task's inputs have not", fix="feature_shift"))
    if len(inputs) < LEAST_BATCHES * size:
        problems.append(Problem("inputs", f"expected at least 2 batches of {size}, got {len(inputs)} inputs"))
    if problems:
        raise BadInput(problems)
    training, _, preprocessing = prepared_examples(run)
    examples = Raw(inputs).prepared(preprocessing)
    with deterministic(run.threads):
        objective = make_objective(run, training)
        model = make_model(run, objective, training, preprocessing)
        scored, effort = Scored(objective, model, size, run.split_seed), Evaluation(draws, 0)
        return {
            int(found["step"]): np.array(
                evaluate(scored, unpack(record.arrays, int(found["step"])), (training, examples), effort).heldout_losses
            )
            for found in record.data["checkpoints"]
        }
