"""Where the state of an unfinished run is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, of which run it is (any text that tells it from others), and how often the state is written."""

    folder: Path
    run: str
    every: float = 60.0
    """Seconds."""
