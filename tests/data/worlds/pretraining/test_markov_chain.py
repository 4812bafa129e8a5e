"""Texts of a Markov chain: their law, and conditional entropies against sums over all texts."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import combinations, pairwise, product

import numpy as np
import pytest

from limen.data.worlds.pretraining.markov_chain import MarkovChain
from limen.data.worlds.pretraining.names import HELDOUT, WORLDS

CHAIN = MarkovChain("test", np.array([[0.6, 0.4], [0.1, 0.9]]), letters=4, rows=6000)
WORLD = WORLDS["world:markov-chain"]


def probabilities(chain, letters):
    """Every text with its probability."""
    found = {}
    for text in product(range(len(chain.kernel)), repeat=letters):
        p = chain.stationary[text[0]]
        for a, b in pairwise(text):
            p *= chain.kernel[a, b]
        found[text] = float(p)
    return found


def conditional(joint):
    """H(A | B) of a dict (a, b) → probability."""
    given = defaultdict(float)
    for (_, b), p in joint.items():
        given[b] += p
    return -sum(p * math.log(p / given[b]) for (_, b), p in joint.items() if p > 0)


def test_the_first_letter_is_stationary_and_the_law_sums_to_one():
    for chain in (CHAIN, WORLD):
        np.testing.assert_allclose(chain.stationary @ chain.kernel, chain.stationary, atol=1e-12)
        law = chain.joint(3)
        assert law.sum() == pytest.approx(1, rel=1e-12)
        np.testing.assert_allclose(law.sum(axis=(0, 1)), chain.stationary, atol=1e-12)
        for text, p in probabilities(chain, 3).items():
            assert law[text] == pytest.approx(p, rel=1e-12)


def test_texts_have_their_probabilities():
    texts = CHAIN.columns("world:test")["text"]
    assert texts.shape == (6000,)
    for text, p in probabilities(CHAIN, 4).items():
        share = np.mean(texts == "".join("ab"[letter] for letter in text))
        assert abs(share - p) < 4.5 * math.sqrt(p * (1 - p) / 6000)
    assert not np.array_equal(CHAIN.columns("world:test" + HELDOUT)["text"], texts)


@pytest.mark.parametrize("letters", [1, 2, 4])
def test_next_token_is_the_entropy_of_each_letter_given_those_before(letters):
    law = probabilities(CHAIN, letters)
    slow = 0.0
    for j in range(letters):
        joint = defaultdict(float)
        for text, p in law.items():
            joint[text[j], text[:j]] += p
        slow += conditional(joint)
    assert CHAIN.next_token(letters) == pytest.approx(slow / (letters + 1), rel=1e-10)
    pi, kernel = CHAIN.stationary, CHAIN.kernel
    first, rate = -(pi * np.log(pi)).sum(), -(pi[:, None] * kernel * np.log(kernel)).sum()
    assert CHAIN.next_token(letters) == pytest.approx((first + (letters - 1) * rate) / (letters + 1), rel=1e-10)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4, 0.6, 0.99])
def test_masked_is_the_entropy_of_each_hidden_letter_given_the_others(share):
    law, tokens = probabilities(CHAIN, 4), 5
    hidden = math.ceil(round(share * tokens, 9))
    costs = []
    for subset in combinations(range(tokens), hidden):
        for token in subset:
            joint = defaultdict(float)
            for text, p in law.items():
                seen = tuple(text[t - 1] for t in range(1, tokens) if t not in subset)
                joint[text[token - 1] if token else None, seen] += p
            costs.append(conditional(joint))
    assert CHAIN.masked(4, share) == pytest.approx(float(np.mean(costs)), rel=1e-10)


@pytest.mark.parametrize("noise", [0.2, 0.7])
def test_the_autoencoder_is_the_entropy_of_each_letter_given_the_noisy_text(noise):
    channel = {
        (a, b): (1 - noise) * (a == b) + (noise / 256 if b < 2 else noise * 254 / 256)
        for a in range(2)
        for b in range(3)
    }
    law, total = probabilities(CHAIN, 3), 0.0
    for i in range(3):
        joint = defaultdict(float)
        for text, p in law.items():
            for seen in product(range(3), repeat=3):
                joint[text[i], seen] += p * math.prod(channel[a, b] for a, b in zip(text, seen, strict=True))
        total += conditional(joint)
    assert CHAIN.autoencoder(3, noise) == pytest.approx(total / 5, rel=1e-10)


def test_neighbours_tell_more_than_the_past():
    assert CHAIN.masked(4, 0.2) < CHAIN.next_token(4) * 5 / 4


def test_the_letters_are_the_tokens_of_a_vocabulary_without_merges():
    pytest.importorskip("tokenizers")
    from limen.models.preprocessing.tokens import BOS, LEAST, Tokens
    from limen.pretrain.optimum import UNMERGED

    assert LEAST == UNMERGED
    texts = WORLD.columns("world:markov-chain")["text"].tolist()
    array = Tokens.fit(texts, LEAST, 8).array(texts)
    assert (array[:, 0] == BOS).all()
    assert len(np.unique(array[:, 1])) == 1
    assert len(np.unique(array[:, 2:])) == 3
