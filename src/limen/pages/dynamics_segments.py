"""Stretches of one setting along the run: a bar with a piece for each, the analysed one bracketed under it.

Rows of the table keep every segment; the bar writes a learning rate into pieces wide enough for it.
"""

from __future__ import annotations

from limen.pages import dynamics_words as words
from limen.pages.scales import Linear
from limen.pages.svg import Caption, Element, el, label, number, picture
from limen.records.dynamics import Dynamics

WIDE, NARROW, HEIGHT = 1040.0, 310.0, 86.0
MOST = 400  # pieces drawn; a schedule that changes more often is one piece, its rows stay in the table


def timeline(found: Dynamics, name: str, wide: bool) -> Element:
    """The bar; `name` is unique on the page."""
    width = WIDE if wide else NARROW
    last = max([found.steps, found.analysed[1], *(int(s["stop"]) for s in found.segments)], default=1)
    x = Linear(0.0, float(max(last, 1)), 6.0, width - 6.0)
    pieces = found.segments if len(found.segments) <= MOST else ()
    parts: list[Element] = []
    for index, piece in enumerate(pieces):
        left, right = x(piece["start"] - 1), x(piece["stop"])
        analysed = piece["start"] <= found.analysed[0] <= piece["stop"]
        kind = f"piece {'even' if index % 2 else 'odd'}{' analysed' if analysed else ''}"
        parts.append(el("rect", x=left, y=22, width=max(right - left, 1.0), height=26, rx=3, class_=kind))
        rate = f"η {words.figure(piece['learning_rate'])}" + (" varying" if piece["varying"] else "")
        if right - left > 8.2 * len(rate):
            parts.append(label((left + right) / 2, 39, rate, "small", "middle"))
    first, end = x(found.analysed[0] - 1), x(found.analysed[1])
    parts.append(el("path", d=f"M{number(first)} 54v6H{number(end)}v-6", class_="bracket-thin"))
    middle = min(max((first + end) / 2, 40.0), width - 40.0)
    parts.append(label(middle, 76, "analysed", "small", "middle"))
    parts.append(label(6, 14, "update 1", "tick"))
    parts.append(label(width - 6, 14, f"{last:,}", "tick", "end"))
    caption = Caption("Segments of the run", f"{len(found.segments)} stretches of one setting; updates "
                      f"{found.analysed[0]:,} to {found.analysed[1]:,} are analysed.")  # fmt: skip
    return picture(name, (width, HEIGHT), caption, *parts)


def segment_rows(found: Dynamics) -> list[dict[str, str]]:
    """Every segment with its settings."""
    return [
        {
            "updates": f"{s['start']:,} to {s['stop']:,}",
            "learning_rate": words.figure(s["learning_rate"]) + (", varying" if s["varying"] else ""),
            "momentum": words.figure(s["momentum"]),
            "weight_decay": words.figure(s["weight_decay"]),
            "batch_size": words.figure(s["batch_size"]),
            "analysed": "yes" if s["start"] <= found.analysed[0] <= s["stop"] else "no",
        }
        for s in found.segments
    ]
