"""McNemar's level, Holm against its definition, named errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from limen.arrays.paired_tests import holm, mcnemar_exact
from limen.arrays.random import stream


@pytest.mark.parametrize(("b", "c"), [(0, 1), (3, 9), (40, 41), (7, 7)])
def test_mcnemar_is_twice_the_binomial_tail(b: int, c: int) -> None:
    assert mcnemar_exact(b, c) == pytest.approx(min(1.0, 2 * binom.cdf(min(b, c), b + c, 0.5)), rel=1e-12)
    assert mcnemar_exact(b, c) == mcnemar_exact(c, b)


def test_mcnemar_holds_its_level() -> None:
    rng = stream("test-coverage", "mcnemar")
    discordant = rng.binomial(200, 0.2, 5000)
    first = rng.binomial(discordant, 0.5)
    rejected = sum(mcnemar_exact(int(b), int(m - b)) <= 0.05 for b, m in zip(first, discordant, strict=True))
    assert rejected <= binom.isf(0.001, 5000, 0.05)
    assert rejected > 0


def holm_by_steps(p: list[float], alpha: float) -> set[int]:
    order = sorted(range(len(p)), key=lambda i: p[i])
    rejected: set[int] = set()
    for step, i in enumerate(order):
        if p[i] > alpha / (len(p) - step):
            break
        rejected.add(i)
    return rejected


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    rng = stream("test", "holm")
    for _ in range(200):
        p = (rng.random(7) ** 3).tolist()
        adjusted = holm(p)
        for alpha in (0.01, 0.05, 0.2):
            assert {i for i in range(7) if adjusted[i] <= alpha} == holm_by_steps(p, alpha)


def test_holm_is_equivariant_and_between_identity_and_bonferroni() -> None:
    p = stream("test", "order").random(9)
    order = stream("test", "shuffle").permutation(9)
    assert holm(p[order]).tolist() == holm(p)[order].tolist()
    assert (holm(p) >= p).all()
    assert (holm(p) <= np.minimum(1, 9 * p)).all()
    assert holm([0.3]).tolist() == [0.3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mcnemar_exact(-1, 2), "b: expected a whole number of at least 0, got -1"),
        (lambda: mcnemar_exact(1, 2.5), "c: expected a whole number"),  # type: ignore[arg-type]
        (lambda: holm([]), "p_values: expected at least 1 values, got 0"),
        (lambda: holm([0.2, 1.2]), r"p_values: expected numbers in \[0, 1\], got 0.2 to 1.2"),
    ],
)
def test_named_errors(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
