"""The picture of one budget on its own: an SVG that carries its colours, for `Budget.plot()` and notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from limen.pages import sentences, wording
from limen.pages.page import asset
from limen.pages.svg import Caption, Element, el
from limen.pages.waterfall import WIDE, waterfall
from limen.records.budget import Budget


@dataclass(frozen=True, slots=True)
class Picture:
    """A standalone SVG."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> None:
        """Write the SVG as UTF-8. Raises OSError when the disk refuses."""
        Path(path).write_text(self.svg, encoding="utf-8")


def budget_figure(budget: Budget) -> str:
    """The waterfall of one budget as a standalone SVG document (UTF-8 text, light and dark by the viewer's setting).

    Shapes: 1040 units wide, height by the number of terms. Raises nothing: a missing number is drawn as words.
    """
    caption = Caption(
        f"Error budget of {wording.who(budget)} on {wording.flat(budget.task)}, {wording.LOSSES[budget.loss]}",
        sentences.plain(sentences.lead(budget)),
    )
    drawn = waterfall([budget], "budget", WIDE, caption)
    style = el("style", asset("colours.css") + asset("figures.css") + _FONT)
    return str(Element(drawn.tag, (*drawn.attributes, ("class", "limen")), (style, *drawn.children)))


_FONT = '.limen { font-family: "Inter", "Segoe UI", system-ui, "DejaVu Sans", sans-serif; background: var(--card); }\n'
