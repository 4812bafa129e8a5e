"""The least pretraining loss of a run, where its population is known; elsewhere unknown.

    optimum = inf L_pre over all encoders and heads, whatever their size       L_pre(θ) − optimum ≥ 0

It is known for runs on a world (`limen.data.worlds.pretraining.names`) whose held-out examples are its other table,
without augmentation; then L_pre − optimum is what optimisation left undone, and what the encoder is too small for.
Spectral contrastive takes the dimensions of its projection (0: of the encoder) as given, masked images the patches.

Objective × world:  supervised, spectral × finite tables;  contrastive, NT-Xent × those of two groups or equal ones;
masked, next-token, autoencoder × Markov chain with a vocabulary without merges;  masked, autoencoder × Gaussian field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from limen.data.worlds.pretraining import finite_table
from limen.data.worlds.pretraining.finite_table import FiniteTable
from limen.data.worlds.pretraining.gaussian_field import GaussianField
from limen.data.worlds.pretraining.markov_chain import MarkovChain
from limen.data.worlds.pretraining.names import HELDOUT, WORLDS
from limen.models.preprocessing.options import OPTIONS
from limen.pretrain.options import COMPARING, defaults
from limen.pretrain.spec import PretrainSpec
from limen.pretrain.views.strengths import KINDS

UNMERGED = 259
"""Size of a vocabulary of the 256 bytes and the special tokens alone."""


@dataclass(frozen=True, slots=True)
class Optimum:
    """A least loss, in the units of the pretraining loss, and where it comes from."""

    value: float
    source: str


def optimum_of(run: PretrainSpec) -> Optimum | None:
    """The least loss that a run can have; None where it is not known.

    >>> run = {"data": "world:two-images", "heldout": "world:two-images:heldout", "steps": 9, "batch_size": 2}
    >>> run["objective"] = {"name": "contrastive", "pairs": "label", "augmentation": "none"}
    >>> round(optimum_of(PretrainSpec.parse(run)).value, 6)
    0.591559
    """
    world = WORLDS.get(run.data)
    if world is None or run.heldout != run.data + HELDOUT or run.input != world.input:
        return None
    options = {**defaults(run.objective["name"]), **run.objective}
    if (run.column or run.input) != run.input or options.get("label", "label") != "label" or _viewed(run, options):
        return None
    if isinstance(world, FiniteTable):
        value, source = _of_table(world, run, options)
    elif isinstance(world, MarkovChain):
        value, source = _of_chain(world, run, options)
    else:
        value, source = _of_field(world, run, options)
    return None if value is None else Optimum(value, f"{run.data}: {source}")


def _viewed(run: PretrainSpec, options: Mapping[str, Any]) -> bool:
    """Whether views differ from the inputs."""
    named = options["augmentation"]
    if named is None:
        return options["name"] in COMPARING
    return KINDS[run.input](**named) != KINDS[run.input]()


def _of_table(world: FiniteTable, run: PretrainSpec, options: Mapping[str, Any]) -> tuple[float | None, str]:
    name, pairs = options["name"], options.get("pairs", "views")
    if name == "supervised":
        source = "entropy of the class given the image" if options["loss"] == "log" else "its variance, halved"
        return world.bayes(options["loss"]), source
    if name == "spectral":
        k = options["projection"] or _encoder(run, in_channels=1, image_size=finite_table.SIDE).dimension()
        return world.spectral(pairs, k), f"{k} largest eigenvalues of the adjacency of images"
    groups = world.groups(pairs)
    if groups is None:
        return None, ""
    source = f"a simplex of {len(groups)} {'classes' if pairs == 'label' else 'images'}"
    if name == "contrastive":
        least = finite_table.contrastive(groups, options["negatives"], options["surrogate"], options["radius"])
        return least, source
    if name == "nt-xent":
        return finite_table.nt_xent(groups, run.batch_size // run.accumulation, options["temperature"]), source
    return None, ""


def _of_chain(world: MarkovChain, run: PretrainSpec, options: Mapping[str, Any]) -> tuple[float | None, str]:
    given = {**OPTIONS["text"], **run.preprocessing}
    letters = min(world.letters, int(given["length"]) - 2)
    if given["vocabulary"] != UNMERGED or letters < 1:
        return None, ""
    least: Mapping[str, Callable[[], float]] = {
        "next-token": lambda: world.next_token(letters),
        "masked": lambda: world.masked(letters, options["share"]),
        "autoencoder": lambda: world.autoencoder(letters, options["noise"]),
    }
    name = options["name"]
    return (least[name](), "conditional entropies of the letters, by enumeration") if name in least else (None, "")


def _of_field(world: GaussianField, run: PretrainSpec, options: Mapping[str, Any]) -> tuple[float | None, str]:
    if options["name"] == "autoencoder":
        return world.autoencoder(options["noise"]), "error of the best linear estimate, from eigenvalues"
    if options["name"] == "masked":
        side = _encoder(run, in_channels=1, image_size=world.side).side
        return world.masked(side, options["share"]), "variance of hidden patches given the others"
    return None, ""


def _encoder(run: PretrainSpec, **facts: int) -> Any:
    """The encoder of the run, its weights not drawn."""
    import torch

    from limen.models.architectures.registry import build

    with torch.random.fork_rng(), torch.device("meta"):
        return build({**run.architecture, **facts})
