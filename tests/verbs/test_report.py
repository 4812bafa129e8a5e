"""Law: a report only ever takes the place of a report, never of the user's data, whatever the verb and the format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limen.records.errors import BadInput
from limen.records.report import Report
from limen.verbs.report import FORMATS, check_output, write_report, written_by_limen

STUDY = """
name = "mine"
[encoder.pixels]
source = "pixels"
[task.digits]
train = "digits:train"
input = "image"
label = "label"
[adapt]
methods = ["mean-classifier"]
labels = [64, 128]
seeds = 1
"""


@pytest.fixture
def study(rows: tuple[Any, Any], tmp_path: Path) -> Path:
    lines = "".join(f"{a},{b},{c},{name}\n" for (a, b, c), name in zip(*rows, strict=True))
    (tmp_path / "rows.csv").write_text(f"x0,x1,x2,y\n{lines}")
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path / "study.toml"


@pytest.mark.parametrize("verb", ["run", "report"])
def test_a_table_beside_a_study_is_not_replaced(refused: Callable[..., Any], study: Path, verb: str) -> None:
    refused(verb, study, "-o", study.with_name("rows.csv"), says=("would replace", "rows-2.csv"))


def test_the_page_beside_a_study_is_replaced_only_if_it_is_one(
    refused: Callable[..., Any], limen: Callable[..., Any], study: Path
) -> None:
    page = study.with_suffix(".html")
    page.write_text("<!doctype html><html><body>my own page</body></html>")
    assert "would replace" in limen("report", study).err
    refused("report", study, "-o", page, says=("would replace", "study-2.html"))
    page.unlink()
    assert limen("run", study, "-q").code == 0
    assert limen("report", study, "-q").code == 0
    first = page.read_text()
    assert limen("report", study, "-q").code == 0
    assert page.read_text() == first


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_knows_its_own(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"report{suffix}"
    write_report(Report("first", ()), path)
    assert written_by_limen(path)
    write_report(Report("second", ()), path)
    path.write_text("intent,text,y\n1,2,3\n")
    with pytest.raises(BadInput, match="would replace"):
        write_report(Report("third", ()), path)
    assert path.read_text() == "intent,text,y\n1,2,3\n"
    path.write_text("")
    check_output(path)  # nothing would be lost
