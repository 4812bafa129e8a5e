"""Laws of the built-in image encoder: rows do not see each other, weights come from a key alone, layers are named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limen.arrays.random import stream
from limen.models.architectures.registry import build
from limen.records.errors import BadInput

SMALL = {"name": "conv", "width": 8, "in_channels": 1, "image_size": 8}


def _drawn(architecture=SMALL, key=0):
    encoder = build(architecture)
    encoder.initialise(stream("test weights", key))
    return encoder


def _images(n=6, channels=1, size=8):
    return torch.from_numpy(stream("test images", channels, size).random((n, channels, size, size), dtype=np.float32))


def test_a_row_is_the_same_in_any_batch():
    encoder, images = _drawn(), _images()
    together = encoder(images)
    alone = torch.cat([encoder(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "channels", "size", "dimension"),
    [
        (SMALL, 1, 8, 16),
        ({"name": "conv", "width": 8}, 3, 32, 64),
        ({"name": "conv", "width": 12, "stem_stride": 2}, 3, 32, 48),
    ],
)
def test_every_layer_has_the_dimension_it_says(architecture, channels, size, dimension):
    encoder, images = _drawn(architecture), _images(2, channels, size)
    assert encoder.dimension() == dimension
    for layer in encoder.layers:
        assert encoder(images, layer).shape == (2, encoder.dimension(layer))
    torch.testing.assert_close(encoder(images), encoder(images, encoder.layers[-1]), rtol=0, atol=0)


def test_architecture_and_state_rebuild_the_encoder():
    encoder = _drawn()
    encoder.set_normalisation([0.3], [0.2])
    again = build(encoder.architecture)
    again.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(again(_images()), encoder(_images()), rtol=0, atol=0)


def test_weights_depend_on_the_key_and_not_on_torchs_global_generator():
    torch.manual_seed(1)
    one = _drawn(key=0).state_dict()
    torch.manual_seed(2)
    two, other = _drawn(key=0).state_dict(), _drawn(key=1).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["stem.0.weight"], other["stem.0.weight"])


def test_normalisation_is_part_of_the_encoder():
    plain, normalised = _drawn(), _drawn()
    normalised.set_normalisation([0.5], [0.25])
    images = _images()
    torch.testing.assert_close(normalised(images), plain((images - 0.5) / 0.25), rtol=1e-5, atol=1e-6)


def test_initial_convolutions_keep_the_second_moment():
    weight = _drawn({"name": "conv", "width": 64}).state_dict()["stage2.conv1.weight"].numpy()
    assert weight.var() == pytest.approx(2 / (64 * 9), rel=0.03)


@pytest.mark.parametrize(
    ("architecture", "where"),
    [
        ({"name": "cnv"}, "architecture.name"),
        ({"name": "conv", "widht": 8}, "architecture.widht"),
        ({"name": "conv", "width": 0}, "architecture.width"),
        ({"name": "conv", "width": "8"}, "architecture.width"),
        ({"name": "conv", "image_size": 2}, "architecture.image_size"),
        ({}, "architecture.name"),
    ],
)
def test_a_wrong_description_is_named(architecture, where):
    with pytest.raises(BadInput) as caught:
        build(architecture)
    assert [p.where for p in caught.value.problems] == [where]


def test_all_wrong_options_are_named_at_once():
    with pytest.raises(BadInput) as caught:
        build({"name": "conv", "width": 0, "depth": 3})
    assert len(caught.value.problems) == 2


def test_an_unknown_layer_is_named():
    with pytest.raises(BadInput, match="stem, stage1, stage2"):
        _drawn()(_images(), "stage9")
