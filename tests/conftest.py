"""Fixtures that every folder of tests may use, and the switch under which nothing may be skipped for want of a part.

LIMEN_TEST_DATA=DIR      where the development data is (default: ../shared/data beside the repository)
LIMEN_REQUIRE_DATA=1     missing data, extras, or Chromium fail instead of skipping; what the machine forbids (mounting
                         a small disk) may still skip
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

MAY_SKIP = (
    "a small file system can be mounted by root only",
    "mounting a small file system is",
    "no /dev/full here",
    "SCIPY_ARRAY_API is not set: not checking",
    "pandas is not installed: not checking",
    "could not import 'pandas'",
    "Lightning is not installed",
)
"""Reasons that lie in the machine, in scikit-learn's checks of optional inputs, or in pandas and Lightning, which
`to_frame` and the recorder can use and no environment of ours installs; never in what was installed here."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of development data: $LIMEN_TEST_DATA, or ../shared/data beside the repository."""
    named = os.environ.get("LIMEN_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"development data not found: set LIMEN_TEST_DATA ({folder} does not exist)")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """A test that skips although everything is required fails."""
    return _required((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """A file that skips as a whole (`importorskip`) although everything is required fails."""
    return _required((yield))


def _required(report):  # type: ignore[no-untyped-def]
    if os.environ.get("LIMEN_REQUIRE_DATA") == "1" and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(allowed in reason for allowed in MAY_SKIP):
            report.outcome = "failed"
            report.longrepr = f"LIMEN_REQUIRE_DATA=1 forbids this skip: {reason}"
    return report
