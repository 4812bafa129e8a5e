"""Records → plain data for templates: every number already a string, every sentence already composed, rows ordered.

Nothing is computed beyond formatting, selection and ordering. Figures are added by `page`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from limen.pages import closed_forms, sentences, wording
from limen.pages.svg import printable
from limen.records.budget import Advice, Budget
from limen.records.comparison import Comparison
from limen.records.estimate import MARKS, Estimate
from limen.records.report import CellOutcome, Interface, Report

ORDER = (
    "adaptation_loss",
    "minimal_adaptation_loss",
    "estimation_gap",
    "optimization_gap",
    "class_gap",
    "generalization_gap",
    "optimism",
    "empirical_adaptation_loss",
    "error",
    "balanced_error",
)
FIRST_ADVICE = 6


def summarize(report: Report) -> dict[str, Any]:
    """Everything the page, the Markdown file and the terminal say, as strings, lists and dicts."""
    groups = sentences.groups(report)
    best = [members[0] for members in groups.values()]
    named = len(report.budgets) > 1
    checks = _merged([row for members in groups.values() for budget in members for row in check_rows(budget)])
    advice = [advice_card(budget, said, named) for budget in _advised(groups) for said in budget.advice]
    shown = min(FIRST_ADVICE, sum(len(budget.advice) for budget in best)) or FIRST_ADVICE
    scores = closed_forms.score_rows([budget for members in groups.values() for budget in members])
    return {
        "name": wording.flat(report.name),
        "subtitle": sentences.subtitle(best[0]) if len(best) == 1 else _study(report),
        "leads": [_lead(members, report) for members in groups.values()],
        "counts": sentences.outcomes(report),
        "advice": advice[:shown],
        "more_advice": advice[shown:],
        "grades": [
            {"mark": MARKS[grade], "word": grade, "meaning": meaning} for grade, meaning in wording.GRADES.items()
        ],
        "comparisons": [comparison_row(duel) for duel in report.comparisons],
        "shift": [row for members in groups.values() for budget in members for row in shift_rows(budget)],
        "slices": [row for budget in best for row in slice_rows(budget)],
        "worst_slices": [said for budget in best for said in sentences.worst_slices(budget)],
        "controls": [row for budget in best for row in control_rows(budget)],
        "predicted_said": closed_forms.PREDICTED,
        "predicted_sides": f"Every label count as a table ({closed_forms.SIDES})",
        "scores": scores,
        "scores_said": closed_forms.GUESS,
        "score_columns": closed_forms.score_columns(scores),
        "missing_scores": closed_forms.missing_scores(report.budgets),
        "rankings": closed_forms.ranking_rows(report.rankings),
        "rankings_said": closed_forms.rankings_sentence(report.rankings),
        "checks": checks,
        "found": [row for row in checks if row["outcome"][0] != "✓"],
        "passed": [row for row in checks if row["outcome"][0] == "✓"],
        "troubles": [trouble(cell) for cell in report.cells if cell.outcome in ("failed", "skipped")],
        "recipe": recipe(report.recipe),
        "command": wording.flat(str(report.recipe.get("command", ""))),
    }


def _lead(members: list[Budget], report: Report) -> list[sentences.Phrase]:
    return sentences.lead(members[0], len(members)) + sentences.rivals(members[0], report.comparisons)


def _study(report: Report) -> str:
    tasks = {budget.task for budget in report.budgets}
    encoders = {budget.encoder for budget in report.budgets}
    if not report.budgets:
        return "no budget"
    parts = (
        wording.count(len(report.budgets), "budget"),
        wording.count(len(encoders), "encoder"),
        wording.count(len(tasks), "task"),
    )
    return " · ".join(parts)


def _advised(groups: Mapping[tuple[str, str], list[Budget]]) -> list[Budget]:
    """The best budget of each task first, then the others in the order of their tasks."""
    first = [members[0] for members in groups.values()]
    return first + [budget for members in groups.values() for budget in members[1:]]


def advice_card(budget: Budget, advice: Advice, named: bool) -> dict[str, str]:
    """One piece of advice: its head, its body, its grade and what it rests on."""
    head, colon, body = wording.prose(advice.action).partition(": ")
    gain = advice.gain
    return {
        "tag": f"{MARKS[advice.grade]} {advice.grade}",
        "for": f"{wording.who(budget)} · {wording.flat(budget.task)}" if named else "",
        "head": head if colon else wording.flat(advice.rule).replace("-", " ").capitalize(),
        "body": _sentence(body) if colon else wording.prose(advice.action),
        "gain": _gain(gain, advice) if gain and gain.value is not None else "",
        "because": ", ".join(wording.flat(path) for path in advice.because),
    }


def _gain(gain: Estimate, advice: Advice) -> str:
    """What following it buys; a number of labels is a price, not a gain."""
    if "extrapolation.labels_needed" in advice.because:
        return f"Needs {wording.full(gain)} labels {gain.mark}"
    return f"Gain {wording.full(gain)} {gain.mark}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def term_rows(budget: Budget) -> list[dict[str, str]]:
    """One row a term, known terms in the order a person reads them, others after."""
    names = [name for name in ORDER if name in budget.terms] + [name for name in budget.terms if name not in ORDER]
    return [estimate_row(wording.words(name), budget.terms[name], name) for name in names]


def side_rows(budget: Budget) -> list[dict[str, str]]:
    """The three answers to how low the floor is, weakest assumptions first."""
    if budget.sides is None:
        return []
    sides = budget.sides
    side = "certified side" if sides.certified.grade == "certified" else "finite-sample side, not certified here"
    certified = estimate_row(f"floor, {side}", sides.certified, "minimal_adaptation_loss")
    if not sides.informative:
        certified["note"] = "the certified side is uninformative at this n"
        if "uninformative" not in certified["known"]:
            certified["known"] += f"; {certified['note']}"
    statistical = estimate_row("floor, statistical bracket", sides.statistical, "minimal_adaptation_loss")
    midpoint = estimate_row("floor, midpoint", sides.midpoint, "minimal_adaptation_loss")
    if sides.drift is not None:
        drift = f"drift {wording.decimal(sides.drift, 3)}"
        midpoint["note"] = "; ".join(filter(None, (midpoint["note"], drift)))
        midpoint["known"] += f"; {drift}"
    return [certified, statistical, midpoint, *_path_rows(budget)]


def _path_rows(budget: Budget) -> list[dict[str, str]]:
    """The floor at every radius of the grid; the intervals hold together."""
    known = f"all {len(budget.floor_path)} radii together"
    grade = budget.sides.statistical.grade if budget.sides is not None else "statistical"
    rows = []
    for point in budget.floor_path:
        if point.low is None and point.high is None:
            continue
        ends = Estimate(None, point.low, point.high, budget.confidence, grade, state="not_identified", reason=known)
        row = estimate_row(f"floor, radius {_radius(point.radius)}", ends, "minimal_adaptation_loss")
        rows.append(row)
    return rows


def _radius(radius: float) -> str:
    """Three digits of a radius.

    >>> _radius(5.65685), _radius(1448.15), _radius(16.0)
    ('5.66', '1,448', '16')
    """
    return f"{radius:,.0f}" if radius >= 1000 else f"{radius:.3g}"


def estimate_row(name: str, estimate: Estimate, term: str) -> dict[str, str]:
    """One estimate as strings: what, value, interval, confidence, grade, what is not known."""
    return {
        "name": name,
        "hue": wording.HUES.get(term, ""),
        "value": wording.value(estimate, term) if estimate.value is not None else wording.missing(estimate),
        "interval": wording.interval(estimate, term) or "–",
        "confidence": wording.confidence(estimate),
        "grade": wording.grade(estimate),
        "note": wording.prose(estimate.reason),
        "known": _known(estimate),
    }


def _known(estimate: Estimate) -> str:
    """Grade, method, and why a value is missing, as one cell."""
    method, reason = wording.flat(estimate.method), wording.prose(estimate.reason)
    return wording.grade(estimate) + (f": {method}" if method else "") + (f"; {reason}" if reason else "")


def curve_rows(budget: Budget) -> list[dict[str, str]]:
    """Every fitted subset, by number of labels and seed."""
    points = sorted(budget.curve, key=lambda p: (p.n, -1 if p.seed is None else p.seed))
    return [
        {
            "n": f"{p.n:,}",
            "seed": "all rows" if p.seed is None else str(p.seed),
            "training": "diverged" if p.empirical_loss is None else wording.decimal(p.empirical_loss, 4),
            "held_out": "diverged" if p.adaptation_loss is None else wording.decimal(p.adaptation_loss, 4),
            "error": f"{wording.decimal(100 * p.error, 1)} %",
            "radius": "–" if p.radius is None else f"{p.radius:g}",
            "reason": wording.flat(p.diverged),
        }
        for p in points
    ]


def comparison_row(duel: Comparison) -> dict[str, Any]:
    """One paired comparison: differences a − b with intervals, and the verdict."""
    p = "< 0.001" if duel.p_holm < 0.001 else f"{duel.p_holm:.3f}"
    return {
        "a": wording.flat(duel.a),
        "b": wording.flat(duel.b),
        "task": wording.flat(duel.task),
        "n": f"{duel.n:,}",
        "error": wording.full(duel.error_difference, "error_difference", signed=True),
        "loss": wording.full(duel.loss_difference, signed=True),
        "floor": f"{wording.full(duel.floor_difference, signed=True)} {duel.floor_difference.mark}",
        "p": p,
        "verdict": sentences.comparison(duel),
    }


def shift_rows(budget: Budget) -> list[dict[str, str]]:
    """Loss, error and gap under every further population."""
    rows = []
    for name, population in budget.shift.items():
        cells = {"population": wording.flat(name), "budget": wording.who(budget), "task": wording.flat(budget.task)}
        for key, term in (("loss", "adaptation_loss"), ("error", "error"), ("gap", "shift_gap")):
            found = population.get(term)
            cells[key] = f"{wording.full(found, term, signed=key == 'gap')} {found.mark}" if found else "–"
        rows.append(cells)
    return rows


def slice_rows(budget: Budget) -> list[dict[str, str]]:
    """Every value of every slice column, the largest error first."""
    rows = []
    for column, values in budget.slices.items():
        for value, part in sorted(values.items(), key=lambda item: -(item[1].error.value or 0.0)):
            rows.append(
                {
                    "slice": f"{wording.flat(column)} = {wording.flat(value)}",
                    "n": f"{part.n:,}",
                    "loss": f"{wording.full(part.adaptation_loss)} {part.adaptation_loss.mark}",
                    "error": f"{wording.full(part.error, 'error')} {part.error.mark}",
                    "confidence": wording.confidence(part.error),
                    "budget": wording.who(budget),
                    "task": wording.flat(budget.task),
                }
            )
    return rows


def control_rows(budget: Budget) -> list[dict[str, str]]:
    """What the same rows give without information, beside what the budget's adapter reaches."""
    if not budget.controls:
        return []
    own = {key: budget.terms[key] for key in ("adaptation_loss", "error") if key in budget.terms}
    named = {"adapter": own, **budget.controls}
    return [
        {
            "baseline": wording.CONTROLS.get(name) or (wording.who(budget) if found is own else wording.flat(name)),
            "loss": f"{wording.full(found['adaptation_loss'])} {found['adaptation_loss'].mark}",
            "error": f"{wording.full(found['error'], 'error')} {found['error'].mark}",
            "task": wording.flat(budget.task),
        }
        for name, found in named.items()
    ]


