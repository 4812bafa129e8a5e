"""`limen report`: what a study's published cells say, as one page, Markdown, CSV or JSON."""

from __future__ import annotations

import os
from pathlib import Path

from limen.records.errors import BadInput, Problem, StoreError
from limen.records.report import Report

FORMATS = (".html", ".md", ".csv", ".json")


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

        return render_markdown(report)
    if suffix == ".csv":
        from limen.pages.table import render_csv

        return render_csv(report)
    if suffix == ".json":
        from limen.pages.document import render_json

        return render_json(report)
    raise BadInput(Problem("-o", f"expected a file ending in {', '.join(FORMATS)}, got {suffix or 'no suffix'}"))


def check_output(path: Path) -> None:
    """Fail before any work where the output could not be written. Raises BadInput."""
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
    if problems:
        raise BadInput(problems)


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
