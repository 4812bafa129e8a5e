"""The command line as a person meets it: `limen` runs it in this process, `refused` says what a good refusal is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limen.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)


@pytest.fixture
def limen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    def call(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["limen", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return Ended(stopped.value.code, said.out, said.err)

    return call


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*")}


@pytest.fixture
def refused(limen: Callable[..., Ended], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Refused with every fragment on stderr and as one document on stdout; nothing written in the test's folder."""

    def call(*words: object, says: tuple[str, ...], code: int = 2, fix: bool = True) -> dict[str, Any]:
        before = listing(tmp_path)
        spoken, ended = limen(*words), limen(*words, "--json")
        assert listing(tmp_path) == before
        for got in (spoken, ended):
            assert got.code == code, got.err
            assert "Traceback" not in got.err
            for fragment in says:
                assert fragment in got.err, got.err
        assert spoken.out == ""
        document = ended.document
        assert document["schema"] == "limen.error/1"
        assert document["exit_code"] == code
        assert document["kept"]
        assert all(problem["where"] and problem["what"] for problem in document["errors"])
        assert not fix or any(problem["fix"] for problem in document["errors"]), document
        return document

    return call


@pytest.fixture
def rows() -> tuple[Any, Any]:
    """300 rows of two classes that a probe can tell apart."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    return rng.normal(size=(300, 3)) + 2 * y[:, None], np.array(["cat", "dog"])[y]
