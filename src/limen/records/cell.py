"""The unit of work of a study: one stage on one frozen specification, named by the hash of what it means."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Cell:
    """One piece of work. `identity` is what it means (hashed); `spec` is what the stage gets (paths, threads too)."""

    stage: str
    label: str
    """For people: `minilm · banking77 · linear-probe`."""
    identity: Mapping[str, Any]
    """Semantic fields, content hashes of data and weights, keys of upstream cells, the stage's VERSION."""
    spec: Mapping[str, Any]
    """JSON-able; whatever the stage function needs to run."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Input name → key of the upstream cell whose record it is."""
    seconds: float = 1.0
    """Forecast of its run time."""

    @property
    def key(self) -> str:
        """SHA-256 of the canonical JSON of `stage` and `identity`: 64 hex digits."""
        return hashlib.sha256(canonical_json({"stage": self.stage, **self.identity}).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, no NaN: equal meaning gives equal text.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    '{"a":[1.5,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
