"""Law: with LIMEN_REQUIRE_DATA=1 what is missing fails; without it the same tests skip, and say what to set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = {
    "test_data.py": "def test_data(shared_data):\n    pass\n",
    "test_extra.py": "import pytest\npytest.importorskip('no_such_extra')\n",
    "test_inside.py": "import pytest\ndef test_inside():\n    pytest.importorskip('no_such_extra')\n",
    "test_machine.py": "import pytest\ndef test_machine():\n    pytest.skip('no /dev/full here')\n",
}


@pytest.mark.parametrize(("required", "outcome"), [("", "4 skipped"), ("1", "1 skipped")])
def test_what_is_missing_skips_or_fails(tmp_path: Path, required: str, outcome: str) -> None:
    for name, text in TESTS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    environment = os.environ | {"LIMEN_REQUIRE_DATA": required, "LIMEN_TEST_DATA": str(tmp_path / "nowhere")}
    command = [sys.executable, "-m", "pytest", "--continue-on-collection-errors", "-p", "no:cacheprovider", "."]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert outcome in ended.stdout, ended.stdout
    assert (ended.returncode != 0) == bool(required), ended.stdout
    assert not required or ("2 error" in ended.stdout and "1 failed" in ended.stdout), ended.stdout
