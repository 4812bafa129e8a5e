"""What cannot be stored exactly is refused whole, with every path, before a byte is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from limen.records.cell import Cell
from limen.records.stage import StageRecord
from limen.store import Store


@pytest.mark.parametrize(
    ("data", "arrays", "kind", "path"),
    [
        ({"loss": float("nan")}, {}, ValueError, r"data\.loss is nan"),
        ({"curve": [{"loss": 1.0}, {"loss": float("-inf")}]}, {}, ValueError, r"data\.curve\[1\]\.loss is -inf"),
        ({"loss": np.float64("nan")}, {}, ValueError, r"data\.loss is nan"),
        ({"n": np.int64(3)}, {}, TypeError, r"data\.n is of type numpy\.int64"),
        ({"when": object()}, {}, TypeError, r"data\.when is of type object"),
        ({"by": {3: "x"}}, {}, TypeError, r"key 3 of data\.by"),
        ({}, {"a": np.array([{}], dtype=object)}, ValueError, r"arrays\['a'\] holds Python objects"),
        ({}, {"../a": np.zeros(2)}, ValueError, r"array name '\.\./a'"),
        ({}, {"": np.zeros(2)}, ValueError, r"array name ''"),
        ({}, {"a/": np.zeros(2)}, ValueError, r"array name 'a/'"),
        ({}, {".a": np.zeros(2)}, ValueError, r"array name '\.a'"),
        ({}, {"g/a": np.array(["x"])}, ValueError, r"arrays\['g/a'\] has dtype <U1"),
        ({}, {"a": [1.0]}, ValueError, r"arrays\['a'\] is list"),
    ],
)
def test_refused_with_the_path(
    store: Store, cell: Cell, data: dict[str, Any], arrays: dict[str, Any], kind: type[Exception], path: str
) -> None:
    with pytest.raises(kind, match=path):
        store.writer.publish(cell, StageRecord("fit", 1, data, arrays), 1.0)
    assert not store.root.exists()


def test_all_paths_at_once(store: Store, cell: Cell) -> None:
    record = StageRecord("fit", 1, {"a": float("nan"), "b": [float("inf")]})
    with pytest.raises(ValueError, match=r"data\.a is nan.*data\.b\[0\] is inf"):
        store.writer.publish(cell, record, 1.0)
