"""Closed forms in words: scores beside the measured loss, orders of encoders, predictions beside measurements."""

from __future__ import annotations

from collections.abc import Sequence

from limen.pages import wording
from limen.records.budget import Budget
from limen.records.closed_forms import Agreement, ClosedForms, PredictedPoint, Ranking
from limen.records.estimate import Estimate

SCORES = {
    "logme": "LogME",
    "h_score": "H-score",
    "h_score_shrunk": "shrunk H-score",
    "leep": "LEEP",
    "nce": "NCE",
}
PREDICTORS = {"spectrum": "spectrum", "gcv": "GCV", "leave_one_out": "leave-one-out"}
GUESS = (
    "Higher scores are better. A score is a guess of the order of encoders, made without fitting an adapter; the "
    "measured loss is the answer."
)
PREDICTED = (
    "Ridge regression on the one-hot labels has closed forms: its held-out squared loss, predicted from training "
    "labels alone and measured."
)
SIDES = "↑ above, ↓ below the measured interval; leave-one-out is of the first subset"
ARROWS = {"above": " ↑", "below": " ↓"}


def score_rows(budgets: Sequence[Budget]) -> list[dict[str, str]]:
    """One row an encoder that has scores: its measured loss, then every score."""
    rows = []
    for budget in budgets:
        forms = budget.closed_forms
        if forms is None or not forms.scores:
            continue
        loss = forms.measured_loss
        row = {
            "encoder": wording.flat(budget.encoder),
            "task": wording.flat(budget.task),
            "loss": f"{wording.full(loss)} {loss.mark}",
        }
        rows.append(row | {name: _score(forms.scores.get(name)) for name in SCORES})
    return rows


def score_columns(rows: Sequence[dict[str, str]]) -> list[tuple[str, str]]:
    """Title and key of the scores that any of the rows has."""
    return [(title, name) for name, title in SCORES.items() if any(row[name] != "–" for row in rows)]


def _score(score: Estimate | None) -> str:
    return "–" if score is None or score.value is None else f"{wording.value(score)} {score.mark}"


def missing_scores(budgets: Sequence[Budget]) -> list[str]:
    """Every reason for which scores are absent, once, with the scores it is about."""
    found: dict[str, dict[str, None]] = {}
    for budget in budgets:
        forms = budget.closed_forms
        for name, score in (forms.scores if forms else {}).items():
            if score.value is None:
                found.setdefault(wording.prose(score.reason), {})[SCORES.get(name, name)] = None
    said = []
    for reason, names in found.items():
        words = list(names)
        joined = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
        said.append(f"{joined}: not identified. {reason[:1].upper()}{reason[1:]}.")
    return said


def scores_sentence(budget: Budget) -> str:
    """The scores of one budget on one line, beside its measured loss."""
    rows = score_rows([budget])
    if not rows:
        return ""
    named = ", ".join(f"{title} {rows[0][name]}" for title, name in score_columns(rows))
    return f"Scores, beside the measured loss {rows[0]['loss']}: {named}."


def ranking_rows(rankings: Sequence[Ranking]) -> list[dict[str, str]]:
    """One row a score and task: how far its order of the encoders is the measured one."""
    return [
        {
            "score": SCORES.get(one.score, wording.flat(one.score)),
            "task": wording.flat(one.task),
            "encoders": f"{len(one.by_loss):,}",
            "tau": f"{_tau(one.tau)} {one.tau.mark}",
            "by_score": wording.flat(one.by_score[0]),
            "by_loss": wording.flat(one.by_loss[0]),
        }
        for one in rankings
    ]


def _tau(tau: Estimate) -> str:
    return wording.value(tau) if tau.value is None else wording.decimal(tau.value, 2, signed=True)


def rankings_sentence(rankings: Sequence[Ranking]) -> str:
    """How far the orders agree, and how little that says."""
    if not rankings:
        return ""
    said = "Kendall's tau of score and measured loss: +1 is the same order, −1 the reverse"
    pairs = min(len(one.by_loss) * (len(one.by_loss) - 1) // 2 for one in rankings)
    rests = f"it rests on {wording.count(pairs, 'pair')} of encoders and holds for these alone"
    return f"{said}; {rests}. Losses that their intervals do not tell apart are ranked all the same."


def predicted_rows(budget: Budget) -> list[dict[str, str]]:
    """One row a label count: measured squared loss and every prediction of it."""
    forms = budget.closed_forms
    rows = []
    for point in forms.curve if forms else ():
        row = {
            "n": f"{point.n:,}",
            "penalty": wording.prose(f"{point.penalty:g}"),
            "training": wording.decimal(point.training_loss, point.measured.digits()),
            "measured": f"{wording.full(point.measured)} {point.measured.mark}",
            "value": f"{wording.value(point.measured)} {point.measured.mark}",
        }
        rows.append(row | {name: _prediction(point, point.predicted[name]) for name in PREDICTORS})
    return rows


def _prediction(point: PredictedPoint, agreement: Agreement) -> str:
    if agreement.value is None:
        return "–"
    value = wording.decimal(agreement.value, max(point.measured.digits(), 3))
    return value + ARROWS.get(agreement.outcome, "")


def predicted_sentence(budget: Budget) -> str:
    """At how many label counts each prediction lies inside the measured interval, the largest miss, what lies ahead."""
    forms = budget.closed_forms
    if forms is None or not forms.curve:
        return ""
    held = [
        f"of {title}{' (first subset)' * (name == 'leave_one_out')} at "
        f"{sum(point.predicted[name].outcome == 'inside' for point in forms.curve)}"
        for name, title in (("spectrum", "the spectrum"), ("gcv", "GCV"), ("leave_one_out", "leave-one-out"))
        if any(point.predicted[name].value is not None for point in forms.curve)
    ]
    counts = wording.count(len(forms.curve), "label count")
    said = f"Of {counts}, the measured interval holds the prediction {', '.join(held)}."
    reason = forms.predictors["spectrum"].reason
    return said + (f" Spectrum: {wording.prose(reason)}." if reason else _spectrum(forms))


def _spectrum(forms: ClosedForms) -> str:
    worst = max(forms.curve, key=lambda point: abs(point.predicted["spectrum"].difference or 0.0))
    off = worst.predicted["spectrum"].difference or 0.0
    said = (
        f" The spectrum's largest miss is {wording.decimal(off, 3, signed=True)}, at {wording.count(worst.n, 'label')}."
    )
    ahead = [f"{wording.decimal(loss, 3)} at {n:,}" for n, loss in forms.forecast.items()]
    if ahead:
        said += f" It predicts {' and '.join(ahead)} labels"
        floors = [wording.decimal(one.value, 3) for one in forms.floors.values() if one.value is not None]
        said += f"; floor by formula {' and '.join(dict.fromkeys(floors))}\u00a0○." if floors else "."
    return said
