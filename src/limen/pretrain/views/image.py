"""Random views of an image: what an encoder pretrained by comparing views learns to ignore.

One view of x ∈ [0, 1]^{c×h×w}, every draw independent per image:

crop        a window with sides U(crop, 1)·(h, w) at a uniform place inside the image, resized back bilinearly
flip        mirrored left–right with probability ½ (not for digits and letters: a mirrored 2 is no 2)
brightness  times 1 + U(−b, b)
contrast    mean + (1 + U(−c, c))·(x − mean), the mean over the image
saturation  grey + (1 + U(−s, s))·(x − grey), grey = channel mean
grayscale   replaced by grey with probability p
noise       plus N(0, noise²) on every value

Values may leave [0, 1]: nothing is clipped. The list follows SimCLR (Chen et al. 2020) without its blur.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from limen.pretrain.views.strengths import Augmentation


def random_view(images: Any, augmentation: Augmentation, rng: np.random.Generator) -> Any:
    """One random view of each image: tensor [n, c, h, w] → tensor [n, c, h, w]; all randomness is from `rng`."""
    views = _window(images, augmentation, rng) if augmentation.crop < 1 or augmentation.flip else images
    n, channels = views.shape[:2]
    if augmentation.brightness:
        views = views * (1 + _uniform(rng, n, augmentation.brightness))
    if augmentation.contrast:
        mean = views.mean(dim=(1, 2, 3), keepdim=True)
        views = mean + (1 + _uniform(rng, n, augmentation.contrast)) * (views - mean)
    if channels == 3 and (augmentation.saturation or augmentation.grayscale):
        grey = views.mean(dim=1, keepdim=True)
        colour = 1 + _uniform(rng, n, augmentation.saturation)
        colour = torch.where(_column(rng.random(n) < augmentation.grayscale), 0.0, colour)
        views = grey + colour * (views - grey)
    if augmentation.noise:
        noise = rng.standard_normal(tuple(views.shape), dtype=np.float32)
        views = views + augmentation.noise * torch.from_numpy(noise)
    return views


def _window(images: Any, augmentation: Augmentation, rng: np.random.Generator) -> Any:
    n = images.shape[0]
    # In the coordinates of grid_sample the image is [−1, 1]²; a window of relative side s has its centre in ±(1 − s).
    side = rng.uniform(augmentation.crop, 1.0, size=(n, 2))
    centre = rng.uniform(-1.0, 1.0, size=(n, 2)) * (1 - side)
    mirror = np.where(rng.random(n) < 0.5, -1.0, 1.0) if augmentation.flip else np.ones(n)
    affine = np.zeros((n, 2, 3), dtype=np.float32)
    affine[:, 0, 0], affine[:, 0, 2] = side[:, 0] * mirror, centre[:, 0]
    affine[:, 1, 1], affine[:, 1, 2] = side[:, 1], centre[:, 1]
    grid = functional.affine_grid(torch.from_numpy(affine), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _uniform(rng: np.random.Generator, n: int, width: float) -> Any:
    return _column(rng.uniform(-width, width, size=n).astype(np.float32))


def _column(values: Any) -> Any:
    return torch.from_numpy(values).reshape(-1, 1, 1, 1)
