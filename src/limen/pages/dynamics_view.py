"""Everything that pages show of a recorded run, as plain data and pictures: its own page, and its part of a report.

Names of pictures and headings carry a prefix, so that several runs have their place on one page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from limen.pages import dynamics_captions as captions
from limen.pages import dynamics_words as words
from limen.pages.dynamics_figures import NARROW, WIDE, displacement, exponent, shown
from limen.pages.dynamics_gauge import gauge
from limen.pages.dynamics_portraits import portrait, told
from limen.pages.dynamics_segments import segment_rows, timeline
from limen.pages.dynamics_temperature import temperature
from limen.pages.svg import Caption, Element
from limen.records.dynamics import Dynamics

MODE_COLUMNS = [
    ("curvature, loss/parameter²", "curvature"), ("motion", "regime"), ("relaxes in, updates", "relaxation"),
    ("batches", "batches"), ("temperature, loss", "temperature"), ("law", "law"), ("z", "z"), ("virial", "virial"),
    ("noise, loss²/parameter²", "noise"), ("why no z", "why"),
]  # fmt: skip
Draw = Callable[[Dynamics, str, float, Caption], Element]


def run_view(found: Dynamics, prefix: str = "") -> dict[str, Any]:
    """What the templates need; `prefix` begins every id and is unique on the page."""
    who = f", {words.title(found)}" if prefix else ""
    return {
        "prefix": prefix,
        "who": who,
        "name": words.title(found),
        "subtitle": words.subtitle(found),
        "leads": words.leads(found),
        "warnings": [words.said(warning) for warning in found.warnings],
        "displacement": _displacement(found, prefix, who),
        "exponent": _exponent(found, prefix, who),
        "portraits": _portraits(found, prefix),
        "portrait_caption": captions.portrait_caption(found),
        "temperature": _temperature(found, prefix, who),
        "identities": [_identity(name, found) for name in found.identities],
        "answers": [words.answer_card(answer) for answer in found.answers],
        "timeline": {
            size: Markup(timeline(found, f"{prefix}time-{size}", size == "wide")) for size in ("wide", "narrow")
        },
        "segments": segment_rows(found),
        "recipe": words.recipe(found),
        "command": words.command(found),
    }


def _displacement(found: Dynamics, prefix: str, who: str) -> Mapping[str, Any] | None:
    if not found.lags:
        return None
    caption = Caption("Displacement against lag", captions.displacement_caption(found))
    return {
        **_figure(found, displacement, f"{prefix}displacement", caption, who),
        "short": captions.displacement_held(found),
        "columns": _lag_columns(found, ""),
        "rows": words.lag_rows(found.lags),
        "all": "Every lag as a table",
    }


def _exponent(found: Dynamics, prefix: str, who: str) -> Mapping[str, Any] | None:
    if not found.lags:
        return None
    caption = Caption("Local exponent of diffusion", captions.exponent_caption(found))
    return {
        **_figure(found, exponent, f"{prefix}exponent", caption, who),
        "columns": _lag_columns(found, "_slope"),
        "rows": words.lag_rows(found.lags),
        "all": "Every exponent as a table",
    }


def _temperature(found: Dynamics, prefix: str, who: str) -> Mapping[str, Any] | None:
    if not found.modes:
        return None
    caption = Caption("Temperature of every mode", captions.temperature_caption(found))
    return {
        **_figure(found, temperature, f"{prefix}temperature", caption, who),
        "short": captions.temperature_held(found),
        "columns": MODE_COLUMNS,
        "rows": words.mode_rows(found.modes),
        "all": "Every mode as a table",
    }


def _figure(found: Dynamics, draw: Draw, name: str, caption: Caption, who: str) -> Mapping[str, Any]:
    """A picture in both widths; its name tells runs of one page apart."""
    return {
        "title": caption.title,
        "name": f"{caption.title}{who}",
        "caption": caption.description,
        "wide": Markup(draw(found, f"{name}-wide", WIDE, caption)),
        "narrow": Markup(draw(found, f"{name}-narrow", NARROW, caption)),
    }


def _lag_columns(found: Dynamics, suffix: str) -> list[tuple[str, str]]:
    laws = [(law, f"{law}{suffix}") for law in sorted(shown(found), key=list(words.LAWS).index)]
    if suffix:
        return [("lag", "lag"), ("exponent, measured", "exponent"), *laws]
    own = [("z", f"{found.law}_z")] if found.displacement_tested else []
    return [("lag", "lag"), ("E‖Δθ‖², parameter²", "measured"), *laws, *own, ("pairs", "origins")]


def _portraits(found: Dynamics, prefix: str) -> list[dict[str, Any]]:
    return [
        {
            "title": f"curvature {words.figure(orbit.curvature)}",
            "drawn": Markup(
                portrait(orbit, found.law, f"{prefix}orbit-{i}", Caption(
                    f"Phase portrait of the mode of curvature {words.figure(orbit.curvature)}", told(orbit, found.law)
                ))
            ),
            "row": words.orbit_row(orbit),
        }
        for i, orbit in enumerate(found.orbits)
    ]  # fmt: skip


def _identity(name: str, found: Dynamics) -> dict[str, Any]:
    compared = found.identities[name]
    title, meaning = words.IDENTITIES.get(name, ("", ""))
    return {
        "name": f"{name} · {title}" if title else words.said(name),
        "meaning": meaning,
        "measured": f"{words.full(compared.measured)} {compared.measured.mark}",
        "law": words.figure(compared.predicted),
        "z": Markup(f"{words.signed(compared.z)}{gauge(compared.z)}"),
        "outcome": words.judged(compared),
    }
