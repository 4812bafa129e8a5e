"""From values to pixels: linear and logarithmic scales, and ticks at round numbers.

A tick step is 1, 2 or 5 times a power of ten (Heckbert 1990, "Nice numbers for graph labels"); labels of a linear scale
share one number of decimals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Linear:
    """Maps [low, high] to pixels [start, end].

    >>> Linear(0.0, 2.0, 100.0, 0.0)(0.5)
    75.0
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:  # noqa: D102  (the class says what it maps)
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class Log:
    """Maps [low, high], both positive, to pixels [start, end] by their logarithm.

    >>> round(Log(1.0, 100.0, 0.0, 10.0)(10.0), 12)
    5.0
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:  # noqa: D102  (the class says what it maps)
        return self.start + math.log(value / self.low) / math.log(self.high / self.low) * (self.end - self.start)


def extent(values: Iterable[float | None], margin: float = 0.06) -> tuple[float, float]:
    """Smallest range that holds all known values, widened by a margin; a range of positive length in every case.

    >>> extent([1.0, None, 2.0], margin=0.5)
    (0.5, 2.5)
    >>> extent([])
    (0.0, 1.0)
    """
    known = [value for value in values if value is not None]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    width = high - low or abs(high) or 1.0
    return low - margin * width, high + margin * width


def ticks(low: float, high: float, count: int = 5) -> list[tuple[float, str]]:
    """About `count` round values inside [low, high] with their labels.

    >>> ticks(0.0, 1.0, 4)
    [(0.0, '0'), (0.2, '0.2'), (0.4, '0.4'), (0.6, '0.6'), (0.8, '0.8'), (1.0, '1.0')]
    """
    rough = (high - low) / max(1, count)
    power = math.floor(math.log10(rough))
    step = min((factor * 10.0**power for factor in (1, 2, 5, 10)), key=lambda size: abs(size - rough))
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    values = [round(index * step, 12) for index in range(first, last + 1)]
    return [(value, f"{value:.{decimals}f}".replace("-", "−") if value else "0") for value in values]


def log_ticks(low: float, high: float, most: int = 5) -> list[tuple[float, str]]:
    """Round values of a logarithmic axis inside [low, high]: 1-2-5 steps, thinned to powers of ten when many.

    >>> log_ticks(90.0, 2000.0)
    [(100.0, '100'), (200.0, '200'), (500.0, '500'), (1000.0, '1,000'), (2000.0, '2,000')]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [f * 10.0**p for p in powers for f in factors if low * 0.999 <= f * 10.0**p <= high * 1.001]
        if len(found) <= most:
            break
    every = math.ceil(len(found) / most) if found else 1
    return [(value, f"{value:,.0f}" if value >= 1 else f"{value:g}") for value in found[::every]]
