"""Laws of the encoders without weights: pixels, hashed words, random features, precomputed rows."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limen.data.tables import read_table
from limen.models.extract import extract
from limen.models.load import INPUTS, load_encoder
from limen.records.errors import BadInput

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, size=(7, 4, 3, 2), dtype=np.uint8)
TEXTS = ["a good day", "bad night, bad luck", "", "day good good", "été à Paris"]
ROWS = rng.normal(size=(6, 5)).astype(np.float32)
CASES: list[tuple[dict[str, Any], Any]] = [
    ({"source": "pixels", "input": "image"}, IMAGES),
    ({"source": "bag-of-words", "dimension": 64}, TEXTS),
    ({"source": "random-features", "input": "text", "dimension": 16}, TEXTS),
    ({"source": "random-features", "input": "image", "dimension": 16}, IMAGES),
    ({"source": "random-features", "input": "features", "dimension": 16}, ROWS),
    ({"source": "embeddings", "input": "features"}, ROWS),
]
each_case = pytest.mark.parametrize(
    ("spec", "inputs"), CASES, ids=[f"{s['source']}-{s.get('input')}" for s, _ in CASES]
)


@each_case
def test_a_row_depends_on_its_input_alone(spec: dict[str, Any], inputs: Any) -> None:
    encoder = load_encoder(spec)
    rows = encoder.encode(inputs)
    assert rows.dtype == np.float32
    assert rows.shape[0] == len(inputs)
    assert encoder.dimension in (None, rows.shape[1])
    for k in range(len(inputs)):
        assert np.allclose(encoder.encode(inputs[k : k + 1])[0], rows[k], rtol=1e-6, atol=1e-7)
    for size in (1, 2, 100):
        assert np.allclose(extract(encoder, inputs, size), rows, rtol=1e-6, atol=1e-7)


@each_case
def test_loading_again_is_the_same_encoder(spec: dict[str, Any], inputs: Any) -> None:
    one, two = load_encoder(spec), load_encoder(dict(reversed(spec.items())))
    assert one.fingerprint == two.fingerprint
    assert np.array_equal(one.encode(inputs), two.encode(inputs))


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ({"source": "bag-of-words"}, {"dimension": 32}),
        ({"source": "random-features", "input": "features"}, {"seed": 1}),
        ({"source": "random-features", "input": "features"}, {"dimension": 512}),
        ({"source": "random-features", "input": "features"}, {"input": "text"}),
        ({"source": "embeddings"}, {"column": "embedding"}),
    ],
)
def test_every_field_that_means_something_changes_the_fingerprint(base: dict[str, Any], change: dict[str, Any]) -> None:
    assert load_encoder(base).fingerprint != load_encoder(base | change).fingerprint


def test_pixels_are_intensities() -> None:
    rows = load_encoder({"source": "pixels"}).encode(IMAGES)
    assert np.array_equal(rows, IMAGES.reshape(7, -1).astype(np.float32) / np.float32(255))
    digits = read_table("digits:test", ["image"]).columns["image"]
    assert np.array_equal(load_encoder({"source": "pixels"}).encode(digits), digits.reshape(450, 64))


@given(st.lists(st.sampled_from(["cat", "dog", "emu", "fox"]), min_size=1, max_size=30))
def test_hashed_words_do_not_see_order_case_or_repetition_of_the_whole(words: list[str]) -> None:
    encoder = load_encoder({"source": "bag-of-words", "dimension": 4096})
    one, shuffled, shouted, twice = encoder.encode(
        [" ".join(words), " ".join(sorted(words)), " ".join(words).upper(), " ".join(words * 2)]
    )
    assert np.array_equal(one, shuffled)
    assert np.array_equal(one, shouted)
    assert np.allclose(one, twice, atol=1e-6)
    counts = {word: words.count(word) for word in words}
    assert np.allclose(
        np.sort(np.abs(one[one != 0])), np.sort(list(counts.values())) / np.linalg.norm(list(counts.values()))
    )


def test_signed_hashing_keeps_inner_products_on_average() -> None:
    # Weinberger et al. 2009: E ⟨φ(x), φ(y)⟩ = ⟨x, y⟩. 400 disjoint word pairs stand for draws of the hash.
    encoder = load_encoder({"source": "bag-of-words", "dimension": 8})
    one = encoder.encode([f"u{k}a u{k}b" for k in range(2000)])
    two = encoder.encode([f"v{k}a v{k}b" for k in range(2000)])
    products = (one * two).sum(axis=1)
    assert abs(products.mean()) < 4 * products.std() / np.sqrt(2000)


def test_random_features_tend_to_the_arc_cosine_kernel() -> None:
    # E[2 max(0,u) max(0,v)] for u, v ~ N(0, 2) with correlation cos θ: (2/π)(sin θ + (π − θ) cos θ)  (Cho, Saul 2009).
    x = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    rows = load_encoder({"source": "random-features", "dimension": 60000}).encode(ROWS).astype(float)
    cosine = np.clip((x @ x.T + 1) / 2, -1, 1)
    angle = np.arccos(cosine)
    expected = 2 / np.pi * (np.sin(angle) + (np.pi - angle) * cosine)
    assert np.allclose(rows @ rows.T, expected, atol=0.06)


def test_random_features_are_nonlinear_and_ignore_the_norm_of_a_row() -> None:
    encoder = load_encoder({"source": "random-features", "dimension": 64})
    assert np.allclose(encoder.encode(ROWS), encoder.encode(7 * ROWS), atol=1e-6)
    assert not np.allclose(encoder.encode(ROWS[:1]) + encoder.encode(ROWS[1:2]), encoder.encode(ROWS[:1] + ROWS[1:2]))


@pytest.mark.parametrize(
    ("spec", "inputs", "message"),
    [
        ({"source": "pixels"}, IMAGES.astype(np.int64), "expected uint8 or float pixels"),
        ({"source": "pixels"}, IMAGES[0], "shape [n, h, w, c]"),
        ({"source": "pixels"}, IMAGES.astype(float), "float pixels in [0, 1]"),
        ({"source": "bag-of-words"}, ["a", 3], "got int in row 1"),
        ({"source": "bag-of-words"}, "one text", "got one string"),
        ({"source": "embeddings"}, ROWS[0], "matrix of numbers"),
        ({"source": "random-features", "input": "features"}, TEXTS, "matrix of numbers"),
    ],
)
def test_inputs_of_another_kind_are_refused(spec: dict[str, Any], inputs: Any, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_encoder(spec).encode(inputs)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"source": "pixel"}, "did you mean pixels?"),
        ({}, "got 'none'"),
        ({"source": "pixels", "input": "text"}, "pixels takes image, got 'text'"),
        ({"source": "transformers"}, "needs the path"),
        ({"source": "torch", "path": "w.safetensors"}, "needs the architecture"),
    ],
)
def test_descriptions_that_cannot_be_loaded(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_encoder(spec)
    assert message in str(caught.value)


def test_extract_reports_progress_and_takes_nothing() -> None:
    encoder = load_encoder({"source": "bag-of-words", "dimension": 8})
    seen: list[tuple[int, int]] = []
    extract(encoder, TEXTS, 2, lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert extract(encoder, []).shape == (0, 8)
    with pytest.raises(ValueError, match="at least 1"):
        extract(encoder, TEXTS, 0)


def test_these_encoders_need_no_torch() -> None:
    code = (
        "import sys\nfrom limen.models.load import *\nimport limen.data.embeddings, limen.data.tables\n"
        "load_encoder({'source': 'bag-of-words'}).encode(['a word'])\n"
        "load_encoder({'source': 'random-features', 'dimension': 4}).encode([[1.0]])\n"
        "assert not {'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_sources_are_those_of_the_study_file() -> None:
    from limen.study.encoders import SOURCES

    assert set(INPUTS) == set(SOURCES) - {"pretrain"}