def check_rows(budget: Budget) -> list[dict[str, str]]:
    """Every look at whether the rows are what the budget assumes."""
    marks = {"ok": "✓ ok", "noted": "! noted", "rejected": "✕ rejected"}
    return [
        {
            "budget": f"{wording.who(budget)} · {wording.flat(budget.task)}",
            "name": wording.flat(check.name),
            "outcome": marks[check.outcome],
            "finding": wording.prose(check.finding),
        }
        for check in budget.population_checks
    ]


def _merged(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Equal findings once, with all budgets they are about; rejected first, then noted."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        found.setdefault((row["name"], row["outcome"], row["finding"]), []).append(row["budget"])
    merged = [
        {"name": name, "outcome": outcome, "finding": finding, "budget": _joined(budgets)}
        for (name, outcome, finding), budgets in found.items()
    ]
    return sorted(merged, key=lambda row: "✕!✓".index(row["outcome"][0]))


def _joined(budgets: list[str]) -> str:
    return budgets[0] if len(budgets) == 1 else f"{len(budgets)} budgets: {'; '.join(budgets)}"


def trouble(cell: CellOutcome) -> dict[str, str]:
    """A cell that gave no result, with its reason."""
    return {
        "stage": wording.flat(cell.stage),
        "label": wording.flat(cell.label),
        "outcome": wording.flat(cell.outcome),
        "reason": wording.flat(cell.reason) or "no reason recorded",
        "key": wording.flat(cell.key)[:12],
    }


def recipe(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The recipe card: the command first; texts of several lines verbatim, mappings as rows."""
    names = sorted(card, key=lambda name: name != "command")
    return [{"name": wording.flat(name).replace("_", " "), **_entry(card[name])} for name in names]


def _entry(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {"kind": "rows", "rows": [(wording.flat(str(k)), _plain(v)) for k, v in value.items()]}
    text = _plain(value)
    return {"kind": "text" if "\n" in text else "line", "text": text}


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{wording.flat(str(key))} {_plain(inner)}" for key, inner in value.items())
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def checkpoint_rows(run: Interface, task: str) -> list[dict[str, str]]:
    """Both rooms of the chain at every checkpoint, for one task."""
    rows = []
    for point in run.checkpoints:
        cells = {"step": f"{point.step:,}"}
        cells["training"] = wording.full(point.empirical_pretraining_loss)
        cells["held_out"] = wording.full(point.pretraining_loss)
        for key, found in (("floor", point.floors), ("loss", point.adaptation_losses), ("error", point.errors)):
            estimate = found.get(task)
            cells[key] = f"{wording.full(estimate, key)} {estimate.mark}" if estimate else "–"
        rows.append(cells)
    return rows
