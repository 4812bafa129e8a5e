"""Scores of an encoder and the measured curve of squared loss, from the moments and losses that a fit record keeps.

Scores (measure.transferability) are those of the features as the probe sees them: centred and scaled by the design
rows, clipped at their bound, with the constant feature, which only LogME reads. They are numbers without an interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from limen.measure.logme import logme_of_moments
from limen.measure.risk import loss_estimate
from limen.measure.transferability import h_score_of_moments, ledoit_wolf, leep, nce
from limen.records.estimate import Estimate, not_identified
from limen.records.stage import StageRecord

REFERENCE = "docs/closed-forms.md"
ALL_SHRUNK = "Ledoit and Wolf shrink the covariance to a multiple of the identity: the score is 0 whatever the labels"
NO_SOURCE = "the rows came without class probabilities of a source model: limen.budget(…, source=P) takes them"
SOURCES = {
    "logme": "LogME, nats per row (You et al., ICML 2021)",
    "h_score": "H-score (Bao et al., ICIP 2019)",
    "h_score_shrunk": "H-score, covariance shrunk as by Ledoit and Wolf (Ibrahim et al., 2021)",
    "leep": "LEEP, nats per row (Nguyen et al., ICML 2020)",
    "nce": "NCE, nats per row (Tran et al., ICCV 2019)",
}
ROUNDING = 1e-11
"""Share of ‖y‖² below which a difference of moments is 0."""
HIGHER = "higher is better; a guess of an order of encoders, not of a loss"


@dataclass(frozen=True, slots=True)
class MeasuredRidge:
    """Ridge regression at one label count: what was measured, and what its own rows say of it."""

    n: int
    penalty: float
    measured: Estimate
    subsets: tuple[float, ...]
    training_loss: float
    gcv: float
    """Mean over the subsets; `leave_one_out` is of the first."""
    leave_one_out: float


def scores(fit: StageRecord) -> Mapping[str, Estimate]:
    """All five, LEEP and NCE with a reason where no source model was given. Empty for a record without moments."""
    if "closed.spectrum" not in fit.arrays:
        return {}
    facts, kept = fit.data["closed_forms"], fit.arrays
    n, p = facts["rows"], facts["features"]
    seen = kept["closed.class_counts"] > 0
    squares = n * kept["closed.spectrum"]
    power = n * kept["closed.power"][:, seen] / kept["closed.spectrum"][:, None]
    counts = kept["closed.class_counts"][seen]
    rest = counts - power.sum(axis=0)
    rest[rest <= ROUNDING * counts] = 0.0
    evidence = logme_of_moments(squares, power, rest, n)
    variances, aligned, size = (
        kept["closed.centred_spectrum"],
        kept["closed.aligned"],
        (n, p - 1, facts["fourth_moment"]),
    )
    alpha = ledoit_wolf(variances, size)
    found = {"logme": evidence, "h_score": h_score_of_moments(variances, aligned, size)}
    if alpha < 1:
        found["h_score_shrunk"] = h_score_of_moments(variances, aligned, size, alpha)
    if (source := kept.get("closed.source")) is not None:
        found |= {"leep": leep(source, kept["closed.labels"]), "nce": nce(source.argmax(axis=1), kept["closed.labels"])}
    crowded = f"{n:,} rows in {p - 1:,} features: " if n < p else ""
    cautions = {
        "logme": crowded and crowded + "the noise may be estimated as 0",
        "h_score": (crowded and crowded + "the unshrunk score is K − 1 whatever the labels")
        or f"between 0 and the {int(seen.sum())} classes less one",
    }
    missing = {"h_score_shrunk": ALL_SHRUNK, "leep": NO_SOURCE, "nce": NO_SOURCE}
    return {
        name: _score(name, found[name], n, cautions.get(name, ""))
        if name in found
        else not_identified(missing[name], **_shared(name, n, ""))
        for name in SOURCES
    }


def _score(name: str, value: float, n: int, caution: str) -> Estimate:
    shared = _shared(name, n, caution)
    if math.isinf(value):
        return not_identified("the features fit the labels of a class exactly: the evidence is infinite", **shared)
    return Estimate(value, **shared)


def _shared(name: str, n: int, caution: str) -> dict[str, Any]:
    said = (HIGHER, *([caution] if caution else []))
    return {"n": n, "method": SOURCES[name], "assumptions": said, "reference": REFERENCE}


def measured_ridge(fit: StageRecord, confidence: float) -> tuple[MeasuredRidge, ...]:
    """One point a label count, rising; the interval is over held-out rows, given the fitted subsets."""
    facts, groups = fit.data.get("closed_forms", {}), fit.arrays.get("holdout_groups")
    losses = fit.arrays.get("closed.holdout_loss")
    if losses is None:
        return ()
    found = []
    for entry in facts["grid"]:
        at = [k for k, point in enumerate(facts["points"]) if point["n"] == entry["n"]]
        points = [facts["points"][k] for k in at]
        loss = loss_estimate(losses[at].mean(axis=0), groups, confidence)
        said = (*loss.assumptions, "given the fitted subsets: their choice is not in the interval")
        found.append(
            MeasuredRidge(
                n=entry["n"],
                penalty=points[0]["penalty"],
                measured=loss.but(
                    method=f"{loss.method}, mean of {len(at)} subset{'s' * (len(at) > 1)}", assumptions=said
                ),
                subsets=tuple(float(losses[k].mean()) for k in at),
                training_loss=float(np.mean([point["training_loss"] for point in points])),
                gcv=float(np.mean([point["gcv"] for point in points])),
                leave_one_out=min(entry["leave_one_out_loss"]),
            )
        )
    return tuple(found)
