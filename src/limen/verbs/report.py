"""`limen report`: what a study's published cells say, as one page, Markdown, CSV or JSON."""

from __future__ import annotations

import os
from pathlib import Path

from limen.records.errors import BadInput, Problem, StoreError
from limen.records.report import Report

FORMATS = (".html", ".md", ".csv", ".json")
MARK = "<!-- written by limen -->"
"""Last line of a Markdown report: how a later command knows that the file may be replaced."""
HEAD = 1024
"""Bytes at either end of a file that say whether it is a report of Limen."""


def report(study: str | Path, *, store: str | Path | None = None, data: str | Path | None = None) -> Report:
    """The report of everything that is published for the study; runs nothing.

    Raises BadInput for a study that is not sound or has no published budget yet, StoreError for a damaged store.
    """
    from limen.study.run import Options, open_study, report_of

    options = Options(data=None if data is None else Path(data), store=None if store is None else Path(store), yes=True)
    opened = open_study(study, options)
    found = report_of(opened)
    if not found.budgets:
        done = sum(cell.outcome == "cached" for cell in found.cells)
        what = f"no budget is published yet ({done} of {len(found.cells)} cells); nothing was written"
        raise BadInput(Problem(str(opened.store.root), what, fix=f"limen run {study}, or name its --store"))
    return found


def render(report: Report, suffix: str) -> str:
    """The report as text of one of FORMATS. Raises BadInput for another suffix."""
    if suffix == ".html":
        from limen.pages.page import render_html

        return render_html(report)
    if suffix == ".md":
        from limen.pages.markdown import render_markdown

        return f"{render_markdown(report)}\n{MARK}\n"
    if suffix == ".csv":
        from limen.pages.table import render_csv

        return render_csv(report)
    if suffix == ".json":
        from limen.pages.document import render_json

        return render_json(report)
    raise BadInput(Problem("-o", f"expected a file ending in {', '.join(FORMATS)}, got {suffix or 'no suffix'}"))


def check_output(path: Path) -> None:
    """Fail before any work where the output could not be written, or is a file of someone else. Raises BadInput."""
    problems = []
    if path.suffix not in FORMATS:
        what = f"expected a file ending in {', '.join(FORMATS)}, got {path.suffix or 'no suffix'}"
        problems.append(Problem(f"-o {path}", what, fix="-o report.html"))
    if not path.absolute().parent.is_dir():
        problems.append(Problem(f"-o {path}", "its folder does not exist", fix=f"mkdir -p {path.parent}"))
    elif path.is_dir():
        problems.append(Problem(f"-o {path}", "this is a folder, expected a file"))
    elif not os.access(path.absolute().parent, os.W_OK):
        problems.append(Problem(f"-o {path}", "its folder is read-only", fix="name another folder"))
    elif path.suffix in FORMATS and path.exists() and not written_by_limen(path):
        what = "the report would replace this file, which no limen command wrote; nothing was written"
        fix = f"-o {_free(path)}, or move the file away if it may be lost"
        problems.append(Problem(f"-o {path}", what, "data, or a page that was edited by hand", fix))
    if problems:
        raise BadInput(problems)


def written_by_limen(path: Path) -> bool:
    """Whether a file is a report of Limen, or empty: only then may another report take its place.

    Judged by content, never by name: the class and title of the page, the last line of the Markdown, the header of the
    CSV, the schema of the JSON.
    """
    if not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD).decode("utf-8", "replace")
            stream.seek(max(0, path.stat().st_size - HEAD))
            tail = stream.read().decode("utf-8", "replace")
    except OSError:
        return False
    if not head:
        return True
    if path.suffix == ".html":
        return head.startswith("<!doctype html>") and '<html lang="en" class="limen">' in head
    if path.suffix == ".csv":
        from limen.pages.table import COLUMNS

        return head.splitlines()[0] == ",".join(COLUMNS)
    if path.suffix == ".json":
        return head.removeprefix("{").lstrip().startswith('"schema": "limen.report/')
    return path.suffix == ".md" and tail.rstrip().endswith(MARK)


def _free(path: Path) -> Path:
    """The first of NAME-2, NAME-3, … that is not there."""
    number = 2
    while (other := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        number += 1
    return other


def write_report(report: Report, path: Path) -> None:
    """Write the report; an existing file is replaced only when the new one is complete.

    Raises BadInput for a suffix that is no format, StoreError when the disk refuses.
    """
    check_output(path)
    text = render(report, path.suffix)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        what = f"it cannot be written: {error.strerror} (errno {error.errno})"
        raise StoreError(Problem(str(path), what, fix="free space, or write elsewhere with -o")) from error
