"""Streams are functions of their key alone, and keys differ where content or purpose differs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import kstest, pearsonr

from limen.arrays.random import stream


def draws(*key: str | int | float | bool | None, n: int = 8) -> list[float]:
    purpose, *content = key
    return stream(str(purpose), *content).random(n).tolist()


def test_the_same_key_gives_the_same_numbers_whatever_was_drawn_before() -> None:
    first = draws("split", "banking77", 3)
    draws("split", "banking77", 4)
    np.random.default_rng(0).random(100)
    assert draws("split", "banking77", 3) == first


def test_the_same_key_gives_the_same_numbers_in_another_process() -> None:
    code = "from limen.arrays.random import stream; print(stream('split', 'é', 3, 0.5, None, True).random(4).tolist())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(draws("split", "é", 3, 0.5, None, True, n=4))


def test_golden_numbers_of_one_key() -> None:
    """A change of hashing or generator would silently redo every study."""
    assert stream("split", 0).integers(0, 2**31, 4).tolist() == GOLDEN


GOLDEN = [1368953374, 1645645071, 989758175, 1674845982]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (("split", 0), ("subset", 0)),
        (("split", 0), ("split", 1)),
        (("split", 1), ("split", "1")),
        (("split", 1), ("split", 1.0)),
        (("split", 1), ("split", True)),
        (("split", 0), ("split", None)),
        (("split", "a", "b"), ("split", "ab")),
        (("split", "a", "b"), ("split", "b", "a")),
        (("split",), ("split", None)),
        (("a", "b"), ('a","b',)),
    ],
)
def test_different_keys_give_different_numbers(a: tuple[str, ...], b: tuple[str, ...]) -> None:
    assert not set(draws(*a)) & set(draws(*b))


def test_neighbouring_keys_are_uncorrelated_and_uniform() -> None:
    a, b = (np.concatenate([stream("check", side, i).random(50) for i in range(100)]) for side in ("a", "b"))
    assert kstest(a, "uniform").pvalue > 1e-4
    assert pearsonr(a, b).pvalue > 1e-4
    firsts = np.array([stream("check", i).random() for i in range(3000)])
    assert kstest(firsts, "uniform").pvalue > 1e-4
    assert pearsonr(firsts[1:], firsts[:-1]).pvalue > 1e-4


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object(), b"bytes"])
def test_a_key_without_a_canonical_form_is_refused(bad: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        stream("split", bad)  # type: ignore[arg-type]
