"""A measured number with the evidence behind it: the noun that every table, page and advice is made of.

Grades, from strongest to weakest:

exact         closed form on a known world; no error beyond rounding
certified     finite-sample and distribution-free: P(low ≤ truth ≤ high) ≥ confidence for every distribution
statistical   asymptotic interval whose coverage was validated by simulation (docs/validation)
extrapolated  value of a fitted law outside the measured range; back-tested
point         no interval; `assumptions` says why

A one-sided estimate has None on the missing end. What cannot be known has value None, a `state` and a `reason`.
Nothing is clipped: a loss floor may have a negative low end, an optimism may be negative in one draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

Grade = Literal["exact", "certified", "statistical", "extrapolated", "point"]
State = Literal["measured", "not_identified", "diverged"]

MARKS: dict[Grade, str] = {"exact": "●", "certified": "■", "statistical": "◆", "extrapolated": "▲", "point": "○"}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, its interval, and how it is known.

    >>> Estimate(0.25, 0.2, 0.3, confidence=0.95, grade="certified", n=400, method="Clopper-Pearson").text()
    '0.250 (0.200 to 0.300) ■'

    Raises ValueError for NaN or infinite numbers, an interval that is upside down, a missing value without a reason.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    """Two-sided confidence of [low, high], or one-sided when one end is None; None where there is no interval."""
    grade: Grade = "point"
    n: int | None = None
    """Independent units (rows, groups, batches) behind the number."""
    method: str = ""
    assumptions: tuple[str, ...] = ()
    reference: str = ""
    """The paper, equation or docs page that defines the method."""
    state: State = "measured"
    reason: str = ""
    """Why the value is missing, in words a person can act on."""

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(
                    f"Estimate.{name} must be finite or None, got {number}; use state='diverged' with a reason"
                )
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"Estimate.low {self.low} lies above Estimate.high {self.high}")
        if (self.value is None) != (self.state != "measured"):
            raise ValueError(f"a missing value needs a state other than 'measured', and only then; got {self.state!r}")
        if self.value is None and not self.reason:
            raise ValueError("a missing value needs a reason")
        if (self.low is not None or self.high is not None) and self.confidence is None:
            raise ValueError("an interval needs its confidence")

    @property
    def two_sided(self) -> bool:
        """Whether both ends are known."""
        return self.low is not None and self.high is not None

    @property
    def mark(self) -> str:
        """The mark of the grade on pages and in terminals."""
        return MARKS[self.grade]

    def text(self) -> str:
        """The number with the digits that its interval earns, its interval and its mark.

        >>> Estimate(0.123456, 0.12, 0.13, confidence=0.9, grade="statistical").text()
        '0.1235 (0.1200 to 0.1300) ◆'
        >>> Estimate(-0.001, -0.41, 0.4, confidence=0.9, grade="statistical").text()  # zero has no sign
        '0.00 (-0.41 to 0.40) ◆'
        >>> Estimate(None, None, 0.4, confidence=0.9, state="not_identified", reason="n too small").text()
        'not identified (≤ 0.400) ○'
        """
        digits = self.digits()
        if self.low is not None and self.high is not None:
            interval = f" ({self.low:z.{digits}f} to {self.high:z.{digits}f})"
        elif self.high is not None:
            interval = f" (≤ {self.high:z.{digits}f})"
        elif self.low is not None:
            interval = f" (≥ {self.low:z.{digits}f})"
        else:
            interval = ""
        value = self.state.replace("_", " ") if self.value is None else f"{self.value:z.{digits}f}"
        return f"{value}{interval} {self.mark}"

    def digits(self) -> int:
        """Decimals worth printing: two significant digits of the half-width, between 0 and 6."""
        numbers = [abs(x) for x in (self.value, self.low, self.high) if x is not None]
        if self.low is not None and self.high is not None and self.high > self.low:
            scale = (self.high - self.low) / 2
        else:
            scale = max(numbers, default=1.0) / 20
        if scale <= 0:
            return 3
        return max(0, min(6, 1 - math.floor(math.log10(scale))))

    def but(self, **changes: Any) -> Self:
        """The same estimate with some fields changed."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys; `state` and `reason` appear only where the value is missing."""
        plain: dict[str, Any] = {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "confidence": self.confidence,
            "grade": self.grade,
            "n": self.n,
            "method": self.method,
            "assumptions": list(self.assumptions),
            "reference": self.reference,
        }
        if self.state != "measured":
            plain |= {"state": self.state, "reason": self.reason}
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        >>> e = Estimate(1.0, 0.5, None, confidence=0.95, grade="certified", n=3, assumptions=("i.i.d. rows",))
        >>> Estimate.from_json(e.to_json()) == e
        True
        """
        return cls(**{**plain, "assumptions": tuple(plain.get("assumptions", ()))})


def not_identified(reason: str, **fields: Any) -> Estimate:
    """An estimate whose value cannot be known from these data, with the reason and, where known, its interval."""
    return Estimate(None, state="not_identified", reason=reason, **fields)
