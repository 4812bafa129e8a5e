"""What a coordinator put right when it took a store over, and what housekeeping removed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a new coordinator found and put right; prints as one line, empty when nothing was wrong.

    >>> print(Recovery(adopted=("ab",), swept=2))
    1 result recovered from disk; 2 unfinished folders removed
    """

    adopted: tuple[str, ...] = ()
    """Keys of published results that the ledger did not list."""
    quarantined: tuple[str, ...] = ()
    """Keys of results whose bytes are damaged; their cells run again."""
    vanished: tuple[str, ...] = ()
    """Listed keys without a folder; their cells run again."""
    swept: int = 0
    """Temporary folders of dead processes that were removed."""
    rebuilt: bool = False
    """Whether the ledger was missing or damaged and was made anew."""

    def __str__(self) -> str:
        found = [
            (len(self.adopted), "result", "recovered from disk"),
            (len(self.quarantined), "result", "damaged and quarantined, will run again"),
            (len(self.vanished), "result", "vanished, will run again"),
            (self.swept, "unfinished folder", "removed"),
        ]
        return "; ".join(f"{count} {noun}{'s' * (count != 1)} {what}" for count, noun, what in found if count)


@dataclass(frozen=True, slots=True)
class Freed:
    """What `gc` removed."""

    results: int
    bytes: int
