"""How Limen says that something cannot be done: expected, got, likely cause, next step; all problems at once.

Misuse raises `LimenError`; a numerical failure is a value of the result (`Estimate.state`), never an exception.
The exit code of a command is the `exit_code` of the error that ended it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from unicodedata import category


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where it is, what was expected and what came, the likely cause, the next step."""

    where: str
    """A file, `file:line:col`, a key path such as `adapt.labels`, or an argument's name."""
    what: str
    """What was expected and what came, in one sentence."""
    cause: str = ""
    """The likely cause; empty when `what` already says it."""
    fix: str = ""
    """What to do next: a command, a key, a value."""
    context: str = ""
    """Source lines with a caret, for errors in files."""

    def __str__(self) -> str:
        r"""The problem for a terminal; control characters, such as those of a hostile file name, are escaped.

        >>> print(Problem("a\x1b[31m\nb.npz", "expected rows, got none"))
        a\x1b[31m\nb.npz: error: expected rows, got none
        """
        where, what = escaped(self.where).replace("\n", "\\n"), escaped(self.what)
        lines = [f"{where}: error: {what}" if where else f"error: {what}"]
        if self.context:
            lines.append(escaped(self.context))
        if self.cause:
            lines.append(f"  cause: {escaped(self.cause)}")
        if self.fix:
            lines.append(f"  fix:   {escaped(self.fix)}")
        return "\n".join(lines)


def escaped(text: str) -> str:
    r"""Without what a terminal acts on or cannot show: controls, marks of direction, lone surrogates.

    >>> print(escaped("größe\x1b[2J\u202e"))
    größe\x1b[2J\u202e
    """
    return "".join(c.encode("unicode_escape").decode("ascii") if _acts(c) else c for c in text)


def _acts(character: str) -> bool:
    return category(character) in ("Cc", "Cf", "Cs") and character not in "\n\t"


class LimenError(Exception):
    """Something the caller asked for cannot be done; holds every problem found, not the first one."""

    exit_code = 2

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class BadInput(LimenError):
    """The input (a file, an array, a study, an option) is not what the question needs. Exit code 2."""

    exit_code = 2


class StoreError(LimenError):
    """The store or the disk refuses: full, read-only, held by another run, damaged. Exit code 3."""

    exit_code = 3
