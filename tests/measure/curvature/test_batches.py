"""Batches of every structure are measured, cut and joined alike."""

from __future__ import annotations

from collections import UserDict, namedtuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.measure.curvature.batches import batch_size, joined, rows_of  # noqa: E402

pytestmark = pytest.mark.torch

Pair = namedtuple("Pair", "x y")


def part(rows):
    return torch.arange(float(rows))


MAKE = {
    "tensor": lambda n: part(n),
    "tuple": lambda n: (part(n), part(n) + 1),
    "list": lambda n: [part(n), part(n) + 1],
    "named": lambda n: Pair(part(n), part(n) + 1),
    "mapping": lambda n: {"x": part(n), "scale": 3.0, "nested": [part(n)]},
    "userdict": lambda n: UserDict(x=part(n), weight=torch.tensor(2.0)),
}


def flat(batch):
    if isinstance(batch, torch.Tensor):
        return [batch.tolist()]
    if hasattr(batch, "values") and not isinstance(batch, torch.Tensor):
        return [x for value in batch.values() for x in flat(value)]
    return [x for value in batch for x in flat(value)] if isinstance(batch, tuple | list) else [batch]


@pytest.mark.parametrize("kind", MAKE)
def test_all_rows_in_order_give_the_batch_again_and_others_give_those_rows(kind):
    batch = MAKE[kind](5)
    assert batch_size(batch) == 5
    assert flat(rows_of(batch, np.arange(5))) == flat(batch)
    assert flat(rows_of(batch, np.array([4, 0])))[0] == [4.0, 0.0]


@pytest.mark.parametrize("kind", MAKE)
def test_parts_join_to_the_whole(kind):
    batch = MAKE[kind](5)
    parts = [rows_of(batch, np.arange(2)), rows_of(batch, np.arange(2, 5))]
    assert flat(joined(parts)) == flat(batch)
    assert batch_size(joined(parts)) == 5


def test_named_tuples_stay_what_they_are():
    assert rows_of(MAKE["named"](3), np.array([1])).y.tolist() == [2.0]
