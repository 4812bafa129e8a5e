"""Files are the ones that were planned for: a result is published under the hash of what was read, or not at all.

A plan hashes data and weights; hours later a worker reads them. Each cell carries the hashes (`spec["files"]`), and
its stage compares them before it computes and again before its record is handed on, so that a file that was replaced
in between fails the cell. (A file replaced and put back within one stage is the only case that is not seen.)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from limen.records.errors import BadInput, Problem


def unchanged(files: Mapping[str, str]) -> None:
    """Raise BadInput with every file, model folder or built-in table whose SHA-256 is not the one expected of it.

    >>> try:
    ...     unchanged({"digits:test": "0" * 64})
    ... except BadInput as error:
    ...     print(error.problems[0].what[:70])
    the file changed while the study ran: expected sha256 000000000000…, f
    """
    found = {path: _found(path) for path in files}
    problems = [
        Problem(
            path,
            f"the file changed while the study ran: {_difference(expected, found[path])}",
            "it was replaced or edited after the run had planned its cells; nothing was published for it",
            "run again: the study is planned anew, with the file as it is then",
        )
        for path, expected in files.items()
        if found[path] != expected
    ]
    if problems:
        raise BadInput(problems)


def _found(path: str) -> str | None:
    """The hash as a plan takes it; None where the file cannot be read any more."""
    from limen.data.fingerprint import content_hash, folder_hash  # scikit-learn costs a second: only in workers

    try:
        return folder_hash(path) if Path(path).is_dir() else content_hash(path)
    except BadInput:
        return None


def _difference(expected: str, found: str | None) -> str:
    return f"expected sha256 {expected[:12]}…, " + ("it is gone" if found is None else f"found {found[:12]}…")
