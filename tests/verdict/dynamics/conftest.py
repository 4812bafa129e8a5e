"""Verdicts on one run of each sampling, shared by the tests."""

from __future__ import annotations

import pytest

from limen.records.dynamics import Dynamics
from limen.verdict.dynamics.judge import judge

from .runs import curvature_of, noise_of, recorded


@pytest.fixture(scope="session")
def independent() -> Dynamics:
    return judge("run", recorded(), curvature_of(), noise_of())


@pytest.fixture(scope="session")
def reshuffled() -> Dynamics:
    return judge("run", recorded(sampling="reshuffle"), curvature_of(), noise_of())
