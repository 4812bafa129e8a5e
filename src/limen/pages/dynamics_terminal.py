"""The verdict on a recorded run in a terminal: at rest or not, modes, displacement, identities, answers."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from limen.pages.dynamics_captions import near, octaves
from limen.pages.terminal_tables import table
from limen.records.dynamics import Compared, Dynamics, Lag, ModeVerdict
from limen.records.estimate import Estimate
from limen.records.units import counted

MOST_MODES = 20
ENDLESS = ("flat", "unstable")
LAWS = ("discrete", "langevin", "epoch")
VERDICTS = {"stationary": "stationary", "drifting": "not stationary", "not_identified": "not identified"}
IDENTITIES = {"V": "virial", "X": "kinematics", "L": "angular momentum", "F": "noise implied/measured"}
STYLES = {"stationary": "bold green", "drifting": "bold red", "not_identified": "bold yellow"}


def render_dynamics(found: Dynamics, console: Console) -> None:
    """Print it."""
    first, last = found.analysed
    updates = "1 update" if found.steps == 1 else f"{found.steps:,} updates"
    left = f", {found.excluded:,} excluded" if found.excluded else ""
    head = f"{updates}, {first:,} to {last:,} analysed{left}; {found.sampling} batches"
    console.print(Text(head))
    console.print(Text(VERDICTS[found.verdict], style=STYLES[found.verdict]), Text(f"— {found.reason}"))
    for warning in found.warnings:
        console.print(Text(f"! {warning}", style="yellow"))
    if found.modes:
        console.print()
        console.print(table(_MODES, [_mode(mode, bool(found.diverged)) for mode in found.modes[:MOST_MODES]]))
        if len(found.modes) > MOST_MODES:
            console.print(
                Text(f"… and {counted(len(found.modes) - MOST_MODES, 'more mode')}; --json has all", style="dim")
            )
        if near(found):
            console.print(Text(near(found)))
    if found.lags:
        console.print()
        shown = [law for law in LAWS if any(lag.predicted.get(law) is not None for lag in found.lags)]
        columns = {"lag": "lag", "E‖Δθ‖²": "measured"} | {law: law for law in shown}
        columns |= {"z": "z"} if found.displacement_tested else {}
        columns |= {"exponent": "exponent"}
        console.print(table(columns, [_lag(lag, shown, found.law) for lag in _decades(found.lags)]))
        if octaves(found):
            console.print(Text(octaves(found)))
    console.print()
    rows = [_identity(name, found.identities[name]) for name in found.identities]
    console.print(table({"identity": "name", "measured": "measured", "law": "law", "z": "z"}, rows))
    console.print()
    for answer in found.answers:
        console.print(Text(answer.question, style="bold"))
        console.print(Text(f"  {answer.answer}", style="dim" if answer.refused else ""))
        if answer.evidence:
            console.print(Text(f"  {answer.evidence}", style="dim"))


_MODES = {"curvature": "curvature", "motion": "regime", "batches": "batches", "temperature": "temperature",
          "law": "law", "z": "z", "virial": "virial"}  # fmt: skip


def _mode(mode: ModeVerdict, diverged: bool) -> dict[str, str]:
    slow = not (mode.equilibrated or diverged or mode.regime in ENDLESS)
    return {
        "curvature": f"{mode.curvature:.4g}",
        "regime": f"{mode.regime}, too slow" if slow else mode.regime,
        "batches": str(mode.batches),
        "temperature": short(mode.temperature.measured),
        "law": number(mode.temperature.predicted),
        "z": signed(mode.temperature.z),
        "virial": short(mode.virial),
    }


def _lag(lag: Lag, laws: Sequence[str], own: str) -> dict[str, str]:
    slope, predicted = lag.exponent.value, lag.predicted_exponent.get(own)
    beside = "" if predicted is None else f" ({own} {predicted:z.2f})"
    return {
        "lag": f"{lag.lag:,}",
        "measured": short(lag.measured),
        "z": signed(lag.z.get(own)),
        "exponent": "—" if slope is None else f"{slope:z.2f}{beside}",
    } | {law: number(lag.predicted.get(law)) for law in laws}


def _identity(name: str, found: Compared) -> dict[str, str]:
    return {
        "name": f"{name} {IDENTITIES.get(name, '')}",
        "measured": short(found.measured),
        "law": number(found.predicted),
        "z": signed(found.z) if found.z is not None else "—",
    }


def _decades(lags: Sequence[Lag]) -> list[Lag]:
    """Lags at about 1, 2, 5, 10, 20, 50, … that have an interval."""
    wanted = [c * 10**d for d in range(8) for c in (1, 2, 5)]
    sure = [lag for lag in lags if lag.measured.low is not None] or list(lags)
    chosen = {min(sure, key=lambda lag: abs(lag.lag - w)).lag: None for w in wanted if w <= sure[-1].lag}
    return [lag for lag in sure if lag.lag in chosen]


def short(found: Estimate) -> str:
    """Four digits of the value and the half-width, or why there is none."""
    if found.value is None:
        return "—"
    if found.low is None or found.high is None:
        return f"{found.value:z.3g}"
    return f"{found.value:z.3g}±{(found.high - found.low) / 2:.1g}"


def number(value: float | None) -> str:
    """Four digits, or a dash."""
    return "—" if value is None else f"{value:z.3g}"


def signed(value: float | None) -> str:
    """z with its sign, which zero has not, or a dash."""
    shown = "—" if value is None else f"{value:+.1f}"
    return shown[1:] if shown in ("+0.0", "-0.0") else shown
