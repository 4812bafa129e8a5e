"""Random views of a sound: what an encoder pretrained by comparing views learns to ignore.

One view of a logarithmic spectrum [bands, frames], every draw independent per sound:

shift    moved by a uniform whole number of frames in ±shift·frames; silence (the least value of the sound) moves in
gain     plus U(−gain, gain): louder or softer by a factor e^gain at most
noise    plus N(0, noise²) on every value
bands    a run of U{0, …, bands} neighbouring bands becomes the mean of the sound (SpecAugment)
frames   the same with a share of at most `frames` of the frames

Source: Park et al. 2019, SpecAugment (arXiv:1904.08779), without its time warping.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from limen.pretrain.views.strengths import SoundViews


def sound_view(spectra: Any, views: SoundViews, rng: np.random.Generator) -> Any:
    """One random view of each sound: tensor [n, bands, frames] → the same shape; all randomness is from `rng`."""
    given = spectra.numpy()
    n, bands, frames = given.shape
    if views.shift:
        most = int(views.shift * frames)
        moves = rng.integers(-most, most + 1, size=n)
        at = np.arange(frames)[None, :] - moves[:, None]
        inside = (at >= 0) & (at < frames)
        moved = np.take_along_axis(given, np.clip(at, 0, frames - 1)[:, None, :], axis=2)
        given = np.where(inside[:, None, :], moved, given.min(axis=(1, 2), keepdims=True))
    mean = given.mean(axis=(1, 2), keepdims=True)
    if views.gain:
        given = given + rng.uniform(-views.gain, views.gain, size=(n, 1, 1)).astype(np.float32)
    if views.noise:
        given = given + np.float32(views.noise) * rng.standard_normal(given.shape, dtype=np.float32)
    if views.bands:
        given = np.where(_run(rng, n, bands, min(views.bands, bands))[:, :, None], mean, given)
    if views.frames:
        given = np.where(_run(rng, n, frames, int(views.frames * frames))[:, None, :], mean, given)
    return torch.from_numpy(np.ascontiguousarray(given, dtype=np.float32))


def _run(rng: np.random.Generator, n: int, size: int, most: int) -> Any:
    """For each of n a run of 0 to `most` neighbours among `size`, uniform in length and place: boolean [n, size]."""
    lengths = rng.integers(0, most + 1, size=n)
    starts = np.floor(rng.random(n) * (size - lengths + 1)).astype(int)
    at = np.arange(size)[None, :]
    return (at >= starts[:, None]) & (at < (starts + lengths)[:, None])
