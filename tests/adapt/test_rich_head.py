"""The richer head: kernel identity, fixed before the holdout is seen, beats every linear head on rings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.adapt.prepare import Prepared, prepare
from limen.adapt.rich_head import PILOT_ROWS, _cut, _order, kernel_map, rich_head
from limen.records.task import FitSpec, LabelledFeatures, Loss, Task


def rings(n: int = 900, groups: bool = False, loss: Loss = "log") -> Prepared:
    draw = np.random.default_rng(1)
    features = draw.normal(size=(n, 2))
    labels = (np.linalg.norm(features, axis=1) > 1.18).astype(np.int64)
    units = np.arange(n) // 30 if groups else None
    return prepare(Task("rings", "raw", LabelledFeatures(features, labels, ("in", "out"), units)), FitSpec(loss=loss))


def test_inner_products_are_the_kernel_on_landmarks() -> None:
    draw = np.random.default_rng(0)
    landmarks = draw.normal(size=(40, 5))
    kernel = kernel_map(landmarks)
    mapped = kernel(landmarks)
    apart = ((landmarks[:, None] - landmarks[None]) ** 2).sum(axis=2)
    assert np.array_equal(mapped[:, :5], landmarks)
    assert np.allclose(mapped[:, 5:] @ mapped[:, 5:].T, 2 * np.exp(-kernel.rate * apart), atol=1e-5)
    # elsewhere the Nyström approximation is a projection: never longer than the kernel's own features
    elsewhere = kernel(draw.normal(size=(200, 5)))[:, 5:]
    assert (elsewhere**2).sum(axis=1).max() <= 2 * (1 + 1e-5)


def test_equal_landmarks_are_one_landmark() -> None:
    same = kernel_map(np.ones((7, 3)))
    assert same.whitening.shape == (7, 1)
    assert np.isfinite(same(np.ones((2, 3)))).all()


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_rings_are_learnt_and_twice_the_same(loss: Loss) -> None:
    prepared = rings(loss=loss)
    head, again = rich_head(prepared, 1.0), rich_head(prepared, 1.0)
    chance = np.log(2) if loss == "log" else 0.5
    assert head.holdout_loss.mean() < chance / 2
    assert np.array_equal(head.holdout_loss, again.holdout_loss)
    assert head.radius > 1.0


def test_fixed_before_the_holdout_is_seen() -> None:
    prepared = rings()
    other = replace(prepared, holdout=prepared.holdout.take(np.arange(40)))
    flipped = replace(prepared, holdout=replace_labels(prepared))
    head, fewer, wrong = (rich_head(p, 1.0) for p in (prepared, other, flipped))
    assert (head.radius, head.train_loss) == (fewer.radius, fewer.train_loss) == (wrong.radius, wrong.train_loss)
    assert np.allclose(head.holdout_loss[:40], fewer.holdout_loss)
    assert wrong.holdout_loss.mean() > head.holdout_loss.mean()


def replace_labels(prepared: Prepared) -> object:
    return replace(prepared.holdout, labels=1 - prepared.holdout.labels)


def test_pilot_keeps_blocks_on_one_side() -> None:
    block = rings(groups=True).fit_blocks
    order = _order(block, 0)
    trained, scored = _cut(order[:PILOT_ROWS], block)
    assert len(trained) + len(scored) == min(PILOT_ROWS, len(block))
    assert not set(block[trained]) & set(block[scored])
    assert sorted(order) == list(range(len(block)))
