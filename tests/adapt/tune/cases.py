"""Tiny encoders of images, and images of three patterns that a linear head on them almost tells apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from limen.arrays.random import stream
from limen.models.architectures.registry import build
from limen.models.preprocessing.images import Images
from limen.pretrain.encoder import CheckpointEncoder

CLASSES = 3


def images(n: int, seed: int, shift: float = 0.0) -> tuple[Any, Any]:
    """Noisy images [n, 8, 8, 1] of three patterns and their labels."""
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(99).random((CLASSES, 8, 8, 1))
    labels = rng.integers(0, CLASSES, n)
    noisy = 0.55 * patterns[labels] + 0.45 * rng.random((n, 8, 8, 1)) + shift * rng.random((1, 8, 8, 1))
    return np.clip(noisy, 0, 1).astype(np.float32), labels.astype(np.int64)


def frozen(name: str = "conv") -> CheckpointEncoder:
    """A random encoder; `resnet18` has batch norms, `vit` linear maps."""
    size = {"conv": {"width": 4}, "vit": {"width": 8, "depth": 2, "heads": 2, "patch": 4}, "mlp": {"hidden": [6]}}
    module = build({"name": name, "in_channels": 1, "image_size": 8, **size.get(name, {})})
    module.initialise(stream("test", name))
    return CheckpointEncoder(module.eval(), Images(), module.layers[-1], 0)
