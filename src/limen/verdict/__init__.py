"""Budget → advice, fits → comparisons: the only folder that sees both measurement and theory."""

from limen.verdict.closed_forms import rankings
from limen.verdict.comparisons import compare_fits, compare_pairs
from limen.verdict.conclude import conclude
from limen.verdict.selection import note_selection

__all__ = ["compare_fits", "compare_pairs", "conclude", "note_selection", "rankings"]
