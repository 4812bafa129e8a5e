"""Laws of arrays in memory: the same rows in any container, the same checks as in files."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from limen.data.arrays import from_arrays
from limen.records.errors import BadInput

X = np.random.default_rng(1).normal(size=(6, 2))


def test_lists_and_arrays_of_objects_holding_strings_are_the_same_rows() -> None:
    plain = from_arrays(X, np.array(["a", "b"] * 3), id=np.arange(6), group=["u", "v"] * 3)
    listed = from_arrays(X.tolist(), ["a", "b"] * 3, id=list("012345"), group=np.array(["u", "v"] * 3, dtype=object))
    objects = from_arrays(X, np.array(["a", "b"] * 3, dtype=object))
    assert np.array_equal(plain.features, listed.features)
    assert plain.labels.tolist() == listed.labels.tolist() == objects.labels.tolist()
    assert plain.ids == listed.ids
    assert plain.groups is not None
    assert listed.groups is not None
    assert plain.groups.tolist() == listed.groups.tolist()


def test_classes_given_are_kept_in_their_order() -> None:
    rows = from_arrays(X, ["b", "a"] * 3, classes=("b", "a", "c"))
    assert rows.classes == ("b", "a", "c")
    assert rows.labels.tolist() == [0, 1] * 3


def test_the_given_arrays_are_not_changed() -> None:
    x = np.column_stack([X, np.zeros(6)])
    before = x.copy()
    from_arrays(x, [0, 1] * 3)
    assert np.array_equal(x, before)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (scipy.sparse.csr_matrix(X), [0, 1] * 3, "sparse"),
        ([[1.0], [1.0, 2.0]], [0, 1], "expected an array"),
        (X, [0, 1, None, 1, 0, 1], "labels are missing in 1 row (row 2)"),
        (X, [{1}, {3}, "a", "b", "a", "b"], "objects of type set in 2 rows"),
        (X.astype(object), [0, 1] * 3, "got object"),
        (3.0, [0, 1] * 3, "shape []"),
    ],
)
def test_bad_containers(x: object, y: object, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        from_arrays(x, y)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_groups_and_ids_must_be_one_a_row() -> None:
    with pytest.raises(BadInput) as caught:
        from_arrays(X, [0, 1] * 3, group=[1, 2], id=["a"] * 6)
    assert len(caught.value.problems) == 2
    assert "got 2" in str(caught.value)
    assert "1 ids recur: a" in str(caught.value)
    with pytest.raises(BadInput, match="one integer or string group a row"):
        from_arrays(X, [0, 1] * 3, group=np.linspace(0, 1, 6))
