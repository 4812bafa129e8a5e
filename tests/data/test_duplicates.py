"""Laws of identical rows: agreement with a comparison of every pair; zeros of either sign are one value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limen.data.duplicates import identical_rows


def slow(a: np.ndarray, b: np.ndarray | None = None) -> list[int]:
    target = a if b is None else b
    return [next((j for j, other in enumerate(target) if (row == other).all()), -1) for row in a]


@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(0, 20), st.integers(1, 3))
def test_agrees_with_comparing_every_pair(seed: int, n: int, m: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-1, 2, size=(n, d)) * -1.0, rng.integers(-1, 2, size=(m, d)).astype(np.float32)
    assert identical_rows(a).tolist() == slow(a)
    assert identical_rows(a, b).tolist() == slow(a, b)


def test_nearly_identical_is_not_identical() -> None:
    row = np.array([[1.0, 2.0]])
    assert identical_rows(row, np.nextafter(row, 2)).tolist() == [-1]


def test_widths_must_agree() -> None:
    with pytest.raises(ValueError, match="width 1 and 2"):
        identical_rows(np.zeros((1, 1)), np.zeros((1, 2)))


def test_memory_layout_does_not_matter() -> None:
    x = np.random.default_rng(0).integers(0, 2, size=(30, 3)).astype(float)
    assert identical_rows(np.asfortranarray(x)).tolist() == identical_rows(x).tolist()
