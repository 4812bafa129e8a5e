"""Finite populations: every loss and minimum is a mean over rows that are all known, so truth has no error of its own.

A world is N labelled rows, the whole population. `sample` draws rows i.i.d. (with replacement), as a user's file is
drawn; what an estimator says of the sample is then compared with the same mean over all N rows.

gaussian_classes   x | y ~ N(μ_y, I), μ_c = separation·(random unit vector)·√d/2; a label is replaced by a uniform
                   one of the other classes with probability `label_noise`
subclusters        each class a mixture of 4 centres, x | centre ~ t_6 tails: a linear adapter is misspecified
smoothed           given rows (embeddings, pixels), `copies` of each with Gaussian noise of `noise` × their spread

`bayes_risk` (nats) of Gaussian classes: mean over the population of the entropy of the exact posterior of y given x
under the law the rows were drawn from; None where that law is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.special
from numpy.typing import NDArray

from limen.records.task import Floats, Integers, LabelledFeatures

CENTRES = 4
TAIL_FREEDOM = 6.0


@dataclass(frozen=True, slots=True)
class World:
    """A whole population: features [N, d], labels [N]."""

    name: str
    features: Floats
    labels: Integers
    classes: int
    bayes_risk: float | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, n: int, rng: np.random.Generator) -> LabelledFeatures:
        """n rows drawn i.i.d. from the population.

        >>> world = gaussian_classes(classes=2, dimension=3, rows=100)
        >>> len(world.sample(7, np.random.default_rng(0)))
        7
        """
        rows = rng.integers(0, len(self), n)
        return LabelledFeatures(self.features[rows], self.labels[rows], tuple(str(c) for c in range(self.classes)))

    def everything(self) -> LabelledFeatures:
        """The population itself as rows."""
        return LabelledFeatures(self.features, self.labels, tuple(str(c) for c in range(self.classes)))


def gaussian_classes(
    classes: int, dimension: int, rows: int, separation: float = 1.0, label_noise: float = 0.0, seed: int = 0
) -> World:
    """Gaussian classes of equal covariance: without label noise a linear adapter of unlimited norm is the Bayes rule.

    >>> far = gaussian_classes(classes=2, dimension=4, rows=2000, separation=20.0)
    >>> far.bayes_risk < 1e-6
    True
    >>> same = gaussian_classes(classes=4, dimension=4, rows=2000, separation=0.0)
    >>> round(same.bayes_risk / float(np.log(4)), 6)
    1.0
    """
    rng = np.random.default_rng(seed)
    means = _directions(rng, classes, dimension) * separation * np.sqrt(dimension) / 2
    clean = rng.integers(0, classes, rows)
    features = means[clean] + rng.normal(size=(rows, dimension))
    labels = _with_noise(clean, classes, label_noise, rng)
    log_density = features @ means.T - (means**2).sum(axis=1) / 2
    posterior = scipy.special.softmax(log_density, axis=1)
    noisy = posterior * (1 - label_noise) + (1 - posterior) * label_noise / (classes - 1)
    risk = float(scipy.special.entr(noisy).sum(axis=1).mean())
    return World("gaussian-classes", features, labels, classes, risk)


def subclusters(
    classes: int, dimension: int, rows: int, separation: float = 1.0, label_noise: float = 0.08, seed: int = 0
) -> World:
    """Four heavy-tailed centres a class and label noise: no linear adapter is well specified.

    >>> world = subclusters(classes=3, dimension=5, rows=300)
    >>> world.features.shape, sorted(set(world.labels.tolist()))
    ((300, 5), [0, 1, 2])
    """
    rng = np.random.default_rng(seed)
    centres = _directions(rng, classes * CENTRES, dimension) * separation * np.sqrt(dimension) / 2
    own = rng.integers(0, classes * CENTRES, rows)
    # one scale for a whole row: joint tails, as outlying rows have
    scale = np.sqrt(TAIL_FREEDOM / rng.chisquare(TAIL_FREEDOM, size=(rows, 1)))
    features = centres[own] + scale * rng.normal(size=(rows, dimension))
    return World("subclusters", features, _with_noise(own // CENTRES, classes, label_noise, rng), classes)


def smoothed(name: str, given: tuple[Floats, Integers], copies: int = 8, noise: float = 0.3, seed: int = 0) -> World:
    """A population around real rows (features [n, d], labels [n]): copies with Gaussian noise, all rows distinct.

    `noise` is relative to the standard deviation of all entries of the features about their column means.

    >>> world = smoothed("two", (np.array([[0.0], [1.0]]), np.array([0, 1])), copies=3)
    >>> len(world), world.classes, len(np.unique(world.features))
    (6, 2, 6)
    """
    features, labels = given
    rng = np.random.default_rng(seed)
    spread = float((features - features.mean(axis=0)).std())
    many = np.repeat(features.astype(np.float64), copies, axis=0)
    many += noise * spread * rng.normal(size=many.shape)
    return World(name, many, np.repeat(labels.astype(np.int64), copies), int(labels.max()) + 1)


def principal_components(features: Floats, count: int) -> NDArray[np.float64]:
    """Scores [n, count] on the first principal components: a small version of large embeddings.

    >>> principal_components(np.array([[1.0, 1.0], [-1.0, -1.0]]), 1).round(3).ravel().tolist() in (
    ...     [1.414, -1.414], [-1.414, 1.414])
    True
    """
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    scores: NDArray[np.float64] = centred @ directions[:count].T
    return scores


def _directions(rng: np.random.Generator, count: int, dimension: int) -> NDArray[np.float64]:
    raw = rng.normal(size=(count, dimension))
    unit: NDArray[np.float64] = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return unit


def _with_noise(clean: Integers, classes: int, share: float, rng: np.random.Generator) -> Integers:
    moved = rng.random(len(clean)) < share
    step = rng.integers(1, classes, len(clean))
    noisy: Integers = np.where(moved, (clean + step) % classes, clean).astype(np.int64)
    return noisy
