"""Images and their split: uniform, keyed, identical images on one side."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limen.arrays.random import stream
from limen.models.preprocessing.preprocessing import as_tensor
from limen.pretrain.examples import Raw, load_examples
from limen.pretrain.moments import channel_moments
from limen.pretrain.split import split_examples


def _images(n=200):
    return stream("split images").integers(0, 256, size=(n, 4, 4, 3), dtype=np.uint8)


def test_the_parts_are_disjoint_and_complete():
    split = split_examples(Raw(_images()).digests(), 0.3, seed=0)
    assert len(split.heldout) == 60
    assert sorted([*split.training, *split.heldout]) == list(range(200))


def test_the_split_is_keyed_by_its_seed():
    a, b, c = (split_examples(Raw(_images()).digests(), 0.3, seed) for seed in (0, 0, 1))
    assert np.array_equal(a.heldout, b.heldout)
    assert not np.array_equal(a.heldout, c.heldout)


def test_identical_images_stay_on_one_side():
    images = np.concatenate([_images(60)] * 3)
    for seed in range(5):
        split = split_examples(Raw(images).digests(), 0.3, seed)
        assert not set(split.training % 60) & set(split.heldout % 60)
        assert 54 <= len(split.heldout) <= 56


def test_every_image_is_held_out_equally_often():
    counts = np.zeros(50)
    for seed in range(400):
        counts[split_examples(Raw(_images(50)).digests(), 0.2, seed).heldout] += 1
    assert counts.mean() == 80
    assert np.sum((counts - 80) ** 2 / (400 * 0.2 * 0.8)) * 49 / 50 < 85.4  # chi-squared, 49 dof, 0.1 %


def test_a_batch_is_on_the_unit_scale_with_channels_first():
    images = _images()
    rows = np.array([3, 1])
    batch = as_tensor(images, "image", rows)
    assert batch.shape == (2, 3, 4, 4)
    np.testing.assert_allclose(batch[1, 2].numpy(), images[1, :, :, 2] / 255, rtol=1e-6)
    unit = (images / 255).astype(np.float32)
    torch.testing.assert_close(as_tensor(unit, "image", rows), batch)


def test_moments_are_those_of_the_given_rows():
    images, rows = _images(), np.arange(0, 200, 3)
    mean, std = channel_moments(images, rows)
    flat = images[rows].reshape(-1, 3) / 255
    assert mean == pytest.approx(flat.mean(axis=0))
    assert std == pytest.approx(flat.std(axis=0))
    assert channel_moments(np.full((5, 4, 4, 1), 7, np.uint8), np.arange(5))[1] == [1.0]


def test_encoded_images_are_decoded(shared_data):
    images = load_examples(str(shared_data / "cifar10" / "test.parquet"), None).inputs
    assert images.shape == (10_000, 32, 32, 3)
    assert images.dtype == np.uint8
