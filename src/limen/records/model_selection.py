"""Which model each rule of selection would take for another population, and what that costs against the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limen.records.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Selected:
    """What one rule chose (by fold of the target's rows, where the rule looks at them), its loss and its gap."""

    rule: str
    """`in-distribution`, `leave-one-out` or `oracle`."""
    models: tuple[str, ...]
    loss: Estimate
    gap: Estimate
    """Loss less the oracle's on the same rows, paired; 0 for the oracle."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        numbers = {"loss": self.loss.to_json(), "gap": self.gap.to_json()}
        return {"rule": self.rule, "models": list(self.models)} | numbers


@dataclass(frozen=True, slots=True)
class ModelSelection:
    """The rules side by side on one target population."""

    target: str
    rules: Mapping[str, Selected]

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        return {"target": self.target, "rules": {name: rule.to_json() for name, rule in self.rules.items()}}
