"""Options of the preprocessing of each kind of input."""

from __future__ import annotations

from collections.abc import Mapping

from limen.models.encoder import InputKind

OPTIONS: Mapping[InputKind, Mapping[str, float]] = {
    "image": {},
    "text": {"vocabulary": 4096, "length": 64},
    "audio": {"rate": 8000, "seconds": 1.0, "bands": 40},
}
"""Kind of input → options and their defaults; meanings in the files beside this one."""
WHOLE = ("vocabulary", "length", "rate", "bands")
"""Options that are whole numbers."""
