"""Two views by a checkpoint: alike for one input and not for two, the same draws at every checkpoint, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from limen.data.digits import digits
from limen.measure.representation import alignment
from limen.measure.surrogates import EncoderRows, surrogates
from limen.measure.view_features import view_features
from limen.records.errors import BadInput

RUN = {
    "data": "digits:train",
    "heldout": 0.2,
    "objective": "nt-xent",
    "architecture": {"name": "conv", "width": 8},
    "steps": 60,
    "batch_size": 64,
    "optimizer": {"name": "adam", "learning_rate": 3e-3},
    "checkpoints": 2,
    "evaluation": {"draws": 1, "training_batches": 2},
}


@pytest.mark.torch
def test_views_of_digits():
    from limen.pretrain.run import pretrain

    record, images = pretrain(RUN), digits("digits:test")[0]
    a, b = view_features(RUN, record, images)
    assert a.shape == b.shape
    assert len(a) == 450
    own, others = alignment(a, b), alignment(a, np.roll(b, 1, axis=0))
    assert own.high < others.low
    again = view_features(RUN, record, images)
    assert np.array_equal(a, again[0])
    assert not np.array_equal(a, b)
    part = view_features(RUN, record, images[:256])
    assert np.allclose(part[0], a[:256])
    found = surrogates(EncoderRows("digits#0", a, b)).values
    assert found["spectral_loss"].high < 0
    plain = {**RUN, "objective": "autoencoder"}  # has no views: the usual ones
    assert not np.array_equal(*view_features(plain, record, images[:64]))
    with pytest.raises(BadInput, match="got none"):
        view_features(RUN, record, images[:0])
    with pytest.raises(BadInput, match="kept steps"):
        view_features(RUN, record, images[:2], step=7)
