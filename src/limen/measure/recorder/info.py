"""run.json ↔ RunInfo: the same facts, as a document of schema limen.recording/1 and as a record."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limen.records.errors import BadInput, Problem
from limen.records.trajectory import OptimizerSettings, RunInfo, Segment, SelfTest

SCHEMA = "limen.recording/1"
TESTS_KEPT = 1000
"""Self-tests that run.json holds: so many of the latest, and as many of those before that failed."""


def to_document(info: RunInfo) -> dict[str, Any]:
    """The JSON document of a recording."""
    document = {"schema": SCHEMA, **asdict(info)}
    tests = [test for test in info.self_tests if math.isfinite(test.difference + test.tolerance)]
    failed = [test for test in tests[:-TESTS_KEPT] if not test.passed]
    document["self_tests"] = [asdict(test) for test in (*failed[-TESTS_KEPT:], *tests[-TESTS_KEPT:])]
    return document


def from_document(document: dict[str, Any]) -> RunInfo:
    """The record of a document. Raises KeyError or TypeError where it is none."""
    fields = {key: value for key, value in document.items() if key != "schema"}
    fields["optimizer"] = _settings(fields["optimizer"])
    fields["segments"] = tuple(
        Segment(**{**segment, "settings": _settings(segment["settings"])}) for segment in fields["segments"]
    )
    fields["self_tests"] = tuple(SelfTest(**test) for test in fields["self_tests"])
    fields["eigenvalues"] = tuple(fields["eigenvalues"])
    fields["resumed"] = tuple(fields["resumed"])
    return RunInfo(**fields)


def read_info(folder: Path) -> RunInfo:
    """What run.json says. Raises BadInput where there is none or it is of another kind."""
    path = folder / "run.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        fix = "give the folder that limen.record wrote"
        raise BadInput(Problem(str(folder), "expected a recording, found no run.json", fix=fix)) from error
    except ValueError as error:
        raise BadInput(Problem(str(path), f"expected JSON: {error}", cause="the file was changed by hand")) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        got = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise BadInput(Problem(str(path), f"expected schema {SCHEMA}, got {got}", fix="read it with the Limen of then"))
    try:
        return from_document(document)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(Problem(str(path), f"is not a document of {SCHEMA}: {error}")) from error


def _settings(found: dict[str, Any]) -> OptimizerSettings:
    return OptimizerSettings(**{**found, "weight_decay": tuple(found["weight_decay"])})
