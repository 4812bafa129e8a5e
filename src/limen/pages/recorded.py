"""The recorded runs of a study on its page: one sentence on all, a table of verdicts, two pictures of each run.

A lone run has wide pictures; of several, each has a row of three: its verdict in words, how far its weights move, how
hot its modes are. Everything else that is known of a run is folded below it, for the first WHOLE runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from limen.pages import dynamics_captions as captions
from limen.pages import dynamics_words as words
from limen.pages import wording
from limen.pages.dynamics_view import run_view
from limen.records.dynamics import Dynamics
from limen.records.report import Recorded

WHOLE = 12
"""Runs whose every figure is on the page; of further ones the command that makes their own page is."""
COLUMNS = {
    "encoder": "encoder", "verdict": "verdict", "why": "why", "run": "settings", "modes": "modes",
    "temperature": "temperature", "displacement": "displacement",
}  # fmt: skip
"""Title → key of the row of a run."""
VERDICTS = {"stationary": "● at rest", "drifting": "↗ not at rest", "not_identified": "? not known"}


def recorded_view(runs: Sequence[Recorded]) -> dict[str, Any] | None:
    """What the template needs; None where nothing was recorded."""
    if not runs:
        return None
    return {
        "said": said(runs),
        "reading": captions.READING if any(_drawn(run.dynamics) for run in runs) else "",
        "columns": list(COLUMNS.items()),
        "rows": [verdict_row(run) for run in runs] if len(runs) > 1 else [],
        "runs": [_run(run, index, len(runs) == 1) for index, run in enumerate(runs)],
    }


def _drawn(found: Dynamics | None) -> bool:
    return found is not None and bool(found.lags)


def said(runs: Sequence[Recorded]) -> str:
    """How many runs are at rest; empty for a lone one, whose own sentence says it.

    >>> said([Recorded("a", None, "nothing"), Recorded("b", None, "nothing")])
    'Of 2 recorded runs none is known to be at rest; of 2 it is not known.'
    """
    if len(runs) == 1:
        return ""
    kinds: list[str] = [run.dynamics.verdict if run.dynamics else "not_identified" for run in runs]
    rest, moving, unknown = (kinds.count(kind) for kind in VERDICTS)
    parts = ["none is known to be at rest" if not rest else f"{rest} {'is' if rest == 1 else 'are'} at rest"]
    parts += [f"{moving} {'is' if moving == 1 else 'are'} not"] if moving else []
    parts += [f"of {unknown} it is not known"] if unknown else []
    return f"Of {len(runs)} recorded runs {'; '.join(parts)}."


def verdict_row(run: Recorded) -> dict[str, str]:
    """One run as a row: verdict, why, and how its numbers lie to its law."""
    found = run.dynamics
    named = {"encoder": wording.flat(run.encoder)}
    if found is None:
        unknown = dict.fromkeys(("settings", "modes", "temperature", "displacement"), "–")
        return named | {"verdict": VERDICTS["not_identified"], "why": words.said(run.reason)} | unknown
    count = len(found.modes)
    return named | {
        "verdict": VERDICTS[found.verdict],
        "why": words.said(found.reason),
        "settings": f"{wording.count(found.steps, 'update')}, {words.sampling(found)}",
        "modes": f"{count - found.unequilibrated_modes} of {count} equilibrated" if count else "none recorded",
        "temperature": captions.near(found) or "–",
        "displacement": captions.inside(found) or "–",
    }


def _run(run: Recorded, index: int, lone: bool) -> Mapping[str, Any]:
    if run.dynamics is None:
        return {"title": wording.flat(run.encoder), "view": None, "why": words.said(run.reason), "lone": lone}
    view = run_view(run.dynamics, f"run-{index}-")
    figures = [view[name] for name in ("displacement", "temperature") if view[name]]
    if not lone:
        figures = [{**figure, "wide": "", "caption": figure["short"]} for figure in figures]
    return {
        "title": wording.flat(run.encoder),
        "lone": lone,
        "view": view,
        "figures": figures,
        "whole": index < WHOLE,
    }
