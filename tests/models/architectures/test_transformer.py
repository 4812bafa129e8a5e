"""The transformer of texts: padding is never seen, a causal one looks back only, attention is that of the loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.arrays.random import stream  # noqa: E402
from limen.models.architectures.attention import Block  # noqa: E402
from limen.models.architectures.registry import build  # noqa: E402
from limen.models.preprocessing.tokens import BOS, MASK, PAD, SPECIAL  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch
SMALL = {"name": "transformer", "width": 8, "depth": 2, "heads": 2, "vocabulary": 12, "length": 10}


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def _drawn(key=0, **changes):
    encoder = build({**SMALL, **changes})
    encoder.initialise(stream("transformer", key))
    return encoder.double().eval()


def _tokens(lengths=(10, 3, 6, 1)):
    tokens = stream("transformer tokens").integers(len(SPECIAL), 12, (len(lengths), 10))
    tokens[:, 0] = BOS
    for row, length in enumerate(lengths):
        tokens[row, length:] = PAD
    return torch.from_numpy(tokens)


def slow_block(block, x, sees):
    """One text [P, width]: the formula of the module, one head and one position at a time."""
    get = {name: value.detach().numpy() for name, value in block.state_dict().items()}

    def norm(row, name):
        return (row - row.mean()) / math.sqrt(row.var() + 1e-5) * get[f"{name}.weight"] + get[f"{name}.bias"]

    width, d = x.shape[1], x.shape[1] // block.heads
    qkv = [get["qkv.weight"] @ norm(row, "norm1") + get["qkv.bias"] for row in x]
    out = []
    for i in range(len(x)):
        joined = []
        for h in range(block.heads):
            q = qkv[i][h * d : (h + 1) * d]
            seen = [j for j in range(len(x)) if sees(i, j)]
            weights = [math.exp(float(q @ qkv[j][width + h * d : width + (h + 1) * d]) / math.sqrt(d)) for j in seen]
            values = [qkv[j][2 * width + h * d : 2 * width + (h + 1) * d] for j in seen]
            joined.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
        row = x[i] + get["out.weight"] @ np.concatenate(joined) + get["out.bias"]
        inner = get["inner.weight"] @ norm(row, "norm2") + get["inner.bias"]
        gelu = np.array([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in inner])
        out.append(row + get["outer.weight"] @ gelu + get["outer.bias"])
    return np.array(out)


@pytest.mark.parametrize("causal", [False, True])
def test_a_block_is_the_formula(causal):
    block = Block(6, 3).double()
    x = torch.from_numpy(stream("block").standard_normal((2, 5, 6)))
    allowed = torch.ones(5, 5, dtype=torch.bool).tril()[None, None] if causal else None
    found = block(x, allowed).detach().numpy()
    for text in range(2):
        slow = slow_block(block, x[text].numpy(), lambda i, j: j <= i or not causal)
        np.testing.assert_allclose(found[text], slow, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_the_whole_is_embedding_blocks_norm_and_mean(causal):
    encoder, tokens = _drawn(causal=causal), _tokens()
    for row, found in zip(tokens, encoder(tokens), strict=True):
        held = [int(t) for t in row if t != PAD]
        x = np.array([(encoder.embedding.weight[t] + encoder.place[p]).detach().numpy() for p, t in enumerate(held)])
        for name in encoder.layers[1:]:
            x = slow_block(encoder.get_submodule(name), x, lambda i, j: j <= i or not causal)
        normed = np.array([(row - row.mean()) / math.sqrt(row.var() + 1e-5) for row in x])
        np.testing.assert_allclose(found.detach().numpy(), normed.mean(axis=0), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_a_text_is_the_same_in_any_batch_and_with_any_padding(causal):
    encoder, tokens = _drawn(causal=causal), _tokens()
    for layer in encoder.layers:
        together = encoder(tokens, layer)
        for row, found in zip(tokens, together, strict=True):
            length = int((row != PAD).sum())
            for width in range(length, 11):
                torch.testing.assert_close(encoder(row[None, :width], layer)[0], found, rtol=1e-12, atol=1e-12)


def test_order_and_place_matter():
    encoder, tokens = _drawn(), _tokens((10,))
    swapped = tokens.clone()
    swapped[0, [1, 2]] = swapped[0, [2, 1]] if tokens[0, 1] != tokens[0, 2] else torch.tensor([3, 4])
    assert not torch.allclose(encoder(swapped), encoder(tokens))


@pytest.mark.parametrize("causal", [False, True])
def test_what_a_position_sees(causal):
    encoder, tokens = _drawn(causal=causal), _tokens((10,))
    before = encoder.positions(tokens)[0]
    for j in range(1, 10):
        other = tokens.clone()
        other[0, j] = len(SPECIAL) + (int(tokens[0, j]) - len(SPECIAL) + 1) % 9
        changed = (encoder.positions(other)[0] != before).any(dim=1).tolist()
        assert changed == [p >= j or not causal for p in range(10)]


def test_tokens_are_blocks_and_hiding_is_a_mask():
    encoder, tokens = _drawn(), _tokens()
    assert encoder.block == encoder.vocabulary == 12
    assert torch.equal(encoder.blocks(tokens), tokens)
    assert encoder.present(tokens).sum(dim=1).tolist() == [10, 3, 6, 1]
    where = torch.zeros_like(tokens, dtype=torch.bool)
    where[0, 4] = where[2, 1] = True
    hidden = encoder.hide(tokens, where)
    assert torch.equal(hidden != tokens, where)
    assert hidden[where].tolist() == [MASK, MASK]


def test_every_layer_has_the_dimension_it_says_and_the_state_rebuilds_it():
    encoder, tokens = _drawn(), _tokens()
    assert encoder.layers == ("embedding", "block1", "block2")
    for layer in encoder.layers:
        assert encoder(tokens, layer).shape == (4, encoder.dimension(layer))
    again = build(encoder.architecture).double()
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(tokens), encoder(tokens))
    assert torch.equal(encoder(tokens, "block2"), encoder(tokens))


def test_weights_depend_on_the_key_alone_and_shortcuts_are_small():
    torch.manual_seed(1)
    one = _drawn(width=64, depth=4).state_dict()
    torch.manual_seed(2)
    two, other = _drawn(width=64, depth=4).state_dict(), _drawn(1, width=64, depth=4).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    drawn = [name for name in one if "norm" not in name and "bias" not in name]
    assert all(not torch.equal(one[name], other[name]) for name in drawn)
    assert float(one["block1.qkv.weight"].var()) == pytest.approx(1 / 64, rel=0.05)
    assert float(one["block1.out.weight"].var()) == pytest.approx(1 / 64 / 8, rel=0.1)
    assert float(one["block1.outer.weight"].var()) == pytest.approx(1 / 256 / 8, rel=0.05)
    assert float(one["place"].std()) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"heads": 3}, "architecture.heads"),
        ({"width": 0}, "architecture.width"),
        ({"causal": 1}, "architecture.causal"),
        ({"vocabulary": 2}, "architecture.vocabulary"),
        ({"hight": 2}, "architecture.hight"),
    ],
)
def test_a_wrong_description_is_named(options, where):
    with pytest.raises(BadInput) as caught:
        build({**SMALL, **options})
    assert where in [p.where for p in caught.value.problems]
