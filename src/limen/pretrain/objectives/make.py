"""From the plain description of an objective to the objective: one file each."""

from __future__ import annotations

from limen.pretrain.examples import Examples
from limen.pretrain.objectives.nt_xent import NTXent
from limen.pretrain.objectives.objective import Objective
from limen.pretrain.objectives.supervised import Supervised
from limen.pretrain.options import COMPARING, defaults
from limen.pretrain.spec import PretrainSpec
from limen.pretrain.views.strengths import KINDS, usual_views


def make_objective(run: PretrainSpec, training: Examples) -> Objective:
    """The objective on such examples and, where they are labelled, their classes.

    Without a named augmentation, views are compared under the usual one for such inputs and classes told apart without
    any.
    """
    given = {**defaults(run.objective["name"]), **run.objective}
    name, named = given["name"], given["augmentation"]
    if named is not None:
        views = KINDS[run.input](**named)
    elif name in COMPARING:
        views = usual_views(run.input, training.inputs.shape[-1])
    else:
        views = KINDS[run.input]()
    if name == "supervised":
        return Supervised(len(training.classes), given["loss"], views)
    return NTXent(views, given["temperature"], given["projection"])
