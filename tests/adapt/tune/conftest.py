"""Fixtures that the tests of tuning share."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from limen.adapt.prepare import Prepared, prepare
from limen.adapt.tune.rows import Raw, RawRows
from limen.models.trainable.trainable import Trainable, trainable
from limen.records.task import FitSpec, LabelledFeatures, Task

from .cases import frozen, images


@pytest.fixture(scope="session")
def encoder() -> Trainable:
    return trainable(frozen())


@pytest.fixture(scope="session")
def setting() -> tuple[Task, Raw, Prepared]:
    """Task on frozen features, its raw rows, its parts."""
    (x, y), (other, theirs) = images(400, 0), images(90, 1, shift=0.3)
    encode, names = frozen().encode, tuple("abc")
    task = Task(
        "patterns",
        "conv",
        LabelledFeatures(encode(x), y, names),
        {"test": LabelledFeatures(encode(other), theirs, names)},
    )
    raw = Raw(RawRows(x, y), {"test": RawRows(other, theirs)})
    return task, raw, prepare(task, FitSpec(labels=(60, 120, "all"), seeds=2))
