"""What a source model says of the rows reaches LEEP and NCE, in the order of the rows; nonsense is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

import limen
from limen.data.source import source_probabilities
from limen.records.errors import BadInput

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 300)
X = RNG.normal(size=(300, 4)) + 1.5 * np.eye(3, 4)[Y]
ASKED = {"labels": [60], "seeds": 1, "rich_head": False, "radius": 4.0}


def scores(**given):
    return limen.budget(X, Y, **ASKED, **given).closed_forms.scores


def test_a_source_that_knows_the_labels_has_leep_and_nce_zero():
    for source in (Y, np.eye(3)[Y], [f"class {y}" for y in Y]):
        found = scores(source=source)
        assert found["leep"].value == pytest.approx(0.0, abs=1e-12)
        assert found["nce"].value == pytest.approx(0.0, abs=1e-12)


def test_a_source_that_knows_nothing_leaves_the_entropy_of_the_labels():
    found = scores(source=np.full((300, 5), 0.2))
    assert found["leep"].value == pytest.approx(found["nce"].value, rel=1e-12)
    assert -np.log(3) <= found["leep"].value < -1.05
    assert found["logme"] == scores()["logme"], "the other scores do not read it"
    assert scores()["leep"].value is None


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Y[:10], "300 rows, got shape"),
        (np.zeros((300, 2, 2)), "300 rows, got shape"),
        (RNG.normal(size=(300, 3)), "no probabilities"),
        (np.full((300, 2), 0.4), "sum 0.8"),
        (np.full((300, 2), np.nan), "300 of 300 rows"),
        (np.full((300, 2), "half"), "expected numbers"),
    ],
)
def test_nonsense_is_refused(source, said):
    with pytest.raises(BadInput, match=said):
        limen.budget(X, Y, **ASKED, source=source)


def test_rounded_rows_are_divided_by_their_sum():
    theta = RNG.dirichlet(np.ones(7), 20)
    rounded = theta.astype(np.float16)
    np.testing.assert_allclose(source_probabilities(rounded, 20).sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(source_probabilities(rounded, 20), theta, atol=1e-3)
