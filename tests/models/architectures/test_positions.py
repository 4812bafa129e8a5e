"""Positions and blocks of encoders of values: same order, hidden exactly, counted exactly; a row is its input's."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.arrays.random import stream  # noqa: E402
from limen.models.architectures.registry import build  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch
IMAGES = (
    {"name": "conv", "width": 8, "in_channels": 2, "image_size": 16},
    {"name": "conv", "width": 8, "in_channels": 2, "image_size": 16, "stem_stride": 2},
    {"name": "resnet18", "in_channels": 2, "image_size": 16},
    {"name": "vit", "width": 8, "depth": 2, "heads": 2, "patch": 4, "in_channels": 2, "image_size": 16},
    {"name": "mlp", "hidden": [8], "in_channels": 2, "image_size": 16},
)
SOUNDS = (
    {"name": "sound", "width": 8, "stages": 3, "bands": 5, "frames": 23},
    {"name": "sound", "width": 8, "stages": 1, "bands": 5, "frames": 8},
    {"name": "sound", "width": 8, "stages": 2, "bands": 5, "frames": 8},
)


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def _name(architecture):
    return "-".join(str(v) for v in architecture.values())


def _drawn(architecture):
    encoder = build(architecture)
    encoder.initialise(stream("positions"))
    channels = encoder.normalise.mean.numel()
    encoder.set_normalisation([0.25 * (c + 1) for c in range(channels)], [0.5 + 0.25 * c for c in range(channels)])
    return encoder.double().eval()


def _inputs(encoder, n=3):
    s = encoder.shape
    shape = (s.bands, s.frames) if encoder.takes == "audio" else (s.in_channels, s.image_size, s.image_size)
    return torch.from_numpy(stream("position inputs").random((n, *shape)))


def _cut(encoder, inputs, p):
    """Where block p lies in an input, as an index of its last axes."""
    if encoder.takes == "audio":
        return (..., slice(p * encoder.shape.span, (p + 1) * encoder.shape.span))
    size, row, column = encoder.shape.image_size // encoder.side, p // encoder.side, p % encoder.side
    return (..., slice(row * size, (row + 1) * size), slice(column * size, (column + 1) * size))


@pytest.mark.parametrize("architecture", [*IMAGES, *SOUNDS], ids=_name)
def test_blocks_are_the_normalised_values_of_their_place_and_hiding_takes_exactly_these(architecture):
    encoder = _drawn(architecture)
    inputs = _inputs(encoder)
    blocks, normal, present = encoder.blocks(inputs), encoder.normalise(inputs), encoder.present(inputs)
    positions = encoder.positions(inputs)
    assert blocks.shape == (3, positions.shape[1], encoder.block)
    assert present.shape == (3, positions.shape[1])
    assert positions.shape[2] == encoder.dimension()
    for p in range(blocks.shape[1]):
        if not bool(present[0, p]):
            continue
        cut = _cut(encoder, inputs, p)
        assert torch.equal(blocks[1, p].sort().values, normal[1][cut].flatten().sort().values)
        other = inputs.clone()
        other[1][cut] += 1.0
        differs = (encoder.blocks(other) != blocks).any(dim=2)
        assert differs.nonzero().tolist() == [[1, p]]
        where = torch.zeros_like(present)
        where[1, p] = True
        hidden = encoder.hide(inputs, where)
        assert float(encoder.blocks(hidden)[1, p].abs().max()) == 0
        assert torch.equal(encoder.blocks(hidden)[~where], blocks[~where])
        untouched = inputs.clone()
        untouched[1][cut] = hidden[1][cut]
        assert torch.equal(untouched, hidden)


def _pointwise(encoder):
    """Without norms of whole maps, attention and all but the middle tap of every convolution."""
    for module in list(encoder.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.GroupNorm | torch.nn.BatchNorm2d):
                setattr(module, name, torch.nn.Identity())
            if isinstance(child, torch.nn.Conv1d | torch.nn.Conv2d):
                middle = torch.zeros_like(child.weight)
                at = (..., *(size // 2 for size in child.kernel_size))
                middle[at] = child.weight[at]
                child.weight.data = middle
            if name == "out":
                child.weight.data.zero_()
    return encoder


@pytest.mark.parametrize("architecture", [*IMAGES[:4], *SOUNDS], ids=_name)
def test_positions_and_blocks_are_in_one_order(architecture):
    """Of an encoder that mixes no places, block p moves position p and no other."""
    encoder = _pointwise(_drawn(architecture))
    inputs = _inputs(encoder, 8)
    before = encoder.positions(inputs)
    for p in range(int(encoder.present(inputs)[0].sum())):
        other = inputs.clone()
        other[_cut(encoder, inputs, p)] += 2.0
        moved = (encoder.positions(other) != before).any(dim=2).any(dim=0)
        assert moved.nonzero().flatten().tolist() == [p]


@pytest.mark.parametrize("architecture", [*IMAGES, *SOUNDS], ids=_name)
def test_the_representation_is_the_mean_of_the_positions_and_depends_on_its_row_alone(architecture):
    encoder = _drawn(architecture)
    inputs = _inputs(encoder)
    torch.testing.assert_close(encoder(inputs), encoder.positions(inputs).mean(dim=1))
    alone = torch.cat([encoder(row[None]) for row in inputs])
    torch.testing.assert_close(encoder(inputs), alone, rtol=1e-10, atol=1e-12)
    for layer in encoder.layers:
        assert encoder(inputs, layer).shape == (3, encoder.dimension(layer))
    again = build(encoder.architecture).double().eval()
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(inputs), encoder(inputs))


def test_a_patch_of_a_vision_transformer_is_a_linear_map_of_its_pixels():
    encoder = _drawn(IMAGES[3])
    inputs = _inputs(encoder)
    patches, weight = encoder.through(inputs, "patches"), encoder.patches.linear.weight
    for p in range(16):
        block = encoder.blocks(inputs)[2, p]
        expected = weight @ block + encoder.patches.linear.bias + encoder.patches.place[p]
        torch.testing.assert_close(patches[2, p], expected, rtol=1e-10, atol=1e-12)


def test_frames_that_do_not_fill_a_position_are_no_block():
    encoder = _drawn(SOUNDS[0])
    assert encoder.present(_inputs(encoder))[0].tolist() == [True] * 5 + [False]
    assert encoder.positions(_inputs(encoder)).shape[1] == 6


def test_sound_is_normalised_per_band_and_shifts_with_time():
    """Moving a sound by whole positions inside silence of the mean moves its positions; norms see the same values."""
    encoder = _drawn({"name": "sound", "width": 8, "stages": 3, "bands": 5, "frames": 128})
    mean = encoder.normalise.mean
    x = mean.expand(1, 5, 128).clone()
    x[:, :, 52:60] += torch.from_numpy(stream("sound").standard_normal((1, 5, 8)))
    moved = mean.expand(1, 5, 128).clone()
    moved[:, :, 60:68] = x[:, :, 52:60]
    one, two = encoder.positions(x)[0], encoder.positions(moved)[0]
    torch.testing.assert_close(two[11:20], one[9:18], rtol=1e-10, atol=1e-10)
    assert float(np.abs((two[10:18] - one[10:18]).detach().numpy()).max()) > 1e-3


@pytest.mark.parametrize(
    ("architecture", "where"),
    [
        ({"name": "vit", "patch": 5, "image_size": 32}, "architecture.patch"),
        ({"name": "vit", "heads": 5}, "architecture.heads"),
        ({"name": "vit", "depth": 0}, "architecture.depth"),
        ({"name": "sound", "stages": 0}, "architecture.stages"),
        ({"name": "sound", "length": 3}, "architecture.length"),
    ],
)
def test_a_wrong_description_is_named(architecture, where):
    with pytest.raises(BadInput) as caught:
        build(architecture)
    assert [p.where for p in caught.value.problems] == [where]


def test_images_that_cannot_be_cut_into_their_positions_are_named():
    encoder = build({"name": "conv", "width": 8, "in_channels": 1, "image_size": 9})
    with pytest.raises(BadInput, match="multiple"):
        _ = encoder.patch
