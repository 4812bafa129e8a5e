"""A prediction of SGD's limiting dynamics in a terminal: the modes, then how far weights move."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from limen.pages.terminal_tables import table
from limen.records.sgd_prediction import SgdPrediction

MOST_MODES = 20


def render_prediction(found: SgdPrediction, console: Console) -> None:
    """Print it; long spectra show their first modes and say how many there are."""
    edge = found.max_stable_learning_rate
    console.print(Text(f"SGD, {found.law} law, {_START[found.start]}", style="bold"))
    console.print(
        f"stable up to learning rate {edge:.4g}" if edge is not None else "no edge of stability: see the modes"
    )
    console.print(table(_MODES, [_mode(found, i) for i in range(min(len(found.regime), MOST_MODES))]))
    if len(found.regime) > MOST_MODES:
        console.print(f"… and {len(found.regime) - MOST_MODES} more modes; --json has all", style="dim")
    if not found.stable and found.start == "stationary":
        console.print("an unstable mode has no equilibrium to start from: --start fixed has displacements")
    console.print()
    console.print(table(_STEPS, [_step(found, i) for i in range(len(found.steps))]))
    console.print(f"\none step moves the weights by {_number(found.local_displacement)} (squared), at equilibrium")
    if found.excess_loss is None:
        console.print("no excess loss: a mode has no equilibrium")
    else:
        console.print(f"noise costs {_number(found.excess_loss)} of the (regularised) loss")


_START = {"stationary": "from equilibrium", "fixed": "from a fixed start at rest"}
_MODES = {"curvature": "curvature", "regime": "regime", "relaxes in steps": "relaxation", "Var x": "x", "Var v": "v",
          "temperature": "temperature"}  # fmt: skip
_STEPS = {"steps": "step", "E‖Δθ‖²": "displacement", "exponent": "exponent"}


def _mode(found: SgdPrediction, i: int) -> dict[str, str]:
    return {
        "curvature": _number(found.curvature[i]),
        "regime": found.regime[i],
        "relaxation": _number(found.relaxation_steps[i]),
        "x": _number(found.position_variance[i]),
        "v": _number(found.velocity_variance[i]),
        "temperature": _number(found.temperature[i]),
    }


def _step(found: SgdPrediction, i: int) -> dict[str, str]:
    exponent = found.exponent[i]
    return {
        "step": f"{found.steps[i]:,}",
        "displacement": _number(found.displacement[i]),
        "exponent": "—" if exponent is None else f"{exponent:.2f}",
    }


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.4g}"
