"""NT-Xent against a slow obvious double loop and its closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from limen.arrays.random import stream
from limen.models.architectures.registry import build
from limen.pretrain.objectives.nt_xent import NTXent, nt_xent
from limen.pretrain.views.strengths import Augmentation


def slow_nt_xent(embeddings: np.ndarray, temperature: float) -> float:
    """The definition, one pair at a time."""
    z = [row / math.sqrt(sum(v * v for v in row)) for row in embeddings.tolist() for row in [np.array(row)]]
    size, total = len(z), 0.0
    for i in range(size):
        partner = (i + size // 2) % size
        similarity = [float(z[i] @ z[k]) / temperature for k in range(size)]
        total -= similarity[partner] - math.log(sum(math.exp(similarity[k]) for k in range(size) if k != i))
    return total / size


@pytest.mark.parametrize("batch", [1, 2, 5, 16])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_equals_the_double_loop(batch, temperature):
    z = stream("nt-xent test", batch).standard_normal((2 * batch, 7)) * 3
    assert float(nt_xent(torch.from_numpy(z), temperature)) == pytest.approx(slow_nt_xent(z, temperature), rel=1e-10)


@pytest.mark.parametrize("batch", [2, 8, 64])
def test_equal_embeddings_give_the_log_of_the_number_of_candidates(batch):
    loss = nt_xent(torch.ones(2 * batch, 4, dtype=torch.float64), 0.3)
    assert float(loss) == pytest.approx(math.log(2 * batch - 1), rel=1e-12)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_two_examples_at_opposite_poles_reach_the_least_loss(temperature):
    pole = torch.tensor([1.0, 0.0], dtype=torch.float64)
    z = torch.stack([pole, -pole, pole, -pole])
    assert float(nt_xent(z, temperature)) == pytest.approx(math.log(1 + 2 * math.exp(-2 / temperature)), rel=1e-10)


def test_stays_within_its_range():
    batch, temperature = 6, 0.4
    low = math.log(1 + (2 * batch - 2) * math.exp(-2 / temperature))
    high = 2 / temperature + math.log(2 * batch - 2 + math.exp(-2 / temperature))
    for key in range(50):
        z = torch.from_numpy(stream("range", key).standard_normal((2 * batch, 2)))
        assert low <= float(nt_xent(z, temperature)) <= high


def test_lengths_do_not_matter_and_the_pairing_does():
    z = torch.from_numpy(stream("lengths").standard_normal((8, 3)))
    lengths = torch.arange(1, 9, dtype=torch.float64)[:, None]
    torch.testing.assert_close(nt_xent(z * lengths, 0.5), nt_xent(z, 0.5))
    assert float(nt_xent(z.roll(1, dims=0), 0.5)) == pytest.approx(float(nt_xent(z, 0.5)))  # pairs move together
    assert float(nt_xent(z[[1, 0, 2, 3, 4, 5, 6, 7]], 0.5)) != pytest.approx(float(nt_xent(z, 0.5)))


def test_the_name_says_batch_temperature_and_augmentation():
    names = {
        NTXent(temperature=t, views=a).loss_name(b)
        for t in (0.1, 0.5)
        for a in (Augmentation(), Augmentation(noise=0.1))
        for b in (32, 64)
    }
    assert len(names) == 8


def test_the_head_depends_on_its_key_alone():
    one, two = (
        NTXent().head(build({"name": "linear", "in_channels": 1, "image_size": 2}), stream("head")).state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
