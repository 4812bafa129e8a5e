"""Augmentations: keyed, each switch changes views, each does what it says to images where that is known."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from limen.arrays.random import stream
from limen.pretrain.views.image import random_view
from limen.pretrain.views.strengths import Augmentation, usual_views

STRENGTHS = {
    "crop": 0.5,
    "flip": True,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
    "grayscale": 0.5,
    "noise": 0.1,
}


def _images(n=8, channels=3, size=8):
    return torch.from_numpy(stream("augment images").random((n, channels, size, size), dtype=np.float32))


def test_every_strength_has_a_case():
    assert set(STRENGTHS) == {f.name for f in fields(Augmentation)}


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_switch_changes_views_and_its_name(name):
    augmentation = Augmentation(**{name: STRENGTHS[name]})
    assert not torch.equal(random_view(_images(), augmentation, stream("v")), _images())
    assert name in augmentation.text()


def test_without_strengths_a_view_is_the_image():
    assert torch.equal(random_view(_images(), Augmentation(), stream("v")), _images())


@pytest.mark.parametrize("channels", [1, 3])
def test_views_are_keyed(channels):
    usual, images = usual_views("image", channels), _images(channels=channels)
    assert torch.equal(random_view(images, usual, stream("v", 1)), random_view(images, usual, stream("v", 1)))
    assert not torch.equal(random_view(images, usual, stream("v", 1)), random_view(images, usual, stream("v", 2)))


def test_flip_mirrors_half_of_the_images_exactly():
    images = _images(400)
    views = random_view(images, Augmentation(flip=True), stream("v"))
    kept = (views - images).abs().amax(dim=(1, 2, 3)) < 1e-5
    mirrored = (views - images.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert bool((kept ^ mirrored).all())
    assert 150 < int(mirrored.sum()) < 250


def test_a_crop_of_a_linear_ramp_is_a_flatter_ramp_inside_its_range():
    ramp = torch.arange(8.0).repeat(50, 1, 8, 1)
    views = random_view(ramp, Augmentation(crop=0.5), stream("v"))
    assert float(views.min()) >= 0
    assert float(views.max()) <= 7
    slopes = (views[:, 0, 4, 4] - views[:, 0, 4, 3]).numpy()
    assert slopes.min() >= 0.5 - 1e-5
    assert slopes.max() <= 1 + 1e-5


def test_brightness_and_contrast_do_what_they_say():
    images = _images(2000, channels=1)
    bright = random_view(images, Augmentation(brightness=0.4), stream("v"))
    gain = (bright / images).amax(dim=(1, 2, 3)).numpy()
    assert gain.min() >= 0.6 - 1e-5
    assert gain.max() <= 1.4 + 1e-5
    assert gain.mean() == pytest.approx(1, abs=4 * 0.8 / 12**0.5 / 2000**0.5)
    contrast = random_view(images, Augmentation(contrast=0.4), stream("v"))
    torch.testing.assert_close(contrast.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)))


def test_grayscale_removes_colour_and_saturation_keeps_the_grey():
    grey = random_view(_images(), Augmentation(grayscale=1.0), stream("v"))
    assert float((grey - grey.mean(dim=1, keepdim=True)).abs().max()) < 1e-6
    coloured = random_view(_images(), Augmentation(saturation=0.9), stream("v"))
    torch.testing.assert_close(coloured.mean(dim=1), _images().mean(dim=1), atol=1e-6, rtol=1e-5)


def test_noise_has_its_standard_deviation():
    view = random_view(torch.zeros(100, 3, 8, 8), Augmentation(noise=0.2), stream("v"))
    assert float(view.std()) == pytest.approx(0.2, rel=0.03)
