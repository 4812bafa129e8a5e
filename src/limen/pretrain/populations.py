"""The two populations of a run: training examples and held-out ones, as its encoder takes them.

Rows that are left out because nothing can be made of their input are left out before the split, and told with the
population whose file they are of: with the training examples, where one file holds both.
"""

from __future__ import annotations

from dataclasses import replace

from limen.models.preprocessing.preprocessing import Preprocessing, fit_preprocessing
from limen.pretrain.examples import Examples, Source, read_raw
from limen.pretrain.options import needs_labels
from limen.pretrain.spec import PretrainSpec
from limen.pretrain.split import split_examples
from limen.records.errors import BadInput, Problem


def examples_of(run: PretrainSpec) -> tuple[Examples, Examples]:
    """The training and the held-out examples of a run. Raises BadInput for too few of them."""
    return prepared_examples(run)[:2]


def prepared_examples(run: PretrainSpec) -> tuple[Examples, Examples, Preprocessing]:
    """The same, and the preprocessing that was fitted on the training examples."""
    label = run.objective.get("label", "label") if needs_labels(run.objective) else None
    source = Source(run.data, run.input, run.column, label, run.on_bad)
    every = read_raw(source)
    if isinstance(run.heldout, str):
        training, heldout = every, read_raw(replace(source, data=run.heldout), every.classes or None)
    else:
        split = split_examples(every.digests(), run.heldout, run.split_seed)
        training, heldout = every.take(split.training), replace(every.take(split.heldout), skipped=())
    problems = []
    if len(training) < run.batch_size:
        what = f"expected at most the {len(training)} training examples, got {run.batch_size}"
        problems.append(Problem("batch_size", what))
    if len(heldout) < 2 * run.batch_size:
        what = f"expected at least 2 batches of {run.batch_size} held-out examples, got {len(heldout)} examples"
        fix = "hold out a larger share, or take a smaller batch_size"
        problems.append(Problem("heldout", what, "the held-out loss has an interval only from 2 batches on", fix))
    if problems:
        raise BadInput(problems)
    preprocessing = fit_preprocessing(run.input, run.preprocessing, training.inputs)
    return training.prepared(preprocessing), heldout.prepared(preprocessing), preprocessing
