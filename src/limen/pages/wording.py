"""How a number is said: the digits its interval earns, its interval, its grade by mark and word; errors in percent.

Every number on a page, in Markdown and in a terminal passes through here; CSV and JSON carry the plain floats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from limen.pages.svg import printable
from limen.records.budget import Budget
from limen.records.estimate import Estimate, Grade
from limen.records.units import counted

count = counted
"""A number of things: `1 label`, `7,500 labels`."""
PERCENT = frozenset({"error", "balanced_error", "error_difference"})
_POWER = re.compile(r"\b(\d(?:\.\d+)?)e([+-]\d\d+)\b")
TINY = 1e-4  # below it six decimals show two digits or fewer
UNITS = {"log": "nats", "squared": "squared loss"}
LOSSES = {"log": "log-loss in nats", "squared": "squared loss"}
HUES = {
    "minimal_adaptation_loss": "floor",
    "estimation_gap": "estimation",
    "optimization_gap": "optimization",
    "shift_gap": "shift",
}
WORDS = {
    "adaptation_loss": "loss on held-out rows",
    "minimal_adaptation_loss": "floor: the least this encoder and adapter allow",
    "estimation_gap": "estimation: what more labels would remove",
    "optimization_gap": "optimization: what the solver left",
    "generalization_gap": "generalization: held-out less training loss",
    "optimism": "optimism: floor less the training minimum",
    "empirical_adaptation_loss": "loss on training rows",
    "error": "error on held-out rows",
    "balanced_error": "error, classes weighted equally",
    "irreducible": "irreducible: label noise",
    "representation_gap": "representation: what the encoder lost",
    "class_gap": "adapter class: what a richer adapter would remove",
    "shift_gap": "shift: loss there less loss here",
}
METHODS = {"lda": "LDA", "knn": "k nearest neighbours", "fine-tune": "fine-tuning", "lp-ft": "LP-FT", "lora": "LoRA"}
CONTROLS = {
    "prior": "class shares alone",
    "shuffled_labels": "the same adapter on shuffled labels",
}
GRADES: dict[Grade, str] = {
    "exact": "closed form on a known world",
    "certified": "finite-sample, any distribution",
    "statistical": "asymptotic interval; docs/validation.md says what was measured",
    "extrapolated": "fitted law, back-tested",
    "point": "no interval, or one whose coverage is not validated",
}


def words(term: str) -> str:
    """What a term is, for a person; terms not known here are spelt from their key.

    >>> words("layer_gap")
    'layer gap'
    """
    return WORDS.get(term, term.replace("_", " "))


def short(term: str) -> str:
    """The first word or words of `words`, before the colon."""
    return words(term).split(":")[0]


def decimal(value: float, digits: int, signed: bool = False) -> str:
    """A fixed number of decimals with a typographic minus; zero never carries a sign.

    >>> decimal(-0.25, 2), decimal(0.25, 1, signed=True), decimal(-0.001, 2), decimal(20400, 0)
    ('−0.25', '+0.2', '0.00', '20,400')
    """
    shown = f"{value:,.{digits}f}"
    if not shown.strip("-0."):
        return shown.lstrip("-")
    return shown.replace("-", "−") if value < 0 else ("+" + shown if signed else shown)


def unit(term: str) -> str:
    """Percent of an error, percentage points of a difference of errors, nothing otherwise.

    >>> unit("error"), unit("error_difference"), unit("adaptation_loss")
    (' %', ' points', '')
    """
    return " points" if term == "error_difference" else " %" if term in PERCENT else ""


def value(estimate: Estimate, term: str = "", signed: bool = False) -> str:
    """The value, or its state in words.

    >>> value(Estimate(0.0719, 0.065, 0.079, 0.95, "certified"), "error")
    '7.19 %'
    """
    if estimate.value is None:
        return estimate.state.replace("_", " ")
    return _scaled(estimate.value, estimate, term, signed) + unit(term)


def interval(estimate: Estimate, term: str = "", signed: bool = False) -> str:
    """The interval in words; empty where there is none.

    >>> interval(Estimate(0.2, None, 0.25, 0.95, "certified"))
    'at most 0.250'
    """
    low, high = (None if x is None else _scaled(x, estimate, term, signed) for x in (estimate.low, estimate.high))
    percent = unit(term)
    if low is not None and high is not None:
        return f"{low} to {high}{percent}"
    if high is not None:
        return f"at most {high}{percent}"
    return "" if low is None else f"at least {low}{percent}"


def full(estimate: Estimate, term: str = "", signed: bool = False) -> str:
    """Value, interval, and nothing else.

    >>> full(Estimate(0.171, 0.15, 0.192, 0.95, "statistical"))
    '0.171 (0.150 to 0.192)'
    """
    inside = interval(estimate, term, signed)
    return f"{value(estimate, term, signed)} ({inside})" if inside else value(estimate, term, signed)


def grade(estimate: Estimate) -> str:
    """Mark and word of the grade.

    >>> grade(Estimate(1.0))
    '○ point'
    """
    return f"{estimate.mark} {estimate.grade}"


def confidence(estimate: Estimate) -> str:
    """`95 %`, or a dash where there is no interval.

    >>> confidence(Estimate(0.2, None, 0.25, 0.975, "certified"))
    '97.5 %'
    """
    return "–" if estimate.confidence is None else f"{estimate.confidence * 100:.4g} %"


def unknown(estimate: Estimate) -> str:
    """What is not known about this number, in a word or two; empty for a two-sided one.

    >>> unknown(Estimate(None, None, 0.4, 0.95, state="not_identified", reason="n too small"))
    'upper side only'
    """
    if estimate.high is not None and estimate.low is None:
        return "upper side only"
    if estimate.low is not None and estimate.high is None:
        return "lower side only"
    if estimate.value is None:
        return "interval only" if estimate.two_sided else estimate.state.replace("_", " ")
    return "" if estimate.two_sided or estimate.grade == "exact" else "no interval"


def missing(estimate: Estimate) -> str:
    """What stands where the value would: what is known, or its state.

    >>> missing(Estimate(None, 0.1, 0.4, 0.95, state="not_identified", reason="n too small"))
    'interval only'
    """
    return "diverged" if estimate.state == "diverged" else unknown(estimate)


def who(budget: Budget) -> str:
    """`minilm · linear probe`, on one line."""
    return f"{flat(budget.encoder)} · {method(budget.method)}"


def method(name: str) -> str:
    """`linear-probe` as words.

    >>> method("mean-classifier"), method("lda")
    ('mean classifier', 'LDA')
    """
    return METHODS.get(name) or flat(name).replace("-", " ")


def computed_with(environment: Mapping[str, Any]) -> str:
    """Threads and linear algebra library of the fits; empty where they are not known.

    >>> computed_with({"threads": 1, "blas": "openblas 0.3.31 (Haswell)"})
    'computed with 1 BLAS thread per fit, openblas 0.3.31 (Haswell)'
    """
    if "threads" not in environment:
        return ""
    threads = int(environment["threads"])
    library = flat(str(environment.get("blas", ""))) or "an unknown library"
    return f"computed with {threads} BLAS thread{'s' if threads > 1 else ''} per fit, {library}"


def flat(text: str) -> str:
    """Names and reasons on one line, as any file can hold them."""
    return printable(" ".join(text.split()))


def prose(text: str) -> str:
    """A reason, an action or a finding on one line, its powers of ten written as everywhere else.

    >>> prose("at most 4e-05, proven"), prose("1.5e+06 rows")
    ('at most 4×10⁻⁵, proven', '1.5×10⁶ rows')
    """
    return _POWER.sub(lambda found: f"{found[1]}×10{_raised(int(found[2]))}", flat(text))


def tiny(value: float, signed: bool = False) -> str:
    """A number too small for six decimals, with one digit and a power of ten.

    >>> tiny(7.2e-7), tiny(-3e-12), tiny(0.0)
    ('7×10⁻⁷', '−3×10⁻¹²', '0')
    """
    if value == 0:
        return "0"
    digit, power = f"{abs(value):.0e}".split("e")
    sign = "−" if value < 0 else "+" * signed
    return f"{sign}{digit}×10{_raised(int(power))}"


def _raised(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _scaled(number: float, estimate: Estimate, term: str, signed: bool) -> str:
    if TINY > max(abs(x) for x in (estimate.value, estimate.low, estimate.high) if x is not None) > 0:
        return tiny(number, signed)
    digits = estimate.digits()
    if term in PERCENT:
        return decimal(100 * number, max(0, digits - 2), signed)
    return decimal(number, digits, signed)
