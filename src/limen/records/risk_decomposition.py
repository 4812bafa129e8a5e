"""The risk of a probe on a pretrained encoder as four signed terms, after Dubois, Hashimoto and Liang."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from limen.records.estimate import Estimate

TERMS = ("approximation", "usability", "probe_generalization", "encoder_generalization")


@dataclass(frozen=True, slots=True)
class RiskDecomposition:
    """total = approximation + usability + probe_generalization + encoder_generalization, nothing clipped."""

    quantity: Literal["log loss", "error"]
    terms: Mapping[str, Estimate]
    """The four terms; the first two are not identified without a supervised network's training risk."""
    risks: Mapping[str, Estimate]
    """`supervised` R_ΦF where given, `train_on_train` R_AF, `train_on_left_out` R_AS, `train_on_test` R_US = total."""
    residual: float
    """Terms less total, from the numbers as they stand; the first two terms together count as R_AF where missing."""
    penalty: float | None = None
    """Of both probes, chosen on the training rows without the left-out ones; None for rows from elsewhere."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        return {
            "quantity": self.quantity,
            "terms": {name: term.to_json() for name, term in self.terms.items()},
            "risks": {name: risk.to_json() for name, risk in self.risks.items()},
            "residual": self.residual,
            "penalty": self.penalty,
        }
