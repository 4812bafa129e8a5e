"""The report as Markdown: the same sentences and tables as the page, for pull requests and notes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from limen.pages import closed_forms, recorded, sentences, summary, wording
from limen.pages import dynamics_words as words
from limen.pages.svg import printable
from limen.records.budget import Budget
from limen.records.report import Report

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")


def render_markdown(report: Report) -> str:
    """The report as CommonMark with GitHub tables; every name is escaped and stays on its line.

    >>> render_markdown(Report("empty", ())).splitlines()[0]
    '# empty'
    """
    view = summary.summarize(report)
    lines = [f"# {safe(view['name'])}", "", safe(view["subtitle"]), ""]
    for lead in view["leads"]:
        lines += [_sentence(lead), ""]
    if not report.budgets:
        lines += ["This report holds **no budget**: no fit has finished.", ""]
    for card in (*view["advice"], *view["more_advice"]):
        body = " ".join(safe(card[key]) for key in ("body", "gain") if card[key])
        about = f" for {safe(card['for'])}" if card["for"] else ""
        lines.append(f"- **{safe(card['head'])}**{about} ({card['tag']}): {body}")
    lines += [""] if view["advice"] else []
    for members in sentences.groups(report).values():
        for budget in members:
            lines += [f"## {safe(wording.who(budget))} on {safe(wording.flat(budget.task))}", ""]
            columns = {"term": "name", "value": "value", "interval": "interval", "how it is known": "grade", "": "note"}
            lines += _table(columns, summary.term_rows(budget) + summary.side_rows(budget))
            if budget.curve:
                lines += [safe(sentences.curve_caption(budget)), ""]
            lines += _predicted(budget)
    lines += _recorded(report)
    lines += _rest(view)
    return "\n".join(lines).rstrip() + "\n"


def safe(text: str) -> str:
    """Text that Markdown shows as it is, on one line.

    >>> safe("a|b\\n<c>")
    'a\\\\|b \\\\<c\\\\>'
    """
    return _SPECIAL.sub(r"\\\1", wording.flat(text))


def _sentence(phrases: Sequence[sentences.Phrase]) -> str:
    r"""A sentence whose strong phrases are bold; the spaces between phrases are kept, outside of the bold ones.

    >>> _sentence([("It loses ", False), ("0.1 nats", True), (" on rows.", False)])
    'It loses **0.1 nats** on rows.'
    """
    spaced = [(_SPECIAL.sub(r"\\\1", re.sub(r"\s+", " ", printable(text))), strong) for text, strong in phrases]
    return "".join(f"**{text}**" if strong else text for text, strong in spaced).strip()


def _recorded(report: Report) -> list[str]:
    """The verdict on every recorded run, and the commands that make their pages."""
    if not report.recorded:
        return []
    rows = [recorded.verdict_row(run) for run in report.recorded]
    lines = ["## The dynamics of training", "", *_table(recorded.COLUMNS, rows)]
    known = [(run.encoder, run.dynamics) for run in report.recorded if run.dynamics is not None]
    return [*lines, *(f"- {safe(encoder)}: {_code(' '.join(words.command(found)))}" for encoder, found in known), ""]


def _rest(view: Mapping[str, Any]) -> list[str]:
    lines: list[str] = _scores(view)
    tables: Sequence[tuple[str, str, dict[str, str]]] = (
        (
            "Side by side",
            "comparisons",
            {"a": "a", "b": "b", "task": "task", "error": "error", "floor": "floor", "p": "p", "verdict": "verdict"},
        ),
        (
            "Other populations",
            "shift",
            {"population": "population", "budget": "budget", "loss": "loss", "error": "error", "shift gap": "gap"},
        ),
        (
            "Slices of the held-out rows",
            "slices",
            {"slice": "slice", "rows": "n", "loss": "loss", "error": "error", "budget": "budget", "task": "task"},
        ),
        (
            "Without information",
            "controls",
            {"adapter": "baseline", "loss": "loss", "error": "error", "task": "task"},
        ),
        (
            "Population checks",
            "checks",
            {"check": "name", "outcome": "outcome", "finding": "finding", "budget": "budget"},
        ),
        (
            "Cells without a result",
            "troubles",
            {"cell": "label", "stage": "stage", "outcome": "outcome", "reason": "reason"},
        ),
    )
    for title, key, columns in tables:
        if view[key]:
            said = [line for text in view["worst_slices"] for line in (safe(text), "")] if key == "slices" else []
            lines += [f"## {title}", "", *said, *_table(columns, view[key])]
    if view["recipe"]:
        lines += ["## Recipe card", ""]
        for item in view["recipe"]:
            lines += _recipe(item)
    return lines


def _predicted(budget: Budget) -> list[str]:
    """Squared loss, measured and predicted."""
    rows = closed_forms.predicted_rows(budget)
    if not rows:
        return []
    columns = {
        "labels": "n",
        "measured": "measured",
        **{title: name for name, title in closed_forms.PREDICTORS.items()},
    }
    said = f"{closed_forms.SIDES}. {safe(closed_forms.predicted_sentence(budget))}"
    return [closed_forms.PREDICTED, "", *_table(columns, rows), said, ""]


def _scores(view: Mapping[str, Any]) -> list[str]:
    """Every encoder's scores beside its measured loss, and how far their orders agree."""
    if not view["scores"]:
        return []
    columns = {"encoder": "encoder", "task": "task", "measured loss": "loss", **dict(view["score_columns"])}
    lines = ["## Scores of the encoder, beside the measured loss", "", closed_forms.GUESS, ""]
    lines += _table(columns, view["scores"])
    if view["rankings"]:
        ranked = {"score": "score", "task": "task", "Kendall's tau": "tau", "encoders": "encoders"}
        ranked |= {"best by score": "by_score", "best measured": "by_loss"}
        lines += [safe(view["rankings_said"]), "", *_table(ranked, view["rankings"])]
    return lines + [line for said in view["missing_scores"] for line in (safe(said), "")]


def _table(columns: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> list[str]:
    head = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return [*head, *(f"| {' | '.join(safe(row[key]) for key in columns.values())} |" for row in rows), ""]


def _recipe(item: Mapping[str, Any]) -> list[str]:
    name = safe(item["name"])
    if item["kind"] == "rows":
        return [f"- **{name}**: " + ", ".join(f"{safe(key)} {_code(text)}" for key, text in item["rows"]), ""]
    if item["kind"] == "line":
        return [f"- **{name}**: {_code(item['text'])}", ""]
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", item["text"])), default=0))
    return [f"- **{name}**:", "", fence, item["text"].rstrip("\n"), fence, ""]


def _code(text: str) -> str:
    """A code span whose fence is longer than any run of backticks inside."""
    flat = wording.flat(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", flat)), default=0))
    pad = " " if "`" in flat or not flat else ""
    return f"{fence}{pad}{flat}{pad}{fence}"
