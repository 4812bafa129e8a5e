"""Spectra: against a slow Fourier sum, tones in their bands, silence, rates, lengths and broken bytes."""

from __future__ import annotations

import io
import math
import wave

import numpy as np
import pytest

pytest.importorskip("transformers")

from limen.arrays.random import stream
from limen.models.preprocessing.spectra import FLOOR, Spectra
from limen.records.errors import BadInput

pytestmark = pytest.mark.torch


def wav(samples, rate=8000):
    content = io.BytesIO()
    with wave.open(content, "wb") as clip:
        clip.setparams((1, 2, rate, 0, "NONE", ""))
        clip.writeframes(np.round(np.asarray(samples) * 32768).astype("<i2").tobytes())
    return content.getvalue()


def tone(frequency, rate=8000, seconds=1.0, loud=0.5):
    return loud * np.sin(2 * math.pi * frequency * np.arange(round(rate * seconds)) / rate)


def slow_frame(x, j, bands, rate=8000):
    """Column j of the statement: one Fourier sum per frequency, one triangle per band."""
    width, hop, size = round(0.025 * rate), round(0.010 * rate), 256
    half = width // 2
    padded = np.concatenate([x[1 : half + 1][::-1], x, x[-half - 1 : -1][::-1]])
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * i / width) for i in range(width)]
    piece = padded[j * hop : j * hop + width] * hann
    times = np.arange(width)
    power = [abs(np.sum(piece * np.exp(-2j * math.pi * b * times / size))) ** 2 for b in range(size // 2 + 1)]
    highest = 2595 * math.log10(1 + rate / 2 / 700)
    edges = [700 * (10 ** (highest * i / (bands + 1) / 2595) - 1) for i in range(bands + 2)]
    column = []
    for low, mid, high in zip(edges, edges[1:], edges[2:], strict=False):
        weights = [
            max(0.0, min((f - low) / (mid - low), (high - f) / (high - mid))) for f in np.arange(129) * rate / size
        ]
        column.append(math.log(max(FLOOR, float(np.dot(weights, power)))))
    return np.array(column)


def test_a_clip_is_the_slow_sum():
    x = np.round(stream("clip").uniform(-0.9, 0.9, 8000) * 32768) / 32768
    found = Spectra(bands=24).array([wav(x)])[0]
    assert found.shape == (24, 101)
    assert found.dtype == np.float32
    for j in (0, 1, 37, 99, 100):
        np.testing.assert_allclose(found[:, j], slow_frame(x, j, 24), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frequency", [200, 500, 1000, 2500, 3600])
def test_a_tone_is_loudest_in_its_band(frequency):
    highest = 2595 * math.log10(1 + 4000 / 700)
    band = 2595 * math.log10(1 + frequency / 700) / highest * 41 - 1
    found = Spectra().array([wav(tone(frequency))])[0]
    assert abs(found[:, 5:-5].mean(axis=1).argmax() - band) <= 0.75


def test_a_louder_tone_is_higher_by_its_power():
    one, two = (Spectra().array([wav(tone(1000, loud=loud))])[0, 18, 50] for loud in (0.2, 0.4))
    assert two - one == pytest.approx(math.log(4), abs=0.01)


def test_silence_is_the_floor_and_follows_a_short_clip():
    found = Spectra().array([wav(np.zeros(8000)), wav(tone(1000, seconds=0.4))])
    assert np.all(found[0] == np.float32(math.log(FLOOR)))
    assert np.all(found[1][:, 45:] == np.float32(math.log(FLOOR)))
    assert found[1][18, 20] > 0


def test_a_long_clip_is_cut_and_a_row_depends_on_itself_alone():
    x = stream("long").uniform(-0.5, 0.5, 16000)
    whole, cut, other = wav(x), wav(x[:8000]), wav(tone(300))
    found = Spectra().array([whole, cut, other])
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[2], Spectra().array([other])[0])


@pytest.mark.parametrize("rate", [4000, 16000, 44100])
def test_another_rate_of_the_file_is_the_same_sound(rate):
    frequency = 700
    one = Spectra().array([wav(tone(frequency))])[0]
    two = Spectra().array([wav(tone(frequency, rate), rate)])[0]
    assert two.shape == one.shape
    loud = one[:, 50] > one[:, 50].max() - 6
    np.testing.assert_allclose(two[loud, 10:90], one[loud, 10:90], atol=0.1)


def test_plain_data_restore_it():
    front = Spectra(rate=4000, seconds=0.5, bands=20)
    assert Spectra.restore(front.plain()) == front
    array = front.array([wav(tone(300))])
    assert front.facts(array) == {"bands": 20, "frames": 51}


def test_broken_bytes_are_named_by_row():
    with pytest.raises(BadInput, match=r"rows? .*1"):
        Spectra().array([wav(tone(300)), b"RIFF", wav(tone(300))])


@pytest.mark.parametrize(
    ("options", "where"),
    [({"bands": 200}, "preprocessing.bands"), ({"rate": 100}, "preprocessing.bands"),
     ({"seconds": 0.01}, "preprocessing.seconds")],
)  # fmt: skip
def test_options_that_leave_nothing_to_measure_are_named(options, where):
    with pytest.raises(BadInput) as caught:
        Spectra(**options).array([wav(tone(300))])
    assert where in [p.where for p in caught.value.problems]
