"""The network of the recipes: trained on CIFAR-10 once, measured once, continued at a constant learning rate.

trained   cross-entropy, heavy ball, learning rate falling linearly to that of the continuation; weight decay
          throughout; then `settle_steps` at `settle_rate` in batches of `settle_batch`: of all examples, that goes to a
          minimum; of the continuation's settings, to its stationary state
measured  at the checkpoint, as training sees the loss: BatchNorm on the statistics of batches of the training size.
          Hessian of the first `curvature_examples` images; noise between batches of all of them; spectral density
continued from the checkpoint at rest (v = 0) under one sampling order, recorded along the measured modes

The measured curvature belongs to the checkpoint; the network moves on. That is one of the things the recipes test.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from studies.sgd.common import Images, Place, Run, cifar, recording
from studies.sgd.dense import MOST, dense
from torch.nn import functional
from torch.nn.utils import parameters_to_vector

from limen.arrays.random import stream
from limen.arrays.spectral_density import Probing
from limen.measure.curvature.spectrum import Search
from limen.measure.dynamics.attach import attached
from limen.models.architectures.registry import build
from limen.pretrain.samplers import Sampler
from limen.records.curvature import Curvature
from limen.records.gradient_noise import GradientNoise
from limen.theory.sgd import Modes

SETTLE = 256
SETTLED = 1000
"""The seed of the batches that settle a checkpoint, less that of its continuation: other batches."""
WALK = 8
UNSEEN = 2048
"""Images of `unseen_curvature`, at most."""


@dataclass(frozen=True)
class Settings:
    """The checkpoint, how it was measured, and the run that continues it (the default of the sweeps).

    `width` is of a ResNet-18, or of the one hidden layer (GELU) of an `mlp`; `pool` the side of the squares of pixels
    that are averaged; `burn` steps of a continuation are left out of its averages; `seeds` continuations of each kind.
    """

    LATER: ClassVar[tuple[str, ...]] = (
        "architecture", "pool", "settle_steps", "settle_batch", "settle_rate", "burn", "seeds",
    )  # fmt: skip
    architecture: str = "resnet18"
    width: int = 16
    pool: int = 1
    examples: int = 10_000
    test: int = 1000
    train_steps: int = 312
    train_batch: int = 128
    train_rate: float = 0.1
    learning_rate: float = 0.01
    momentum: float = 0.9
    batch_size: int = 32
    weight_decay: float = 1e-4
    steps: int = 1200
    curvature_examples: int = 256
    modes: int = 6
    probes: int = 2
    probe_steps: int = 12
    settle_steps: int = 0
    settle_batch: int = 32
    settle_rate: float = 0.01
    burn: int = 0
    seeds: int = 1
    seed: int = 0

    def run(self, **changed: Any) -> Run:
        """The continuation, with some settings changed."""
        given: dict[str, Any] = {
            "learning_rate": self.learning_rate, "momentum": self.momentum, "batch_size": self.batch_size,
            "steps": self.steps, "weight_decay": self.weight_decay, "seed": self.seed,
        }  # fmt: skip
        return Run(**{**given, **changed})


FULL = Settings(
    train_steps=2340, test=10_000, steps=20_000, curvature_examples=10_000, modes=20, probes=8, probe_steps=40
)
"""30 epochs of training, 64 epochs of each continuation, curvature of all 10,000 images: about 15 hours of one core,
by the cost of an image in the default run."""

LONGER = Settings(train_steps=1170, steps=2400)
"""15 epochs of training, twice the continuation: about half an hour of one core."""

STILL = Settings(
    width=8, pool=2, examples=2000, train_steps=600, batch_size=20, weight_decay=5e-3, steps=2700,
    settle_steps=1500, settle_batch=20, burn=300, curvature_examples=300, modes=4, probes=2, probe_steps=8,
)  # fmt: skip
"""A ResNet-18 that can come to rest: 2,000 images of 16×16, and a weight decay strong enough for its norms to settle
(some (1 − β)/2ηλ = 1,000 steps), 1,500 steps at the settings of the continuation before it begins."""

SMOOTH = Settings(
    architecture="mlp", width=16, pool=8, examples=2000, train_steps=3000, train_batch=100, train_rate=0.2,
    learning_rate=0.02, batch_size=100, weight_decay=2e-2, steps=10_000, settle_steps=4000, settle_batch=2000,
    settle_rate=0.2, burn=1500, curvature_examples=2000, modes=20, probes=4, probe_steps=40, seeds=4,
)  # fmt: skip
"""No kinks, no BatchNorm, a minimum: 48 inputs (4×4 pixels), 16 GELU units, 10 classes. Its 954 eigenpairs are all
known; most modes are no slower than (1 − β)/ηλ = 250 steps, a few are softer."""
ARMS = {"longer": LONGER, "still": STILL, "smooth": SMOOTH}


class Network:
    """The checkpoint of some settings under a place; everything is made when first asked for, and kept."""

    def __init__(self, place: Place, settings: Settings) -> None:
        self.place, self.settings = place, settings
        s = settings
        self._trained: list[Any] = [
            s.width, s.examples, s.train_steps, s.train_batch, s.train_rate, s.learning_rate, s.momentum,
            s.weight_decay, s.seed,
        ]  # fmt: skip
        if s.architecture != "resnet18" or s.pool > 1:
            self._trained += [s.architecture, s.pool]
        if s.settle_steps:
            self._trained += ["settled", s.settle_steps, s.settle_batch, s.settle_rate]
        self._measured: list[Any] = [
            *self._trained,
            s.curvature_examples,
            s.modes,
            s.probes,
            s.probe_steps,
            s.batch_size,
        ]

    @cached_property
    def images(self) -> Images:
        """Training images."""
        return pooled(cifar(self.place, "train", self.settings.examples), self.settings.pool)

    @cached_property
    def test_images(self) -> Images:
        """Test images."""
        return pooled(cifar(self.place, "test", self.settings.test), self.settings.pool)

    def take(self, rows: Any, images: Images | None = None) -> tuple[Any, Any]:
        """A batch of training (or other) images and labels."""
        return (images or self.images).batch(np.asarray(rows))

    def model(self) -> Any:
        """A new copy of the network at the checkpoint, in training mode."""
        file = self.place.folder("checkpoint", self._trained).with_suffix(".pt")
        model = self._fresh()
        if not file.exists():
            self._train(model)
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.save(model.state_dict(), file.with_suffix(".partial"))
            os.replace(file.with_suffix(".partial"), file)
        model.load_state_dict(torch.load(file, weights_only=True))
        return model.train()

    @cached_property
    def measured(self) -> tuple[Curvature, GradientNoise]:
        """Curvature with its density, and noise, at the checkpoint."""
        import limen

        s, folder = self.settings, self.place.folder("measured", self._measured)
        folder.mkdir(parents=True, exist_ok=True)
        curvature, noise = attached(folder)
        if curvature is None:
            batches = self._batches(s.curvature_examples)
            curvature = limen.curvature(
                self.model(), loss, batches, modes=s.modes, tolerance=0.01, batch_norm="train",
                density=Probing(probes=s.probes, steps=s.probe_steps), search=_search(s.modes),
            )  # fmt: skip
            limen.attach(folder, curvature=curvature)
        if noise is None:
            noise = limen.gradient_noise(
                self.model(), loss, self._batches(s.examples), curvature, batch_size=s.batch_size, sampling=None
            )
            limen.attach(folder, noise=noise)
        return curvature, noise

    def continued(self, run: Run) -> Path:
        """The recording of a continuation, curvature and noise attached."""
        import limen

        curvature, noise = self.measured
        folder = self.place.folder(f"run-{run.sampling}", [self._measured, run])
        recording(folder, self.model(), loss, self.take, self.settings.examples, run, curvature)
        limen.attach(folder, curvature=curvature, noise=noise)
        return folder

    @cached_property
    def exact(self) -> dict[str, Any] | None:
        """Quadratic problems in all eigenpairs: at the `checkpoint`, and averaged over the `path` of another walk at
        the settings of the continuation; None for a network with BatchNorm or too large."""
        s, model = self.settings, self.model()
        if s.architecture != "mlp" or sum(part.numel() for part in model.parameters()) > MOST:
            return None
        examples = self.take(np.arange(s.examples))
        start = parameters_to_vector(model.parameters()).detach()
        found = {"checkpoint": dense(model, [start], *examples), "path": dense(model, self._walk(), *examples)}
        problems = {
            name: Modes(
                one.curvature, one.noise, s.learning_rate, s.momentum, s.batch_size, s.weight_decay, examples=s.examples
            )
            for name, one in found.items()
        }
        return problems | {"trace_error": found["path"].trace_error}

    def _walk(self) -> list[Any]:
        """Weights at `WALK` points of a continuation with independent batches, `burn`/2 steps apart after `burn`."""
        s, model, points = self.settings, self.model(), []
        optimizer = torch.optim.SGD(
            model.parameters(), lr=s.learning_rate, momentum=s.momentum, weight_decay=s.weight_decay
        )
        steps = s.burn + (WALK - 1) * (s.burn // 2)
        sampler = Sampler("iid", s.examples, s.batch_size, s.seed + SETTLED)
        for step, rows in enumerate(sampler.batches(0, steps), start=1):
            optimizer.zero_grad()
            loss(model, self.take(rows)).backward()
            optimizer.step()
            if step >= s.burn and (step - s.burn) % (s.burn // 2) == 0:
                points.append(parameters_to_vector(model.parameters()).detach().clone())
        return points

    def mean_loss(self, model: Any, images: Images, count: int) -> tuple[float, float]:
        """Loss and error over the first `count` images in batches as in training (BatchNorm on their statistics)."""
        total, wrong, seen, size = 0.0, 0, 0, self.settings.train_batch
        with torch.no_grad(), _still(model):
            for first in range(0, count - size + 1, size):
                pictures, labels = self.take(np.arange(first, first + size), images)
                scores = model(pictures)
                total += float(functional.cross_entropy(scores, labels, reduction="sum"))
                wrong += int((scores.argmax(dim=1) != labels).sum())
                seen += size
        return total / seen, wrong / seen

    def unseen_curvature(self, modes: int) -> list[float]:
        """uᵀHu of the first modes on images that the curvature was not of: its own images flatter an eigenvector."""
        s, model = self.settings, self.model()
        weights = list(model.parameters())
        sizes = [weight.numel() for weight in weights]
        found, batches = np.zeros(modes), self._batches(UNSEEN, after=s.curvature_examples)
        rows = torch.from_numpy(np.ascontiguousarray(self.measured[0].vectors[:modes]))
        axes = [[part.view_as(w) for part, w in zip(u.split(sizes), weights, strict=True)] for u in rows]
        with _still(model):
            for batch in batches:
                slope = torch.autograd.grad(loss(model, batch), weights, create_graph=True)
                for i, axis in enumerate(axes):
                    along = sum((g * u).sum() for g, u in zip(slope, axis, strict=True))
                    turned = torch.autograd.grad(along, weights, retain_graph=True)
                    found[i] += sum(float((h * u).sum()) for h, u in zip(turned, axis, strict=True)) / len(batches)
        return found.tolist()

    def _batches(self, count: int, after: int = 0) -> list[tuple[Any, Any]]:
        size = self.settings.batch_size
        order = stream("studies/network", self.settings.seed).permutation(self.settings.examples)
        order = order[after : after + count]
        return [self.take(order[i : i + size]) for i in range(0, len(order) - size + 1, size)]

    def _fresh(self) -> Any:
        size = int(self.images.images.shape[1])
        with torch.random.fork_rng():
            name, width = self.settings.architecture, self.settings.width
            shape = {"hidden": [width]} if name == "mlp" else {"width": width}
            encoder = build({"name": name, "image_size": size, **shape})
            head = torch.nn.Linear(encoder.dimension(), len(self.images.classes))
        encoder.initialise(stream("studies/encoder", self.settings.seed))
        encoder.set_normalisation(*self.images.moments())
        with torch.no_grad():
            head.weight.zero_()
            head.bias.zero_()
        encoder.settle(self.take(np.arange(min(SETTLE, len(self.images))))[0])
        return torch.nn.Sequential(encoder, head).train()

    def _train(self, model: Any) -> None:
        s = self.settings
        optimizer = torch.optim.SGD(
            model.parameters(), lr=s.train_rate, momentum=s.momentum, weight_decay=s.weight_decay
        )
        fall = (s.train_rate + (s.learning_rate - s.train_rate) * step / s.train_steps for step in range(s.train_steps))
        rates = [*fall, *[s.settle_rate] * s.settle_steps]
        fast = Sampler("reshuffle", s.examples, s.train_batch, s.seed).batches(0, s.train_steps)
        slow = Sampler("iid", s.examples, min(s.settle_batch, s.examples), s.seed + SETTLED).batches(0, s.settle_steps)
        for rate, rows in zip(rates, chain(fast, slow), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            loss(model, self.take(rows)).backward()
            optimizer.step()


def pooled(images: Images, side: int) -> Images:
    """Images of a `side`-th of the size: means over squares of pixels, rounded.

    >>> small = pooled(Images(np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1), np.zeros(1, dtype=int), ("a",)), 2)
    >>> small.images[0, :, :, 0].tolist()
    [[2, 4], [10, 12]]
    """
    if side == 1:
        return images
    n, height, width, channels = images.images.shape
    squares = images.images.reshape(n, height // side, side, width // side, side, channels)
    small = np.rint(squares.mean(axis=(2, 4), dtype=np.float64)).astype(np.uint8)
    return Images(small, images.labels, images.classes)


def loss(model: Any, batch: tuple[Any, Any], reduction: str = "mean") -> Any:
    """Cross-entropy of a batch: its mean, or one of each example."""
    return functional.cross_entropy(model(batch[0]), batch[1], reduction=reduction)


def _search(modes: int) -> Search:
    """At most 10 products a mode: pairs that have not converged by then say so."""
    return Search(ends="largest", products=10 * modes)


class _still:
    """BatchNorm keeps its running statistics while a model in training mode is evaluated."""

    def __init__(self, model: Any) -> None:
        self.norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]

    def __enter__(self) -> None:
        self.kept = [norm.track_running_stats for norm in self.norms]
        for norm in self.norms:
            norm.track_running_stats = False

    def __exit__(self, *_: object) -> None:
        for norm, kept in zip(self.norms, self.kept, strict=True):
            norm.track_running_stats = kept
