"""What can be said of an optimizer and of an objective, with the defaults: plain data, read by studies and runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OPTIMIZERS: Mapping[str, Mapping[str, float | bool]] = {
    "sgd": {
        "learning_rate": 0.1, "momentum": 0.9, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0,
        "decoupled": False,
    },
    "adam": {"learning_rate": 1e-3, "weight_decay": 0.0},
    "adamw": {"learning_rate": 1e-3, "weight_decay": 0.01},
}  # fmt: skip
"""Options of each optimizer and their defaults; meanings in `limen.pretrain.optimizers`."""

OBJECTIVES: Mapping[str, Mapping[str, Any]] = {
    "nt-xent": {"augmentation": None, "temperature": 0.5, "projection": 64},
    "supervised": {"augmentation": None, "label": "label", "loss": "log"},
    "contrastive": {
        "augmentation": None, "pairs": "views", "label": "label", "negatives": 1, "block": 1, "surrogate": "logistic",
        "radius": 1.0,
    },
    "spectral": {"augmentation": None, "pairs": "views", "label": "label", "projection": 64},
    "masked": {"augmentation": None, "share": 0.5},
    "next-token": {"augmentation": None},
    "autoencoder": {"augmentation": None, "noise": 0.5},
}  # fmt: skip
"""Options of each objective and their defaults; meanings in the objective's file."""
COMPARING = ("nt-xent", "contrastive", "spectral")
"""Objectives that compare views: without a named augmentation they take the usual one, others none."""
CHOICES: Mapping[str, tuple[str, ...]] = {
    "loss": ("log", "squared"), "pairs": ("views", "label"), "surrogate": ("logistic", "hinge"),
}  # fmt: skip
"""Option → what it may be."""
WHOLE: Mapping[str, int] = {"projection": 1, "negatives": 1, "block": 1}
"""Option that is a whole number → the least."""
ABOVE_ZERO = ("temperature", "radius", "noise")
SHARES: tuple[str, ...] = ("share",)
"""Options between 0 and 1, both excluded."""


def defaults(name: str) -> dict[str, Any]:
    """Options of an objective at their defaults.

    >>> defaults("supervised")["loss"]
    'log'
    """
    return dict(OBJECTIVES[name])


def needs_labels(objective: Mapping[str, Any]) -> bool:
    """Whether an objective `{name, …}` looks at labels.

    >>> needs_labels({"name": "supervised"}), needs_labels({"name": "nt-xent"})
    (True, False)
    """
    return objective["name"] == "supervised" or objective.get("pairs") == "label"
