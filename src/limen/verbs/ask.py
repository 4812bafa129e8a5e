"""What is asked of a budget, from the words of a command line or the arguments of a call."""

from __future__ import annotations

import math
from collections.abc import Mapping

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
    if not 0.5 <= confidence < 1:
        problems.append(Problem("confidence", f"expected at least 0.5 and below 1, got {confidence}", fix="0.95"))
    if not (math.isfinite(margin) and margin >= 0):
        problems.append(Problem("margin", f"expected a number of at least 0 in units of the loss, got {margin}"))
    wanted = _parse(target, problems)
    if problems:
        raise BadInput(problems)
    return Question(confidence, target_loss=wanted.get("loss"), target_error=wanted.get("error"), margin=margin)


def _parse(target: Target, problems: list[Problem]) -> dict[str, float]:
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
    else:
        wanted = {key: float(number) for key, number in target.items()}
    if set(wanted) not in ({"loss"}, {"error"}):
        problems.append(Problem("target", f"expected one of loss, error, got {', '.join(wanted) or 'none'}", fix=fix))
        return {}
    ((key, value),) = wanted.items()
    if not (math.isfinite(value) and value > 0 and (key == "loss" or value < 1)):
        problems.append(Problem("target", f"expected a {key} above 0{' and below 1' * (key == 'error')}, got {value}"))
    return wanted
