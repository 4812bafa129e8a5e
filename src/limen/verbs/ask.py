"""What is asked of a budget, from the words of a command line or the arguments of a call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from numbers import Real
from typing import Any, Literal

from limen.records.errors import BadInput, Problem
from limen.records.task import Question

Target = Mapping[str, float] | str | None


def question_of(target: Target = None, margin: float = 0.01, confidence: float = 0.95) -> Question:
    """Target, margin and confidence, checked.

    >>> question_of("loss=0.3").target_loss
    0.3

    Raises BadInput naming every value out of range.
    """
    problems: list[Problem] = []
    if not _real(confidence) or not 0.5 <= confidence < 1:
        problems.append(Problem("confidence", f"expected at least 0.5 and below 1, got {confidence!r}", fix="0.95"))
    if not (_real(margin) and math.isfinite(margin) and margin >= 0):
        problems.append(Problem("margin", f"expected a number of at least 0 in units of the loss, got {margin!r}"))
    wanted = _parse(target, problems)
    if problems:
        raise BadInput(problems)
    return Question(confidence, target_loss=wanted.get("loss"), target_error=wanted.get("error"), margin=margin)


def _parse(target: Any, problems: list[Problem]) -> dict[str, float]:
    if target is None:
        return {}
    fix = 'one of "loss=0.3", "error=0.05"'
    if isinstance(target, str):
        key, _, number = target.partition("=")
        try:
            wanted = {key.strip(): float(number)}
        except ValueError:
            problems.append(Problem("target", f"expected loss=NUMBER or error=NUMBER, got {target!r}", fix=fix))
            return {}
    elif not isinstance(target, Mapping) or not all(_real(number) for number in target.values()):
        problems.append(Problem("target", f"expected a number with its name, got {target!r}", fix=fix))
        return {}
    else:
        wanted = {key: float(number) for key, number in target.items()}
    if set(wanted) not in ({"loss"}, {"error"}):
        problems.append(Problem("target", f"expected one of loss, error, got {', '.join(wanted) or 'none'}", fix=fix))
        return {}
    ((key, value),) = wanted.items()
    if not (math.isfinite(value) and value > 0 and (key == "loss" or value < 1)):
        what = f"expected {'a loss above 0' if key == 'loss' else 'an error above 0 and below 1'}, got {value}"
        problems.append(Problem("target", what))
    return wanted


def _real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def counts_of(text: str | None) -> list[int | Literal["all"]] | None:
    """Label counts from the words of a command line.

    >>> counts_of("100, 1000,all")
    [100, 1000, 'all']

    Raises BadInput for anything but whole numbers and `all`.
    """
    if text is None:
        return None
    found: list[int | Literal["all"]] = []
    for part in (part.strip() for part in text.split(",")):
        if part == "all":
            found.append("all")
        elif part.isascii() and part.isdigit():
            found.append(int(part))
        else:
            what = f"expected whole numbers or all, got {part!r}"
            raise BadInput(Problem("--labels", what, fix="--labels 100,1000,all"))
    return found


def radius_of(text: str) -> float | Literal["auto"]:
    """A radius from the words of a command line. Raises BadInput for anything but `auto` and numbers above 0.

    >>> radius_of("auto"), radius_of("4e1")
    ('auto', 40.0)
    """
    if text == "auto":
        return "auto"
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        what = f"expected auto or a number above 0, got {text!r}"
        raise BadInput(Problem("--radius", what, fix="leave it out: auto chooses one on rows that nothing else uses"))
    return value


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise BadInput, with the nearest allowed word, where `value` is none of them."""
    if value not in allowed:
        near = get_close_matches(value, allowed, 1)
        what = f"expected {', '.join(allowed)}, got {value!r}"
        raise BadInput(Problem(option, what, fix=f"did you mean {near[0]}?" if near else ""))


def lists_of(words: Mapping[str, str | None]) -> dict[str, list[float] | None]:
    """Lists of numbers from the words of a command line, by option; BadInput naming every word that is none.

    >>> lists_of({"--curvature": "0.1, 10", "--offset": None})
    {'--curvature': [0.1, 10.0], '--offset': None}
    """
    found: dict[str, list[float] | None] = {}
    problems: list[Problem] = []
    for option, text in words.items():
        found[option] = None if text is None else []
        for part in [] if text is None else text.split(","):
            try:
                value = float(part)
            except ValueError:
                problems.append(Problem(option, f"expected numbers with commas between them, got {part.strip()!r}"))
                continue
            found[option].append(value)  # type: ignore[union-attr]
    if problems:
        raise BadInput(problems)
    return found
