"""A budget that draws itself, as people expect of a result in a notebook. Records know nothing of pages."""

from __future__ import annotations

from dataclasses import fields

from limen.pages.figure import Picture, budget_figure
from limen.records.budget import Budget


class ShownBudget(Budget):
    """A `Budget` with a picture."""

    __slots__ = ()

    @classmethod
    def of(cls, budget: Budget) -> ShownBudget:
        """The same budget, drawable."""
        return cls(**{field.name: getattr(budget, field.name) for field in fields(budget)})

    def plot(self) -> Picture:
        """The waterfall as SVG: shows itself in notebooks, `.save("budget.svg")` writes it."""
        return Picture(budget_figure(self))

    def _repr_html_(self) -> str:
        return budget_figure(self)
