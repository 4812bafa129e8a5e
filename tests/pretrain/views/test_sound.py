"""Views of a sound: shifts are shifts, gains add, runs are hidden as long and as often as the statement says."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.arrays.random import stream  # noqa: E402
from limen.pretrain.views.sound import sound_view  # noqa: E402
from limen.pretrain.views.strengths import SoundViews, usual_views  # noqa: E402
from limen.pretrain.views.views import draw_view  # noqa: E402

pytestmark = pytest.mark.torch
STRENGTHS = {"shift": 0.3, "gain": 0.5, "noise": 0.2, "bands": 3, "frames": 0.4}


def _sounds(n=8, bands=6, frames=20):
    return torch.from_numpy(stream("sounds", n).standard_normal((n, bands, frames)).astype(np.float32))


def test_every_strength_has_a_case():
    assert set(STRENGTHS) == {f.name for f in fields(SoundViews)}


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_switch_changes_views_and_its_name(name):
    views = SoundViews(**{name: STRENGTHS[name]})
    assert not torch.equal(draw_view(_sounds(), views, stream("v")), _sounds())
    assert name in views.text()


def test_without_strengths_a_view_is_the_sound_and_views_are_keyed():
    assert torch.equal(sound_view(_sounds(), SoundViews(), stream("v")), _sounds())
    usual, sounds = usual_views("audio"), _sounds()
    assert torch.equal(draw_view(sounds, usual, stream("v", 1)), draw_view(sounds, usual, stream("v", 1)))
    assert not torch.equal(draw_view(sounds, usual, stream("v", 1)), draw_view(sounds, usual, stream("v", 2)))
    assert torch.equal(sounds, _sounds())


def test_a_shift_moves_every_frame_and_silence_moves_in():
    sounds = _sounds(2000)
    views, moves = sound_view(sounds, SoundViews(shift=0.2), stream("v")).numpy(), []
    for given, view in zip(sounds.numpy(), views, strict=True):
        silence = np.full((6, 4), given.min())
        padded = np.concatenate([silence, given, silence], axis=1)
        fits = [m for m in range(-4, 5) if np.array_equal(view, padded[:, 4 - m : 24 - m])]
        assert len(fits) == 1
        moves += fits
    rates = np.bincount(np.array(moves) + 4, minlength=9) / 2000
    assert np.abs(rates - 1 / 9).max() < 4 * 0.32 / math.sqrt(2000)


def test_a_shift_of_a_shifted_sound_is_the_shifted_view():
    """Inside its silence a sound that was moved gives the moved view: the same draw, the same shift."""
    sounds = torch.zeros(50, 6, 40)
    sounds[:, :, 15:20] = 1 + torch.from_numpy(stream("shifted").random((50, 6, 5)).astype(np.float32))
    later = torch.roll(sounds, 3, dims=2)
    views = SoundViews(shift=0.25)
    one, two = sound_view(sounds, views, stream("v")), sound_view(later, views, stream("v"))
    assert torch.equal(torch.roll(one, 3, dims=2), two)


def test_a_gain_is_one_uniform_number_a_sound():
    added = (sound_view(_sounds(4000), SoundViews(gain=0.5), stream("v")) - _sounds(4000)).numpy()
    assert np.ptp(added.reshape(4000, -1), axis=1).max() < 1e-5
    gains = added[:, 0, 0]
    assert np.abs(gains).max() <= 0.5 + 1e-6
    assert abs(gains.mean()) < 4 * 0.289 / math.sqrt(4000)
    assert gains.std() == pytest.approx(1 / math.sqrt(12), rel=0.05)


def test_noise_has_its_standard_deviation():
    assert float(sound_view(torch.zeros(100, 6, 20), SoundViews(noise=0.2), stream("v")).std()) == pytest.approx(
        0.2, rel=0.03
    )


@pytest.mark.parametrize(("views", "axis", "most"), [(SoundViews(bands=3), 1, 3), (SoundViews(frames=0.25), 2, 5)])
def test_a_run_of_neighbours_becomes_the_mean(views, axis, most):
    n, sounds = 6000, _sounds(6000)
    found = sound_view(sounds, views, stream("v"))
    hidden = (found == sounds.mean(dim=(1, 2), keepdim=True)).numpy()
    changed = (found != sounds).numpy()
    other = 3 - axis
    runs = changed.all(axis=other)
    assert np.array_equal(runs, changed.any(axis=other))  # whole bands, whole frames
    near = np.abs(found.numpy() - sounds.numpy().mean(axis=(1, 2), keepdims=True)) < 1e-5
    assert near[changed].all()
    assert hidden.any()
    lengths = runs.sum(axis=1)
    assert (np.diff(np.pad(runs, ((0, 0), (1, 1))).astype(int), axis=1) == 1).sum(axis=1).max() == 1
    rates = np.bincount(lengths, minlength=most + 1) / n
    assert len(rates) == most + 1
    assert np.abs(rates - 1 / (most + 1)).max() < 4 * 0.44 / math.sqrt(n)
    starts = runs[lengths == most].argmax(axis=1)
    places = runs.shape[1] - most + 1
    assert np.abs(np.bincount(starts, minlength=places) / len(starts) - 1 / places).max() < 4 * 0.45 / math.sqrt(
        len(starts)
    )


def test_more_bands_than_there_are_hide_at_most_all():
    found = sound_view(_sounds(50), SoundViews(bands=100), stream("v"))
    assert found.shape == (50, 6, 20)
    assert torch.isfinite(found).all()
