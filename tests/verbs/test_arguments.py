"""Arguments of Python calls that are out of range are named, all at once, whatever their type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import limen
from limen.records.errors import BadInput

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(200, 3)), RNG.integers(0, 2, 200)


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"method": "svm"}, "method"), ({"loss": "hinge"}, "loss"), ({"radius": -1}, "radius"),
        ({"radius": "big"}, "radius"), ({"target": 0.3}, "target"), ({"target": {"loss": "x"}}, "target"),
        ({"confidence": "95"}, "confidence"), ({"margin": None}, "margin"), ({"seeds": 0}, "seeds"),
        ({"seeds": "a"}, "seeds"), ({"seeds": True}, "seeds"), ({"threads": -1}, "threads"),
        ({"threads": 0}, "threads"),
        ({"threads": "x"}, "threads"), ({"labels": [1.5]}, "labels"),
    ],
)  # fmt: skip
def test_each_is_named(given: dict[str, Any], where: str) -> None:
    with pytest.raises(BadInput) as refused:
        limen.budget(X, Y, **given)
    assert [problem.where for problem in refused.value.problems] == [where]


def test_several_are_named_at_once() -> None:
    with pytest.raises(BadInput) as refused:
        limen.budget(X, Y, method="svm", loss="hinge", seeds=0, radius=0, labels=["most"])  # type: ignore[arg-type, list-item]
    assert [problem.where for problem in refused.value.problems] == ["method", "loss", "labels", "seeds", "radius"]


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    plain = limen.budget(X, Y, labels=[50, 64], seeds=2, rich_head=False)
    found = limen.budget(X, Y, labels=np.array([50, 64]), seeds=np.int64(2), rich_head=False)  # type: ignore[arg-type]
    assert found.to_json()["terms"] == plain.to_json()["terms"]
