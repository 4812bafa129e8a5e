"""One self-contained page: no request leaves it, it reads without any script, every name in it is escaped.

The content security policy in its head forbids everything but inline style and the one inline script, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from limen.pages import closed_forms, sentences, summary, wording
from limen.pages.chain import chain
from limen.pages.chain_tall import tall
from limen.pages.chain_wide import wide
from limen.pages.curves import closer, curves
from limen.pages.interface import interface
from limen.pages.predicted import predicted
from limen.pages.recorded import recorded_view
from limen.pages.svg import Caption
from limen.pages.waterfall import NARROW, WIDE, waterfall
from limen.records.budget import Budget
from limen.records.report import Report

STYLES = ("colours.css", "figures.css", "page.css", "dynamics.css")
POLICY = ("default-src 'none'", "style-src 'unsafe-inline'", "img-src data:", "base-uri 'none'", "form-action 'none'")
PANEL = (310.0, 290.0)
PAIR = (500.0, 340.0)
SPREAD = (1040.0, 400.0)


def render_html(report: Report) -> str:
    """The page of a report, as the text of one HTML file.

    >>> page = render_html(Report("empty", ()))
    >>> page.startswith("<!doctype html>"), "<h1>empty</h1>" in page
    (True, True)
    """
    view = summary.summarize(report) | {"figures": _figures(report)}
    return whole("page.html.j2", view)


def whole(template: str, view: Mapping[str, Any]) -> str:
    """A page made from a template that extends `shell.html.j2`, with the styles, the script and the policy of all."""
    script = asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = "; ".join((*POLICY, f"script-src 'sha256-{digest}'"))
    style = Markup("".join(asset(name) for name in STYLES))
    return environment().get_template(template).render(view=view, style=style, script=Markup(script), policy=policy)


@cache
def asset(name: str) -> str:
    """A file of `templates/` as text."""
    return (files("limen.pages") / "templates" / name).read_text(encoding="utf-8")


@cache
def environment() -> Environment:
    """The templates: everything escaped, nothing missing allowed."""
    return Environment(
        loader=PackageLoader("limen.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _figures(report: Report) -> dict[str, Any]:
    groups = list(sentences.groups(report).values())
    several = len(groups) > 1
    return {
        "chains": [_chain(report, budget, f"chain-{i}") for i, budget in enumerate(_chained(report, groups))],
        "waterfalls": [_waterfall(members, f"fall-{i}", several) for i, members in enumerate(groups)],
        "curves": _curves(groups),
        "predicted": _predicted(groups),
        "interfaces": _interfaces(report),
        "recorded": recorded_view(report.recorded),
    }


def _chained(report: Report, groups: list[list[Budget]]) -> list[Budget]:
    """The best budget of each task, and the best whose pretraining was recorded where that is another one."""
    recorded = {point.encoder for run in report.interfaces for point in run.checkpoints}
    found = []
    for members in groups:
        pretrained = [budget for budget in members if budget.encoder in recorded]
        found += [members[0], *(budget for budget in pretrained[:1] if budget is not members[0])]
    return found


def _chain(report: Report, budget: Budget, key: str) -> dict[str, Any]:
    seen = chain(budget, report.interfaces)
    return {
        "title": f"{wording.flat(budget.task)}: {wording.who(budget)}",
        "wide": Markup(wide(seen, f"{key}-wide")),
        "narrow": Markup(tall(seen, f"{key}-tall")),
        "rows": summary.term_rows(budget) + summary.side_rows(budget),
    }


def _waterfall(members: list[Budget], key: str, several: bool) -> dict[str, Any]:
    budget = members[0]
    task = wording.flat(budget.task)
    said = "; ".join(sentences.plain(sentences.lead(member)) for member in members[:6])
    caption = Caption(f"Error budgets on {task}, {wording.LOSSES[budget.loss]}", said)
    return {
        "title": f"{task}, {wording.LOSSES[budget.loss]}" if several else "",
        "caption": sentences.waterfall_caption(members),
        "wide": Markup(waterfall(members, f"{key}-wide", WIDE, caption)),
        "narrow": Markup(waterfall(members, f"{key}-tall", NARROW, caption)),
        "tables": [
            {"name": wording.who(member), "rows": summary.term_rows(member) + summary.side_rows(member)}
            for member in members
        ],
    }


def _curves(groups: list[list[Budget]]) -> list[dict[str, Any]]:
    shown = [budget for members in groups for budget in members if budget.curve]
    return [_curve(budget, f"curve-{index}", len(shown) == 1) for index, budget in enumerate(shown)]


def _curve(budget: Budget, key: str, lone: bool) -> dict[str, Any]:
    """One panel; a budget alone on the page gets a second picture of its larger label counts."""
    said = sentences.curve_caption(budget)
    caption = Caption(f"Learning curve of {wording.who(budget)} on {wording.flat(budget.task)}", said)
    views, size = [budget], SPREAD
    if lone and (late := closer(budget)) is not None:
        views, size = [budget, late], PAIR
        said += f" The second picture shows the same from {min(p.n for p in late.curve):,} labels on."
    drawn = [[str(curves(v, f"{key}-{i}-{s[0]:g}", s, caption)) for i, v in enumerate(views)] for s in (size, PANEL)]
    return {
        "title": f"{wording.who(budget)} · {wording.flat(budget.task)}",
        "caption": said,
        "wide": Markup("".join(drawn[0])) if lone else "",
        "narrow": Markup("".join(drawn[1])),
        "rows": summary.curve_rows(budget),
    }


def _predicted(groups: list[list[Budget]]) -> list[dict[str, Any]]:
    """One panel a task: the best of its budgets that has a curve of squared loss."""
    found = [next((b for b in members if b.closed_forms and b.closed_forms.curve), None) for members in groups]
    shown = [budget for budget in found if budget is not None]
    panels = []
    for index, budget in enumerate(shown):
        said, forms = closed_forms.predicted_sentence(budget), budget.closed_forms
        assert forms is not None
        caption = Caption(f"Squared loss of {wording.who(budget)} on {wording.flat(budget.task)}, predicted", said)
        key, lone = f"predicted-{index}", len(shown) == 1
        panels.append(
            {
                "title": f"{wording.flat(budget.encoder)} · ridge regression · {wording.flat(budget.task)}",
                "caption": said,
                "wide": Markup(predicted(forms, f"{key}-wide", SPREAD, caption)) if lone else "",
                "narrow": Markup(predicted(forms, key, PANEL, caption)),
                "rows": closed_forms.predicted_rows(budget),
            }
        )
    return panels


def _interfaces(report: Report) -> list[dict[str, Any]]:
    shown = [(run, task) for run in report.interfaces for task in _tasks(run.checkpoints)]
    panels = []
    for index, (run, task) in enumerate(shown):
        said = sentences.interface_caption(run, task)
        caption = Caption(
            f"Pretraining loss against the floor on {wording.flat(task)} along {wording.flat(run.run)}", said
        )
        key, lone = f"interface-{index}", len(shown) == 1
        panels.append(
            {
                "title": f"{wording.flat(run.run)} · {wording.flat(task)}",
                "caption": said,
                "wide": Markup(interface(run, task, f"{key}-wide", SPREAD, caption)) if lone else "",
                "narrow": Markup(interface(run, task, key, PANEL, caption)),
                "rows": summary.checkpoint_rows(run, task),
            }
        )
    return panels


def _tasks(checkpoints: tuple[Any, ...]) -> list[str]:
    return list(dict.fromkeys(task for point in checkpoints for task in point.floors))
