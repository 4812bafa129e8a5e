"""A gauge of z: where it lies on a line from −5 to 5, with the band in which a law is not contradicted.

It says nothing that the number beside it does not: it is hidden from screen readers.
"""

from __future__ import annotations

from limen.pages.dynamics_words import AGREES
from limen.pages.scales import Linear
from limen.pages.svg import el, line, number

FAR = 5.0
SIZE = (110.0, 14.0)


def gauge(z: float | None) -> str:
    """The markup; an arrow at an end where |z| is above 5, empty where there is no z.

    >>> gauge(None)
    ''
    >>> "circle" in gauge(1.0), "circle" in gauge(9.0)
    (True, False)
    """
    if z is None:
        return ""
    width, height = SIZE
    x, y = Linear(-FAR, FAR, 6.0, width - 6.0), height / 2
    band = el("rect", x=x(-AGREES), y=1, width=x(AGREES) - x(-AGREES), height=height - 2, class_="agree")
    if abs(z) <= FAR:
        mark = el("circle", cx=x(z), cy=y, r=3.5, class_="mark seen")
    else:
        side = 1.0 if z > 0 else -1.0
        tip = x(side * FAR) + 5 * side
        away = number(-7 * side)
        mark = el("path", d=f"M{number(tip)} {number(y)}l{away} -5v10z", class_="rotation-head")
    return str(
        el(
            "svg",
            band,
            line([(x(-FAR), y), (x(FAR), y)], "grid"),
            line([(x(0.0), 1), (x(0.0), height - 1)], "zero"),
            mark,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {number(width)} {number(height)}",
            class_="gauge",
            aria_hidden="true",
        )
    )
