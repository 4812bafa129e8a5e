"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of development data: $LIMEN_TEST_DATA, or ../shared/data beside the repository."""
    named = os.environ.get("LIMEN_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"development data not found: set LIMEN_TEST_DATA ({folder} does not exist)")
    return folder
