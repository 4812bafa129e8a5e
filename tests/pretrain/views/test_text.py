"""Views of a text: [BOS] and order stay, lengths and rates are those of the statement, draws are keyed."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.arrays.random import stream  # noqa: E402
from limen.models.preprocessing.tokens import BOS, MASK, PAD  # noqa: E402
from limen.pretrain.views.strengths import TextViews, usual_views  # noqa: E402
from limen.pretrain.views.text import text_view  # noqa: E402
from limen.pretrain.views.views import draw_view  # noqa: E402

pytestmark = pytest.mark.torch
STRENGTHS = {"crop": 0.4, "drop": 0.3, "mask": 0.3}


def _tokens(n, length, width=12):
    """Texts of `length` tokens, 10, 11, …: the place of each can be read off."""
    tokens = np.full((n, width), PAD, dtype=np.int64)
    tokens[:, 0], tokens[:, 1 : 1 + length] = BOS, np.arange(10, 10 + length)
    return torch.from_numpy(tokens)


def test_every_strength_has_a_case():
    assert set(STRENGTHS) == {f.name for f in fields(TextViews)}


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_switch_changes_views_and_its_name(name):
    views = TextViews(**{name: STRENGTHS[name]})
    assert not torch.equal(draw_view(_tokens(20, 8), views, stream("v")), _tokens(20, 8))
    assert name in views.text()


def test_without_strengths_a_view_is_the_text():
    assert torch.equal(text_view(_tokens(5, 8), TextViews(), stream("v")), _tokens(5, 8))


def test_views_are_keyed_and_leave_the_text_alone():
    usual, tokens = usual_views("text"), _tokens(20, 8)
    assert torch.equal(draw_view(tokens, usual, stream("v", 1)), draw_view(tokens, usual, stream("v", 1)))
    assert not torch.equal(draw_view(tokens, usual, stream("v", 1)), draw_view(tokens, usual, stream("v", 2)))
    assert torch.equal(tokens, _tokens(20, 8))


@pytest.mark.parametrize("length", [1, 2, 5, 11])
def test_bos_stays_order_stays_and_something_is_left(length):
    views = text_view(_tokens(400, length), TextViews(crop=0.2, drop=0.7, mask=0.2), stream("v", length)).numpy()
    assert (views[:, 0] == BOS).all()
    held = views != PAD
    assert (held[:, :-1] >= held[:, 1:]).all()
    assert held.sum(axis=1).min() == 2
    for row in views:
        named = row[row >= 10]
        assert (np.diff(named) > 0).all()


def test_a_crop_is_a_run_of_the_lengths_and_places_of_the_statement():
    views = text_view(_tokens(6000, 10), TextViews(crop=0.5), stream("v")).numpy()
    counts = (views[:, 1:] != PAD).sum(axis=1)
    assert sorted(set(counts.tolist())) == [6, 7, 8, 9, 10]  # ⌈U(0.5, 1)·10⌉: five equally likely lengths
    assert np.abs(np.bincount(counts)[6:] / 6000 - 0.2).max() < 4 * 0.4 / math.sqrt(6000)
    sixes = views[counts == 6]
    assert (sixes[:, 1:7] == sixes[:, 1:2] + np.arange(6)).all()
    starts = np.bincount(sixes[:, 1] - 10, minlength=5) / len(sixes)
    assert np.abs(starts - 0.2).max() < 4 * 0.4 / math.sqrt(len(sixes))


def test_tokens_go_and_are_masked_at_their_rates():
    n, length = 4000, 8
    dropped = text_view(_tokens(n, length), TextViews(drop=0.3), stream("v")).numpy()
    stay = np.array([(dropped == 10 + j).sum() / n for j in range(length)])
    expected = 0.7 + 0.3**length / length  # one stays where all would go
    assert np.abs(stay - expected).max() < 4 * 0.46 / math.sqrt(n)
    masked = text_view(_tokens(n, length), TextViews(mask=0.25), stream("v")).numpy()
    rate = (masked[:, 1 : 1 + length] == MASK).mean(axis=0)
    assert np.abs(rate - 0.25).max() < 4 * 0.44 / math.sqrt(n)
    assert (masked[:, 1 + length :] == PAD).all()


def test_where_all_would_go_one_uniform_token_stays():
    views = text_view(_tokens(5000, 5), TextViews(drop=1.0), stream("v")).numpy()
    assert ((views != PAD).sum(axis=1) == 2).all()
    assert np.abs(np.bincount(views[:, 1] - 10, minlength=5) / 5000 - 0.2).max() < 4 * 0.4 / math.sqrt(5000)


def test_a_text_of_bos_alone_stays_so():
    assert torch.equal(text_view(_tokens(3, 0), usual_views("text"), stream("v")), _tokens(3, 0))
