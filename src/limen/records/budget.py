"""The error budget of one (encoder, task, method): terms, sides of the floor, curve, extrapolation, advice.

Exact identities between the terms (docs/how-sure.md; L̂ on the fit rows, L in the population, m = min L̂ on the class):

    adaptation_loss           = minimal_adaptation_loss − optimism + optimization_gap + generalization_gap
    empirical_adaptation_loss = m + optimization_gap
    estimation_gap            = generalization_gap − optimism

JSON keys are those of schema "limen.budget/1" and are stable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from limen.records.closed_forms import ClosedForms
from limen.records.estimate import Estimate, Grade

SCHEMA = "limen.budget/1"


@dataclass(frozen=True, slots=True)
class Floor:
    """The three answers to "how low could this encoder and class go": sides of L*, weakest assumptions first."""

    certified: Estimate
    """Finite-sample interval, no assumption but independent rows."""
    statistical: Estimate
    """Bracket: certified minimum less its sampling error, five-fold loss plus its sampling error."""
    midpoint: Estimate
    """Midpoint of training minimum and cross-validated loss, widened by its drift."""
    empirical_minimum: float
    """Certified minimum m of the empirical loss on the fit rows."""
    informative: bool
    """Whether the certified lower side says anything at this n (b·ln(1/δ)/n against a quarter of the minimum)."""
    drift: float | None
    """|M_N − M_{N/2}|, None where the midpoint was not computed."""

    def to_json(self) -> dict[str, Any]:
        """Plain data under the keys `certified`, `statistical`, `midpoint`."""
        return {
            "certified": self.certified.to_json() | {"informative": self.informative},
            "statistical": self.statistical.to_json() | {"empirical_minimum": self.empirical_minimum},
            "midpoint": self.midpoint.to_json() | {"drift": self.drift},
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        certified, statistical, midpoint = (dict(plain[k]) for k in ("certified", "statistical", "midpoint"))
        informative = certified.pop("informative")
        minimum = statistical.pop("empirical_minimum")
        drift = midpoint.pop("drift")
        return cls(
            certified=Estimate.from_json(certified),
            statistical=Estimate.from_json(statistical),
            midpoint=Estimate.from_json(midpoint),
            empirical_minimum=minimum,
            informative=informative,
            drift=drift,
        )


@dataclass(frozen=True, slots=True)
class FloorPoint:
    """The floor's simultaneous interval at one radius of the fixed grid."""

    radius: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One fitted model of the learning curve. `seed` is None where all rows were used."""

    n: int
    seed: int | None
    empirical_loss: float | None
    adaptation_loss: float | None
    error: float
    radius: float | None
    diverged: str = ""
    """Why the losses are missing; empty for a fit that converged."""


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """The two-sided law train = E − A·n^−a + C·n^−2a, test = E + A·n^−a + C·n^−2a, fitted and back-tested."""

    asymptote: Estimate
    exponent: Estimate
    labels_needed: Estimate
    """Labels at which the fitted law reaches the target; not identified without a target."""
    backtest: Mapping[str, Any]
    """Plain: {hits, groups, low, high, confidence} of the back-test over row groups, or {state, reason}."""
    law: Mapping[str, float] = field(default_factory=dict)
    """Plain: {asymptote, amplitude, curvature, exponent} of the fitted law, for drawing; empty if not identified."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        return {
            "asymptote": self.asymptote.to_json(),
            "exponent": self.exponent.to_json(),
            "labels_needed": self.labels_needed.to_json(),
            "backtest": dict(self.backtest),
            "law": dict(self.law),
        }


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do or not to do, and the terms that say so."""

    rule: str
    """Stable name of the rule: `label-more`, `stop-labelling`, `richer-adapter`, `tune-solver`, …"""
    action: str
    """One sentence for a person."""
    because: tuple[str, ...]
    """Paths of the terms it rests on, such as `terms.estimation_gap.low`."""
    grade: Grade
    gain: Estimate | None = None
    """What following it buys, in units of the loss."""


@dataclass(frozen=True, slots=True)
class PopulationCheck:
    """One look at whether the rows are what the budget assumes: duplicates, dropped columns, two-sample tests."""

    name: str
    finding: str
    outcome: Literal["ok", "noted", "rejected"]
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slice:
    """The holdout rows of one category: how many, their loss and error; intervals hold jointly over the column."""

    n: int
    adaptation_loss: Estimate
    error: Estimate

    def to_json(self) -> dict[str, Any]:
        """Plain data under the keys `n`, `adaptation_loss`, `error`."""
        return {"n": self.n, "adaptation_loss": self.adaptation_loss.to_json(), "error": self.error.to_json()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(plain["n"], Estimate.from_json(plain["adaptation_loss"]), Estimate.from_json(plain["error"]))


@dataclass(frozen=True, slots=True)
class Budget:
    """Where the loss of an adapted model comes from, how sure that is, and what would lower it."""

    encoder: str
    task: str
    method: str
    loss: Literal["log", "squared"]
    n_train: int
    n_holdout: int
    classes: int
    confidence: float
    radius: float | None
    terms: Mapping[str, Estimate]
    sides: Floor | None
    """None for methods without a lower side (nearest neighbours, mean classifier, fine-tuning)."""
    identity_residual: float | None
    floor_path: tuple[FloorPoint, ...] = ()
    shift: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = ()
    extrapolation: Extrapolation | None = None
    advice: tuple[Advice, ...] = ()
    population_checks: tuple[PopulationCheck, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    slices: Mapping[str, Mapping[str, Slice]] = field(default_factory=dict)
    """Column → value → its rows of the holdout."""
    controls: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    """Baseline without information (`prior`, `shuffled_labels`) → its loss and error on the holdout."""
    closed_forms: ClosedForms | None = None
    """Transferability scores beside the measured loss; the curve of squared loss, predicted and measured."""

    def table(self) -> list[dict[str, Any]]:
        """One row a term: term, value, low, high, confidence, grade, n; a list that pandas and polars read."""
        keys = ("value", "low", "high", "confidence", "grade", "n")
        return [{"term": name, **{key: getattr(term, key) for key in keys}} for name, term in self.terms.items()]

    def to_json(self) -> dict[str, Any]:
        """The document of schema limen.budget/1."""
        terms: dict[str, Any] = {name: term.to_json() for name, term in self.terms.items()}
        if self.shift:
            terms["shift"] = _nested_json(self.shift)
        return {
            "schema": SCHEMA,
            "encoder": self.encoder,
            "task": self.task,
            "method": self.method,
            "loss": self.loss,
            "n_train": self.n_train,
            "n_holdout": self.n_holdout,
            "classes": self.classes,
            "confidence": self.confidence,
            "radius": self.radius,
            "terms": terms,
            "sides": self.sides.to_json() if self.sides else None,
            "floor_path": [{"radius": p.radius, "low": p.low, "high": p.high} for p in self.floor_path],
            "identity_residual": self.identity_residual,
            "curve": [_curve_json(p) for p in self.curve],
            "extrapolation": self.extrapolation.to_json() if self.extrapolation else None,
            "advice": [_advice_json(a) for a in self.advice],
            "population_checks": [
                {"name": c.name, "finding": c.finding, "outcome": c.outcome, "numbers": dict(c.numbers)}
                for c in self.population_checks
            ],
            "slices": {
                column: {value: part.to_json() for value, part in values.items()}
                for column, values in self.slices.items()
            },
            "controls": _nested_json(self.controls),
            "closed_forms": self.closed_forms.to_json() if self.closed_forms else None,
            "environment": dict(self.environment),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. Raises ValueError for another schema."""
        if plain.get("schema") != SCHEMA:
            raise ValueError(f"expected a document of schema {SCHEMA}, got {plain.get('schema')!r}")
        terms = dict(plain["terms"])
        shift = terms.pop("shift", {})
        extrapolation = plain["extrapolation"]
        scalars = ("encoder", "task", "method", "loss", "n_train", "n_holdout", "classes", "confidence", "radius")
        return cls(
            **{key: plain[key] for key in scalars},
            terms={name: Estimate.from_json(term) for name, term in terms.items()},
            sides=Floor.from_json(plain["sides"]) if plain["sides"] else None,
            identity_residual=plain["identity_residual"],
            floor_path=tuple(FloorPoint(**point) for point in plain["floor_path"]),
            shift=_nested(shift),
            curve=tuple(_curve_point(point) for point in plain["curve"]),
            extrapolation=_extrapolation(extrapolation) if extrapolation else None,
            advice=tuple(_advice(a) for a in plain["advice"]),
            population_checks=tuple(PopulationCheck(**check) for check in plain["population_checks"]),
            environment=plain["environment"],
            slices={
                column: {value: Slice.from_json(part) for value, part in values.items()}
                for column, values in plain.get("slices", {}).items()
            },
            controls=_nested(plain.get("controls", {})),
            closed_forms=ClosedForms.from_json(forms) if (forms := plain.get("closed_forms")) else None,
        )


