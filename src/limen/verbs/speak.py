"""How the command line speaks: documents on stdout; progress, hints and problems on stderr. Nothing is computed here.

A document is one JSON object with a `schema`, indented by two, and never holds NaN. What ended a command is on stderr
in words and, where --json was asked for, on stdout as `limen.error/1`: exit_code, errors[{where, what, cause, fix}],
kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from limen.records.errors import BadInput, LimenError, Problem, escaped

KEPT = {2: "no result was written or changed", 3: "results that were published are kept"}
"""Exit code → what became of the results."""
INTERRUPTED = "interrupted: results that were published are kept, and the same command continues"


_DOCUMENTS: list[str] = []
"""Schemas of the documents that this command has printed: at most one."""


def begin() -> None:
    """A new command begins: nothing was said yet."""
    _DOCUMENTS.clear()


def document(value: Mapping[str, Any]) -> None:
    """One JSON document on stdout. Raises ValueError for NaN or infinity."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
    _DOCUMENTS.append(str(value["schema"]))


def plain(problem: Problem) -> dict[str, str]:
    """A problem as plain data.

    >>> plain(Problem("y", "expected labels, got none"))
    {'where': 'y', 'what': 'expected labels, got none', 'cause': '', 'fix': ''}
    """
    return {name: getattr(problem, name) for name in ("where", "what", "cause", "fix")}


def failure(error: LimenError, as_json: bool, options: Mapping[str, str]) -> int:
    """Say what ended the command; `options` are argument of a verb → its option. Returns the exit code."""
    problems = [as_typed(problem, options) for problem in error.problems]
    if as_json:
        errors = [plain(problem) for problem in problems]
        kept = KEPT[error.exit_code]
        document({"schema": "limen.error/1", "exit_code": error.exit_code, "errors": errors, "kept": kept})
    print("\n".join([*map(str, problems), KEPT[error.exit_code]]), file=sys.stderr)
    return error.exit_code


def as_typed(problem: Problem, options: Mapping[str, str]) -> Problem:
    """A problem of an argument under the name that the option has on the command line.

    >>> as_typed(Problem("same_population", "there is no test"), {"same_population": "--same-population"}).where
    '--same-population'
    """
    return replace(problem, where=options.get(problem.where, problem.where))


def interrupted(as_json: bool) -> None:
    """Say that the command was interrupted; `limen run` has its document printed by then, the others have not."""
    if as_json and not _DOCUMENTS:
        errors = [plain(Problem("limen", "interrupted", fix="the same command again: it continues"))]
        document({"schema": "limen.error/1", "exit_code": 130, "errors": errors, "kept": KEPT[3]})
    print(INTERRUPTED, file=sys.stderr)


def misuse(error: Any, as_json: bool) -> int:
    """Say what is wrong with the words of a command (an error of the parser); returns 2."""
    if as_json:
        where = error.ctx.command_path if error.ctx is not None else "limen"
        problem = Problem(where, error.format_message() or "a command is missing", fix=f"{where} --help")
        document({"schema": "limen.error/1", "exit_code": 2, "errors": [plain(problem)], "kept": KEPT[2]})
    error.show()
    return 2


@contextmanager
def working(message: str, quiet: bool) -> Iterator[None]:
    """A spinner on a terminal, one line elsewhere, and a warning where threads slow products; --quiet: nothing."""
    if quiet:
        yield
        return
    from rich.console import Console

    console = Console(stderr=True)
    message = escaped(message).replace("\n", "\\n")
    if not console.is_terminal:
        print(message, file=sys.stderr, flush=True)
        _warn_of_threads()
        yield
        return
    from rich.text import Text

    _warn_of_threads()
    with console.status(Text(message)):
        yield


def _warn_of_threads() -> None:
    from limen.arrays.thread_check import checked_once

    if checked_once().slowed:
        print(f"warning: {checked_once().text()}", file=sys.stderr, flush=True)


def checked(output: Path | None, inputs: tuple[Path | None, ...] = ()) -> None:
    """Fail before any work where a report could not be written, or would replace what it is made from."""
    if output is None:
        return
    from limen.verbs.report import check_output

    check_output(output)
    for path in inputs:
        if path is not None and path.exists() and output.exists() and output.samefile(path):
            what = "the report would replace the file that it is made from; nothing was written"
            raise BadInput(Problem(f"-o {output}", what, fix="-o report.html"))


def written(report: Any, output: Path | None, quiet: bool) -> None:
    """Write a report, if one was asked for."""
    if output is None:
        return
    from limen.verbs.report import write_report

    write_report(report, output)
    if not quiet:
        print(escaped(f"wrote {output}"), file=sys.stderr)


def with_recipe(report: Any) -> Any:
    """The report of one command, with that command and what it ran on."""
    import shlex

    from limen.arrays.environment import environment

    command = shlex.join(["limen", *sys.argv[1:]])
    # threads are those that the fits had, not those of this process
    used = next((budget.environment for budget in report.budgets if budget.environment), None) or environment()
    return replace(report, recipe={"command": command, "environment": dict(used)})
