"""Objectives that restore an input: what is hidden stays hidden, what is cut does not count, costs are the loops'."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.arrays.random import stream  # noqa: E402
from limen.models.architectures.registry import build  # noqa: E402
from limen.models.preprocessing.tokens import BOS, MASK, PAD, SPECIAL  # noqa: E402
from limen.pretrain.examples import Batch  # noqa: E402
from limen.pretrain.objectives.autoencoder import Autoencoder  # noqa: E402
from limen.pretrain.objectives.masked import Masked  # noqa: E402
from limen.pretrain.objectives.next_token import NextToken  # noqa: E402
from limen.pretrain.objectives.restore import hidden_positions, restoring_loss  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch
TEXT = {"name": "transformer", "width": 8, "depth": 2, "heads": 2, "vocabulary": 12, "length": 9}
VALUES = (
    {"name": "conv", "width": 8, "in_channels": 2, "image_size": 8},
    {"name": "resnet18", "in_channels": 2, "image_size": 16},
    {"name": "vit", "width": 8, "depth": 2, "heads": 2, "patch": 4, "in_channels": 2, "image_size": 12},
    {"name": "sound", "width": 8, "stages": 2, "bands": 5, "frames": 11},
)


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def _built(architecture, head=None):
    encoder = build(architecture)
    encoder.initialise(stream("restoring encoder"))
    if encoder.vocabulary is None:
        channels = encoder.normalise.mean.numel()
        encoder.set_normalisation([0.3 + 0.1 * c for c in range(channels)], [0.5 + 0.1 * c for c in range(channels)])
    encoder = encoder.double().eval()
    return encoder, None if head is None else head.head(encoder, stream("restoring head")).double()


def _inputs(encoder, n=4):
    rng = stream("restoring inputs", encoder.architecture["name"])
    if encoder.takes == "text":
        tokens = rng.integers(len(SPECIAL), 12, (n, 9))
        tokens[:, 0] = BOS
        for row, length in enumerate((9, 4, 2, 7)):
            tokens[row, length:] = PAD
        return torch.from_numpy(tokens)
    shape = encoder.shape
    size = (shape.bands, shape.frames) if encoder.takes == "audio" else (2, shape.image_size, shape.image_size)
    return torch.from_numpy(rng.random((n, *size)))


@pytest.mark.parametrize("share", [0.01, 0.07, 0.15, 0.3, 0.5, 0.55, 0.99])
@pytest.mark.parametrize("positions", [1, 7, 20, 100])
def test_exactly_the_ceiling_of_the_share_is_hidden(share, positions):
    present = torch.ones(6, positions, dtype=torch.bool)
    present[3, positions // 2 + 1 :] = False
    where = hidden_positions(present, share, stream("hide", positions))
    expected = [math.ceil(Fraction(str(share)) * int(m)) for m in present.sum(dim=1)]
    assert where.sum(dim=1).tolist() == expected
    assert not bool((where & ~present).any())


def test_every_position_is_hidden_equally_often_and_pairs_too():
    draws = hidden_positions(torch.ones(6000, 6, dtype=torch.bool), 0.5, stream("hide rate")).numpy().astype(float)
    assert np.abs(draws.mean(axis=0) - 0.5).max() < 4 * 0.5 / math.sqrt(6000)
    together = draws.T @ draws / 6000
    pairs = together[np.triu_indices(6, 1)]
    assert np.abs(pairs - 3 / 6 * 2 / 5).max() < 4 * 0.4 / math.sqrt(6000)


def test_a_position_that_holds_nothing_is_never_hidden():
    assert not bool(hidden_positions(torch.zeros(3, 4, dtype=torch.bool), 0.5, stream("hide none")).any())


@pytest.mark.parametrize("architecture", [*VALUES, TEXT], ids=lambda a: a["name"])
def test_what_is_hidden_does_not_reach_the_prediction(architecture):
    objective = Masked(share=0.4)
    encoder, head = _built(architecture, objective)
    inputs = _inputs(encoder)
    where = hidden_positions(objective._hideable(encoder, inputs), 0.4, stream("leak"))
    assert bool(where.any())
    predicted = head(encoder.positions(encoder.hide(inputs, where)))
    # Whatever differs between an input and the input without its hidden blocks is what may be changed.
    changed = torch.where(encoder.hide(inputs, where) != inputs, inputs + 1, inputs)
    assert not torch.equal(encoder.blocks(changed)[where], encoder.blocks(inputs)[where])
    assert torch.equal(encoder.blocks(changed)[~where], encoder.blocks(inputs)[~where])
    assert torch.equal(head(encoder.positions(encoder.hide(changed, where))), predicted)
    assert not torch.equal(head(encoder.positions(encoder.hide(inputs, where & False))), predicted)


def _slow(encoder, predicted, blocks, where):
    """The cost, one position after the other."""
    costs = []
    for i, p in np.argwhere(where.numpy()):
        row, block = predicted[i, p].detach().numpy(), blocks[i, p].numpy()
        if encoder.vocabulary is None:
            costs.append(np.mean([(a - b) ** 2 for a, b in zip(row, block, strict=True)]))
        else:
            costs.append(math.log(sum(math.exp(s) for s in row)) - row[int(block)])
    return float(np.mean(costs))


@pytest.mark.parametrize("architecture", [*VALUES, TEXT], ids=lambda a: a["name"])
def test_masked_costs_what_the_loops_say(architecture):
    objective = Masked(share=0.4)
    encoder, head = _built(architecture, objective)
    inputs = _inputs(encoder)
    found = objective.batch_loss(encoder, head, Batch(inputs), stream("masked"))
    where = hidden_positions(objective._hideable(encoder, inputs), 0.4, stream("masked"))
    predicted = head(encoder.positions(encoder.hide(inputs, where)))
    assert float(found) == pytest.approx(_slow(encoder, predicted, encoder.blocks(inputs), where), rel=1e-10)
    if encoder.takes == "text":
        assert not bool(where[:, 0].any())
        assert encoder.hide(inputs, where)[where].unique().tolist() == [MASK]


@pytest.mark.parametrize("architecture", [*VALUES, TEXT], ids=lambda a: a["name"])
@pytest.mark.parametrize("objective", [Masked(share=0.4), Autoencoder(noise=0.4)], ids=["masked", "autoencoder"])
def test_a_head_of_zeros_costs_the_second_moment_or_the_log_of_the_vocabulary(architecture, objective):
    encoder, head = _built(architecture, objective)
    with torch.no_grad():
        head.weight.zero_()
    inputs = _inputs(encoder)
    found = float(objective.batch_loss(encoder, head, Batch(inputs), stream("zero head")))
    if encoder.vocabulary is not None:
        assert found == pytest.approx(math.log(12), rel=1e-12)
        return
    where = encoder.present(inputs)
    if isinstance(objective, Masked):
        where = hidden_positions(where, 0.4, stream("zero head"))
    assert found == pytest.approx(float(encoder.blocks(inputs)[where].square().mean()), rel=1e-10)


def test_nothing_to_restore_costs_nothing():
    encoder, head = _built(TEXT, Masked())
    tokens = torch.tensor([[BOS, PAD, PAD]])
    loss = Masked().batch_loss(encoder, head, Batch(tokens), stream("none"))
    assert float(loss) == 0.0
    assert restoring_loss(encoder, torch.ones(1, 3, 12), tokens, tokens < 0).item() == 0.0


@pytest.mark.parametrize(
    "architecture",
    [{**TEXT, "causal": True}, {"name": "mlp", "hidden": [8], "in_channels": 2, "image_size": 8},
     {"name": "sound", "width": 8, "stages": 3, "bands": 5, "frames": 4}],
    ids=["causal", "mlp", "one position"],
)  # fmt: skip
def test_masking_needs_positions_that_see_one_another(architecture):
    with pytest.raises(BadInput, match="see one another"):
        Masked().head(build(architecture), stream("head"))


def test_no_prediction_sees_its_token_or_a_later_one():
    objective = NextToken()
    encoder, head = _built({**TEXT, "causal": True}, objective)
    tokens = _inputs(encoder)[:1]
    before = head(encoder.positions(tokens)[:, :-1])  # row p predicts token p + 1
    for j in range(1, 9):
        other = tokens.clone()
        other[0, j] = len(SPECIAL) + (int(tokens[0, j]) - len(SPECIAL) + 1) % 9
        after = head(encoder.positions(other)[:, :-1])
        torch.testing.assert_close(after[0, :j], before[0, :j], rtol=0, atol=0)
        if j < 8:
            assert not torch.allclose(after[0, j:], before[0, j:])


def test_next_token_costs_what_the_loops_say_and_padding_nothing():
    objective = NextToken()
    encoder, head = _built({**TEXT, "causal": True}, objective)
    tokens = _inputs(encoder)
    found = float(objective.batch_loss(encoder, head, Batch(tokens), stream("next")))
    costs = []
    for row in tokens.tolist():
        for j in range(1, len(row)):
            if row[j] != PAD:
                scores = head(encoder.positions(torch.tensor([row[:j]])))[0, -1].tolist()
                costs.append(math.log(sum(math.exp(s) for s in scores)) - scores[row[j]])
    assert len(costs) == 8 + 3 + 1 + 6
    assert found == pytest.approx(float(np.mean(costs)), rel=1e-10)
    with torch.no_grad():
        head.weight.zero_()
    assert float(objective.batch_loss(encoder, head, Batch(tokens), stream("next"))) == pytest.approx(math.log(12))


@pytest.mark.parametrize("architecture", [TEXT, VALUES[0]], ids=["not causal", "conv"])
def test_next_token_needs_a_causal_encoder(architecture):
    with pytest.raises(BadInput, match="causal"):
        NextToken().head(build(architecture), stream("head"))


@pytest.mark.parametrize("architecture", VALUES, ids=lambda a: a["name"])
def test_noise_is_in_standard_deviations_of_its_channel(architecture):
    encoder, _ = _built(architecture)
    inputs = _inputs(encoder).repeat(60, *(1,) * (_inputs(encoder).dim() - 1))
    added = Autoencoder(noise=0.4)._noisy(encoder, inputs, stream("noise")) - inputs
    found = added.transpose(0, 1).flatten(1).std(dim=1)
    torch.testing.assert_close(found, 0.4 * encoder.normalise.std.flatten(), rtol=0.06, atol=0)


def test_tokens_are_replaced_at_the_rate_by_uniform_ones():
    encoder, _ = _built(TEXT)
    tokens = torch.full((4000, 9), 5)
    tokens[:, 0], tokens[:, 7:] = BOS, PAD
    noisy = Autoencoder(noise=0.36)._noisy(encoder, tokens, stream("replace"))
    assert torch.equal(noisy[:, 0], tokens[:, 0])
    assert torch.equal(noisy[:, 7:], tokens[:, 7:])
    counts = np.bincount(noisy[:, 1:7].flatten().numpy(), minlength=12) / 24_000
    expected = np.r_[np.zeros(3), np.full(9, 0.36 / 9)]
    expected[5] += 0.64
    assert np.abs(counts - expected).max() < 4 * 0.5 / math.sqrt(24_000)


@pytest.mark.parametrize("architecture", [*VALUES, TEXT], ids=lambda a: a["name"])
def test_the_autoencoder_restores_the_clean_input_from_the_noisy_one(architecture):
    objective = Autoencoder(noise=0.3)
    encoder, head = _built(architecture, objective)
    inputs = _inputs(encoder)
    found = objective.batch_loss(encoder, head, Batch(inputs), stream("restore"))
    noisy = objective._noisy(encoder, inputs, stream("restore"))
    assert not torch.equal(noisy, inputs)
    slow = _slow(encoder, head(encoder.positions(noisy)), encoder.blocks(inputs), encoder.present(inputs))
    assert float(found) == pytest.approx(slow, rel=1e-10)


def test_noise_above_one_is_no_probability_of_a_token():
    with pytest.raises(BadInput, match="probability"):
        Autoencoder(noise=1.5).head(build(TEXT), stream("head"))
    assert Autoencoder(noise=1.5).head(build(VALUES[0]), stream("head")).out_features == 2 * 2 * 2