def _nested_json(named: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    return {name: {key: term.to_json() for key, term in terms.items()} for name, terms in named.items()}


def _nested(plain: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Estimate]]:
    return {name: {key: Estimate.from_json(term) for key, term in terms.items()} for name, terms in plain.items()}


def _curve_json(point: CurvePoint) -> dict[str, Any]:
    plain = {
        "n": point.n,
        "seed": point.seed,
        "empirical_loss": point.empirical_loss,
        "adaptation_loss": point.adaptation_loss,
        "error": point.error,
        "radius": point.radius,
    }
    return plain | {"state": "diverged", "reason": point.diverged} if point.diverged else plain


def _curve_point(plain: Mapping[str, Any]) -> CurvePoint:
    fields = {k: v for k, v in plain.items() if k not in ("state", "reason")}
    return CurvePoint(**fields, diverged=plain.get("reason", ""))


def _extrapolation(plain: Mapping[str, Any]) -> Extrapolation:
    return Extrapolation(
        asymptote=Estimate.from_json(plain["asymptote"]),
        exponent=Estimate.from_json(plain["exponent"]),
        labels_needed=Estimate.from_json(plain["labels_needed"]),
        backtest=plain["backtest"],
        law=plain["law"],
    )


def _advice_json(advice: Advice) -> dict[str, Any]:
    return {
        "rule": advice.rule,
        "action": advice.action,
        "because": list(advice.because),
        "grade": advice.grade,
        "gain": advice.gain.to_json() if advice.gain else None,
    }


def _advice(plain: Mapping[str, Any]) -> Advice:
    gain = plain["gain"]
    fields = {**plain, "because": tuple(plain["because"]), "gain": Estimate.from_json(gain) if gain else None}
    return Advice(**fields)
