"""Preprocessing: what is fitted can be restored, tensors are what encoders take, wrong options are named."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.arrays.random import stream  # noqa: E402
from limen.models.preprocessing.images import Images, checked_images  # noqa: E402
from limen.models.preprocessing.options import OPTIONS, WHOLE  # noqa: E402
from limen.models.preprocessing.preprocessing import as_tensor, fit_preprocessing, restore  # noqa: E402
from limen.models.preprocessing.spectra import Spectra  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch


def test_images_are_unchanged_and_the_default():
    images = stream("images").random((3, 8, 8, 2), dtype=np.float32)
    found = fit_preprocessing("image", {}, images)
    assert found == Images() == restore({}) == restore(found.plain())
    assert found.array(images) is images
    assert found.facts(images) == {"in_channels": 2, "image_size": 8}


@pytest.mark.parametrize("kind", ["text", "audio"])
def test_what_is_fitted_can_be_restored(kind):
    found = fit_preprocessing(kind, {}, ["some words", "and others"])
    assert found.takes == kind
    assert restore(found.plain()) == found


def test_options_arrive():
    assert fit_preprocessing("audio", {"bands": 12, "rate": 4000.0, "seconds": 0.5}, []) == Spectra(4000, 0.5, 12)
    assert fit_preprocessing("text", {"vocabulary": 270, "length": 7}, ["abc abc"]).length == 7


@pytest.mark.parametrize(
    ("kind", "options", "where"),
    [
        ("text", {"vocabulary": 300.5}, "preprocessing.vocabulary"),
        ("text", {"length": 0}, "preprocessing.length"),
        ("audio", {"bands": 0.5}, "preprocessing.bands"),
        ("audio", {"rate": True}, "preprocessing.rate"),
        ("audio", {"length": 3}, "preprocessing.length"),
        ("image", {"size": 3}, "preprocessing.size"),
    ],
)
def test_wrong_options_are_named(kind, options, where):
    with pytest.raises(BadInput) as caught:
        fit_preprocessing(kind, options, ["a b"])
    assert [p.where for p in caught.value.problems] == [where]


def test_every_option_but_seconds_is_a_whole_number():
    assert {key for options in OPTIONS.values() for key in options} - set(WHOLE) == {"seconds"}


def test_an_unknown_kind_is_named():
    with pytest.raises(BadInput, match="image, text, audio"):
        restore({"takes": "video"})


def test_tensors_are_what_an_encoder_takes():
    pixels = stream("bytes").integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    rows = np.array([2, 0], dtype=np.int64)
    found = as_tensor(pixels, "image", rows)
    assert found.shape == (2, 3, 8, 8)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0, 1].numpy(), pixels[2, :, :, 1] / 255, rtol=1e-6)
    tokens = as_tensor(np.array([[2, 5], [2, 6]], dtype=np.int32), "text", slice(1, 2))
    assert (tokens.dtype, tokens.tolist()) == (torch.int64, [[2, 6]])
    assert as_tensor(np.zeros((2, 4, 5)), "audio", rows[1:]).dtype == torch.float32


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 8, 8)), np.zeros((2, 8, 7, 1)), np.zeros((0, 8, 8, 1)), np.zeros((2, 8, 8, 1), dtype=int),
     np.full((2, 8, 8, 1), 2.0), np.full((2, 8, 8, 1), np.nan), np.full((2, 8, 8, 1), -0.1)],
    ids=["axes", "not square", "none", "integers", "above 1", "nan", "below 0"],
)  # fmt: skip
def test_images_of_another_shape_or_range_are_named(images):
    with pytest.raises(BadInput, match="here"):
        checked_images(images, "here")
