"""All surrogates of an encoder in one call, on made features and on real embeddings; the record goes there and back."""

from __future__ import annotations

import numpy as np
import pytest

from limen.arrays.random import stream
from limen.measure.logme import logme
from limen.measure.surrogates import EncoderRows, surrogates
from limen.records.errors import BadInput
from limen.records.estimate import Estimate
from limen.records.surrogates import BETTER, Surrogates


def test_everything_that_the_inputs_allow_and_nothing_else():
    rng = stream("surrogates")
    labels = np.repeat([0, 1], 60)
    f = rng.standard_normal((120, 4)) + labels[:, None]
    loss = Estimate(1.0, 0.9, 1.1, confidence=0.95, grade="statistical")
    found = surrogates(EncoderRows("e", f, f + 0.1 * rng.standard_normal(f.shape), labels, loss))
    assert set(found.values) == set(BETTER)
    assert found.values["logme"].value == logme(f, labels)
    assert found.values["pretraining_loss"] == loss
    assert Surrogates.from_json(found.to_json()) == found
    assert set(surrogates(EncoderRows("e", f)).values) == {"rank_me", "effective_rank", "uniformity"}


def test_labels_of_other_rows_are_refused():
    with pytest.raises(BadInput, match="one label a row"):
        surrogates(EncoderRows("e", np.ones((5, 2)), labels=np.zeros(4, dtype=np.int64)))


def test_banking77_embeddings_against_the_same_with_most_directions_removed(shared_data):
    with np.load(shared_data / "banking77" / "minilm-test.npz") as table:
        chosen = np.isin(table["y"], np.unique(table["y"])[:12])
        x, y = table["X"][chosen].astype(np.float64), np.unique(table["y"][chosen], return_inverse=True)[1]
    directions = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:5]
    whole, few = (
        surrogates(EncoderRows(name, f, labels=y)).values for name, f in (("all", x), ("5", x @ directions.T))
    )
    assert whole["rank_me"].value > 150
    assert few["rank_me"].value <= 5
    assert few["effective_rank"].high < whole["effective_rank"].low
    assert whole["uniformity"].high < few["uniformity"].low
    assert few["logme"].value < whole["logme"].value
    assert few["h_score_shrunk"].value < whole["h_score_shrunk"].value
