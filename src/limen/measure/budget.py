"""From one fit cell to its error budget: a pure function of stored losses and the confidence.

Every term is computed on its own way from the per-example losses, so that the identity of `limen.records.budget` checks
something; `identity_residual` is its largest violation, recomputed from the numbers as they are written out.
Joint confidence: ℓ ≤ L*, l' ≤ L(ĝ), L(ĝ) ≤ u hold together with probability ≥ confidence (three events at α/3); error
and every further population have an α of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from limen.measure.curve import curve_points, extrapolation
from limen.measure.finer import class_gap, controls, slice_checks, slices
from limen.measure.floor import CROSSED, EVENTS, REFERENCE, floor_path, floor_sides, midpoint_rows, statistical_sides
from limen.measure.risk import (
    balanced_error_estimate,
    error_estimate,
    label_weighted_loss,
    loss_estimate,
    shift_estimate,
)
from limen.records.budget import Budget, Floor, PopulationCheck
from limen.records.estimate import Estimate, not_identified
from limen.records.stage import StageRecord
from limen.records.task import Question

ESTIMATION = (
    "joint over floor and loss",
    "the interval uses that no loss lies below the floor; the value of one draw may, and so lie outside its interval",
)
"""What the estimation gap assumes; the second where it has a value."""


def measure_budget(fit: StageRecord, question: Question) -> Budget:
    """The budget without advice. `fit` is a record of kind "fit" (limen.adapt.fit)."""
    data = fit.data
    confidence = question.confidence
    has_floor = data["radius"] is not None
    minimum = _empirical_minimum(fit) if has_floor else None
    sides = floor_sides(fit, confidence, minimum) if minimum is not None else None
    terms = _plain_terms(fit, confidence)
    if sides is not None:
        terms |= _chain_terms(fit, confidence, sides)
    if (gap := class_gap(fit, confidence)) is not None:
        terms["class_gap"] = gap
    budget = Budget(
        encoder=data["encoder"],
        task=data["task"],
        method=data["method"],
        loss=data["loss"],
        n_train=data["n_fit"],
        n_holdout=data["n_holdout"],
        classes=data["classes"],
        confidence=confidence,
        radius=data["radius"],
        terms=terms,
        sides=sides,
        identity_residual=None,
        floor_path=floor_path(fit, confidence) if has_floor else (),
        shift={name: _population(fit, name, confidence) for name in data["populations"]},
        curve=curve_points(fit),
        extrapolation=extrapolation(fit, question),
        population_checks=(*(PopulationCheck(**check) for check in data["population_checks"]), *slice_checks(fit)),
        environment=data["environment"],
        slices=slices(fit, confidence),
        controls=controls(fit, confidence),
    )
    return _with_residual(budget)


def identity_residual(terms: Mapping[str, Any], minimum: float | None) -> float | None:
    """Largest violation of the identities by the written numbers; None without a chain to check.

    `terms` maps names to estimates as plain JSON; `minimum` is `sides.statistical.empirical_minimum`.
    """
    value = {name: term["value"] for name, term in terms.items() if "value" in term}
    if minimum is None:
        return None
    gap, generalization = value["optimization_gap"], value["generalization_gap"]
    loss, empirical = value["adaptation_loss"], value["empirical_adaptation_loss"]
    violations = [empirical - (minimum + gap), loss - (minimum + gap + generalization)]
    floor, optimism, estimation = (value[k] for k in ("minimal_adaptation_loss", "optimism", "estimation_gap"))
    if floor is not None:
        violations += [
            loss - (floor - optimism + gap + generalization),
            estimation - (generalization - optimism),
            floor - (minimum + optimism),
        ]
    return float(max(abs(violation) for violation in violations))


def _with_residual(budget: Budget) -> Budget:
    plain = budget.to_json()
    minimum = budget.sides.empirical_minimum if budget.sides else None
    return replace(budget, identity_residual=identity_residual(plain["terms"], minimum))


def _empirical_minimum(fit: StageRecord) -> float:
    """Certified minimum on the fit rows in its dual form: mean of ℓ_i − ⟨∂ℓ_i, z_i⟩ less radius·‖∇L̂‖."""
    dual = math.fsum(fit.arrays["fit_dual"]) / len(fit.arrays["fit_dual"])
    return float(dual - fit.data["radius"] * fit.data["final"]["gradient_norm"])


def _plain_terms(fit: StageRecord, confidence: float) -> dict[str, Estimate]:
    """Terms of every method: losses, error, generalization gap."""
    held, groups = fit.arrays["curve_holdout_loss"][-1], fit.arrays.get("holdout_groups")
    trained = fit.arrays["fit_loss"]
    wrong = fit.arrays["curve_holdout_prediction"][-1] != fit.arrays["holdout_labels"]
    # both one-sided events of the loss, at α/3 each: a two-sided interval at 1 − 2α/3
    pair = 1 - 2 * (1 - confidence) / EVENTS
    loss = loss_estimate(held, groups, pair)
    shifted = held - float(np.mean(trained))
    gap = loss_estimate(shifted, groups, pair)
    return {
        "adaptation_loss": loss,
        "empirical_adaptation_loss": Estimate(
            math.fsum(trained) / len(trained),
            grade="exact",
            n=len(trained),
            method="mean over the fit rows",
            assumptions=("a statement about these rows, not about the population",),
            reference=REFERENCE,
        ),
        "generalization_gap": gap.but(method="holdout loss less training loss"),
        "error": error_estimate(wrong, groups, confidence),
        "balanced_error": balanced_error_estimate(
            wrong, fit.arrays["holdout_labels"], fit.data["classes"], groups, confidence
        ),
    }


def _chain_terms(fit: StageRecord, confidence: float, sides: Floor) -> dict[str, Estimate]:
    """Floor, optimism, optimization and estimation gap: the terms that need the minimum of the class."""
    gap = fit.data["final"]["gap"]
    bracket = statistical_sides(fit, confidence)
    middle = sides.midpoint
    floor = middle if middle.value is not None else sides.statistical.but(reason=middle.reason)
    low, high = floor.low, floor.high
    proof = _optimization_gap(fit)
    if low is None or high is None or bracket.high < low:
        lost = {"grade": floor.grade, "n": floor.n, "reference": REFERENCE}
        names = ("minimal_adaptation_loss", "optimism", "estimation_gap")
        return {name: not_identified(CROSSED, **lost) for name in names} | {"optimization_gap": proof}
    rows, held = midpoint_rows(fit, "pool"), fit.arrays["curve_holdout_loss"][-1]
    optimism = float((rows - sides.empirical_minimum).mean())
    estimation = float((held - rows.mean()).mean()) - gap
    least = max(bracket.loss_low - high, 0.0) if middle.value is not None else 0.0  # L(ĝ) ≥ L*: ĝ is in the class
    shared: dict[str, Any] = {"grade": "statistical", "n": sides.midpoint.n, "reference": REFERENCE}
    said = ESTIMATION if middle.value is not None else ESTIMATION[:1]
    joint = {**shared, "confidence": confidence, "assumptions": said}
    return {
        "minimal_adaptation_loss": floor,
        "optimism": _known(
            optimism,
            middle,
            low=low - sides.empirical_minimum,
            high=high - sides.empirical_minimum,
            method="floor less the least training loss",
            **{**shared, "confidence": floor.confidence, "assumptions": floor.assumptions},
        ),
        "optimization_gap": proof,
        "estimation_gap": _known(
            estimation,
            middle,
            low=least - gap,
            high=bracket.high - low - gap,
            method="holdout loss less floor less optimization gap",
            **joint,
        ),
    }


def _optimization_gap(fit: StageRecord) -> Estimate:
    gap = fit.data["final"]["gap"]
    return Estimate(
        gap,
        min(0.0, gap),  # a gap of rounding size may be −1e-16
        gap,
        confidence=1.0,
        grade="certified",
        n=fit.data["n_fit"],
        method="gradient certificate",
        assumptions=("convex loss",),
        reference="docs/statements/certificate.md",
    )


def _known(value: float, middle: Estimate, **fields: Any) -> Estimate:
    """The estimate, or its interval alone where the midpoint is not identified."""
    return Estimate(value, **fields) if middle.value is not None else not_identified(middle.reason, **fields)


def _population(fit: StageRecord, name: str, confidence: float) -> dict[str, Estimate]:
    losses, labels = fit.arrays[f"population.{name}.loss"], fit.arrays[f"population.{name}.labels"]
    groups = fit.arrays.get(f"population.{name}.groups")
    held, held_groups = fit.arrays["curve_holdout_loss"][-1], fit.arrays.get("holdout_groups")
    wrong = fit.arrays[f"population.{name}.prediction"] != labels
    shares = np.bincount(fit.arrays["holdout_labels"], minlength=fit.data["classes"]) / len(held)
    return {
        "adaptation_loss": loss_estimate(losses, groups, confidence),
        "error": error_estimate(wrong, groups, confidence),
        "shift_gap": shift_estimate((losses, groups), (held, held_groups), confidence),
        "label_weighted_loss": label_weighted_loss((losses, groups), labels, shares, confidence),
    }
