"""The page of a recorded run: one offline file, verdict first, every picture with words and a table beside it.

It asks nothing of the network, reads without any script, and takes names and warnings for text, never for markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from limen.pages import dynamics_words as words
from limen.pages.dynamics_figures import NARROW, WIDE, displacement, exponent, shown
from limen.pages.dynamics_gauge import gauge
from limen.pages.dynamics_portraits import portrait, told
from limen.pages.dynamics_segments import segment_rows, timeline
from limen.pages.dynamics_temperature import temperature
from limen.pages.page import POLICY, asset, environment
from limen.pages.svg import Caption, Element
from limen.records.dynamics import Dynamics

STYLES = ("colours.css", "figures.css", "page.css", "dynamics.css")
Draw = Callable[[Dynamics, str, float, Caption], Element]


def render_page(found: Dynamics) -> str:
    """The page of one run, as the text of one HTML file."""
    script = asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = "; ".join((*POLICY, f"script-src 'sha256-{digest}'"))
    style = Markup("".join(asset(name) for name in STYLES))
    page = environment().get_template("dynamics.html.j2")
    return page.render(view=_view(found), style=style, script=Markup(script), policy=policy)


def _view(found: Dynamics) -> dict[str, Any]:
    return {
        "name": words.title(found),
        "subtitle": words.subtitle(found),
        "leads": words.leads(found),
        "warnings": [words.said(warning) for warning in found.warnings],
        "displacement": _lag_figure(
            found, displacement, "displacement", "Displacement against lag", words.displacement_caption(found)
        ),
        "exponent": _lag_figure(
            found, exponent, "exponent", "Local exponent of diffusion", words.exponent_caption(found)
        ),
        "lag_columns": _lag_columns(found, ""),
        "slope_columns": _lag_columns(found, "_slope"),
        "lags": words.lag_rows(found.lags),
        "portraits": _portraits(found),
        "portrait_caption": words.portrait_caption(found),
        "temperature": _temperature(found),
        "modes": words.mode_rows(found.modes),
        "identities": [_identity(name, found) for name in found.identities],
        "answers": [words.answer_card(answer) for answer in found.answers],
        "timeline": {size: Markup(timeline(found, f"time-{size}", size == "wide")) for size in ("wide", "narrow")},
        "segments": segment_rows(found),
        "recipe": words.recipe(found),
        "command": words.command(found),
    }


def _lag_figure(found: Dynamics, draw: Draw, name: str, title: str, caption: str) -> Mapping[str, Any] | None:
    return _figure(found, draw, name, Caption(title, caption)) if found.lags else None


def _figure(found: Dynamics, draw: Draw, name: str, caption: Caption) -> Mapping[str, Any]:
    """A picture in both widths."""
    return {
        "title": caption.title,
        "caption": caption.description,
        "wide": Markup(draw(found, f"{name}-wide", WIDE, caption)),
        "narrow": Markup(draw(found, f"{name}-narrow", NARROW, caption)),
    }


def _lag_columns(found: Dynamics, suffix: str) -> list[tuple[str, str]]:
    laws = [(law, f"{law}{suffix}") for law in sorted(shown(found), key=list(words.LAWS).index)]
    if suffix:
        return [("lag", "lag"), ("exponent, measured", "exponent"), *laws]
    return [("lag", "lag"), ("E‖Δθ‖², measured", "measured"), *laws, ("pairs", "origins")]


def _portraits(found: Dynamics) -> list[dict[str, Any]]:
    return [
        {
            "title": f"curvature {words.figure(orbit.curvature)}",
            "drawn": Markup(
                portrait(orbit, found.law, f"orbit-{i}", Caption(
                    f"Phase portrait of the mode of curvature {words.figure(orbit.curvature)}", told(orbit, found.law)
                ))
            ),
            "row": words.orbit_row(orbit),
        }
        for i, orbit in enumerate(found.orbits)
    ]  # fmt: skip


def _temperature(found: Dynamics) -> Mapping[str, Any] | None:
    if not found.modes:
        return None
    return _figure(
        found, temperature, "temperature", Caption("Temperature of every mode", words.temperature_caption(found))
    )


def _identity(name: str, found: Dynamics) -> dict[str, Any]:
    compared = found.identities[name]
    title, meaning = words.IDENTITIES.get(name, ("", ""))
    return {
        "name": f"{name} · {title}" if title else words.said(name),
        "meaning": meaning,
        "measured": f"{words.full(compared.measured)} {compared.measured.mark}",
        "law": words.figure(compared.predicted),
        "z": Markup(f"{words.signed(compared.z)}{gauge(compared.z)}"),
        "outcome": words.outcome(compared),
    }
