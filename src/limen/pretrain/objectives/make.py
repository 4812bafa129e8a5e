"""From the plain description of an objective to the objective: one file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from limen.pretrain.examples import Examples
from limen.pretrain.objectives.autoencoder import Autoencoder
from limen.pretrain.objectives.contrastive import Contrastive
from limen.pretrain.objectives.masked import Masked
from limen.pretrain.objectives.next_token import NextToken
from limen.pretrain.objectives.nt_xent import NTXent
from limen.pretrain.objectives.objective import Objective
from limen.pretrain.objectives.spectral import Spectral
from limen.pretrain.objectives.supervised import Supervised
from limen.pretrain.options import COMPARING, defaults
from limen.pretrain.spec import PretrainSpec
from limen.pretrain.views.strengths import KINDS, usual_views

MAKERS: Mapping[str, Callable[..., Objective]] = {
    "nt-xent": NTXent, "contrastive": Contrastive, "spectral": Spectral, "masked": Masked, "next-token": NextToken,
    "autoencoder": Autoencoder,
}  # fmt: skip
"""Objective that needs to know nothing of its examples → its class."""


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
    own = {key: value for key, value in given.items() if key not in ("name", "augmentation", "label")}
    if name == "supervised":
        return Supervised(len(training.classes), own["loss"], views)
    return MAKERS[name](views, **own)
