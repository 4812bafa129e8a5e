"""What the page of a run says in words: the verdict, what holds of theory, captions, and rows of tables.

z of a Compared: below 2 it agrees, from 3 on it disagrees, between them it may be chance.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from limen.pages import wording
from limen.records.dynamics import Answer, Compared, Dynamics, Lag, ModeVerdict, Orbit
from limen.records.estimate import Estimate

AGREES, DISAGREES = 2.0, 3.0
SMALL, LARGE = 1e-3, 1e7  # outside them numbers carry a power of ten
LAWS = {
    "discrete": "discrete · independent",
    "langevin": "langevin · continuous",
    "epoch": "epoch · reshuffled",
}
SAMPLING = {
    "iid": "independent batches of distinct examples",
    "replacement": "independent batches drawn with replacement",
    "reshuffle": "batches reshuffled every epoch",
    "same-order": "batches in the same order every epoch",
    "unknown": "batches in an order that was not recorded",
}
IDENTITIES = {
    "V": ("virial", "2h Var x = η(1 + β)·Var v: the pull towards the minimum balances the motion; 1 with independent "
          "batches"),
    "X": ("kinematics", "2 Cov(x, v) = η Var v: positions are sums of velocities; 1 of anything at rest"),
    "L": ("angular momentum", "E[xᵢvⱼ − xⱼvᵢ] − (hᵢ − hⱼ)/(1 − β)·E xᵢxⱼ = 0: no net turning between modes beyond "
          "what their noise shares; the pair furthest from it, interval and z of all pairs"),
    "F": ("fluctuations", "noise that the motion implies over noise measured from gradients; 1 where both are one"),
}  # fmt: skip
Lead = list[tuple[str, bool]]
_MINUS = re.compile(r"(?<![\w.×⁻-])-(?=[\d.])")


def figure(value: float | None, digits: int = 3) -> str:
    """A number with three digits; a dash where there is none, no sign where it is 0.

    >>> figure(0.0044756), figure(-4.4756e-7), figure(123456.0), figure(-0.0), figure(None)
    ('0.00448', '−4.48×10⁻⁷', '123,456', '0', '–')
    """
    if value is None:
        return "–"
    value = value or 0.0
    if 10**digits <= abs(value) < 1e7:
        return said(f"{value:,.0f}")
    return said(f"{value:.{digits}g}")


def said(text: str) -> str:
    """Untrusted words on one line, with typographic minus signs and powers of ten.

    >>> said("exponent -0.5\\n(-1.0 to 0), 4e-05 in warm-up 2-3")
    'exponent −0.5 (−1.0 to 0), 4×10⁻⁵ in warm-up 2-3'
    """
    return _MINUS.sub("−", wording.prose(text))


def full(found: Estimate) -> str:
    """Value and interval with the digits that the interval earns, or the state of the value.

    >>> full(Estimate(0.004476, 0.00404, 0.00491, 0.95, "statistical"))
    '0.00448 (0.00404 to 0.00491)'
    >>> full(Estimate(4.476e-7, 4.04e-7, 4.91e-7, 0.95, "statistical"))
    '4.48×10⁻⁷ (4.04×10⁻⁷ to 4.91×10⁻⁷)'
    """
    ends = [abs(x) for x in (found.value, found.low, found.high) if x is not None]
    if found.value is None or not found.two_sided or SMALL <= max(ends) < LARGE:
        return figure(found.value) if found.value is not None and not found.two_sided else wording.full(found)
    return f"{figure(found.value)} ({figure(found.low)} to {figure(found.high)})"


def slope(value: float | None) -> str:
    """An exponent with two decimals."""
    return "–" if value is None else wording.decimal(value, 2)


def signed(z: float | None) -> str:
    """z with its sign, one decimal.

    >>> signed(3.089), signed(-0.02), signed(None)
    ('+3.1', '0.0', '–')
    """
    return "–" if z is None else wording.decimal(z, 1, signed=True)


def outcome(found: Compared) -> str:
    """A comparison in words: agrees, may be chance, disagrees; or why it is refused.

    >>> outcome(Compared(Estimate(1.2), 1.0, 3.1)), outcome(Compared(Estimate(1.2), None, None, "batches depend"))
    ('disagrees: above the law', 'batches depend')
    """
    if found.z is None:
        return said(found.reason) or "no prediction"
    if abs(found.z) < AGREES:
        return "agrees"
    side = "above" if found.z > 0 else "below"
    if abs(found.z) < DISAGREES:
        return f"{side} the law, may be chance"
    return f"disagrees: {side} the law"


def judged(found: Compared) -> str:
    """The outcome, and the standard error that z is counted in: that of the measurement and of the law together.

    >>> judged(Compared(Estimate(1.2), 1.0, 2.5, error=0.08))
    'above the law, may be chance; standard error 0.08'
    """
    if found.error is None or found.z is None:
        return outcome(found)
    return f"{outcome(found)}; standard error {figure(found.error, 2)}"


def title(found: Dynamics) -> str:
    """The last part of the run's name: its folder, or the encoder of a study."""
    name = found.run.rpartition("::")[2]
    return wording.flat(PurePath(name).name or name) or "recorded run"


def subtitle(found: Dynamics) -> str:
    """Updates, sampling."""
    first, last = found.analysed
    whole = "all analysed" if last - first + 1 == found.steps else f"{first:,} to {last:,} analysed"
    left = f", {found.excluded:,} excluded" if found.excluded else ""
    return f"{wording.count(found.steps, 'update')}, {whole}{left} · {sampling(found)}"


def sampling(found: Dynamics) -> str:
    """How batches were drawn."""
    return SAMPLING.get(found.sampling, said(found.sampling))


def leads(found: Dynamics) -> list[Lead]:
    """The verdict in a sentence, then what holds of theory."""
    reason = said(found.reason)
    if found.verdict == "stationary":
        first = [("This run is ", False), ("at rest", True), (f", as far as its modes tell: {reason}.", False)]
    elif found.verdict == "drifting":
        first = [("This run is ", False), ("not at rest", True), (f": {reason}.", False)]
    else:
        first = [("Whether this run is at rest is ", False), ("not known", True), (f": {reason}.", False)]
    return [first, *_theory(found)]


def _theory(found: Dynamics) -> list[Lead]:
    named = {said(name): at.z for name, at in found.identities.items() if at.z is not None}
    parts: Lead = []
    z = [mode.temperature.z for mode in found.modes if mode.temperature.z is not None]
    rest = "" if found.verdict != "drifting" else ", a law of rest,"
    if z:
        parts += [(f"Temperature is within 2 standard errors of the {said(found.law)} law{rest} in ", False),
                  (f"{near_count(z)} of {wording.count(len(z), 'mode')}", True), (jointly(found), False),
                  *_together(found)]  # fmt: skip
    elif together(found):
        parts += [(f"temperatures are {together(found, said(found.law))}", True), (grown(found), False)]
    if tested_lags := octave_z(found):
        near = near_count([at for _, at in tested_lags])
        lag, far = max(tested_lags, key=lambda at: abs(at[1]))
        law = f" is within 2 standard errors of the {said(found.law)} law{rest}" if not z else ""
        parts += [("; displacement" if parts else "Displacement", False), (f"{law} at ", False),
                  (f"{near} of {wording.count(len(tested_lags), 'lag')}", True),
                  (f" an octave apart, furthest at lag {lag:,} (z {signed(far)})", False)]  # fmt: skip
    if named:
        off = [f"{name} (z {signed(at)})" for name, at in named.items() if abs(at) >= DISAGREES]
        held = [name for name, at in named.items() if abs(at) < DISAGREES]
        parts += [("; ", False)] if parts else []
        if held:
            parts.append((f"{_listed('identity', 'identities', held)} {'holds' if len(held) == 1 else 'hold'}", False))
        if off:
            parts.append((", " if held else "", False))
            listed = ", ".join(off) if held else _listed("identity", "identities", off)
            parts.append((f"{listed} {'does' if len(off) == 1 else 'do'} not{'' if held else ' hold'}", True))
    if not parts:
        return []
    text, strong = parts[0]
    return [[(_sentence(text), strong), *parts[1:], (".", False)]]


def _together(found: Dynamics) -> Lead:
    """The common shift of the temperatures, and what noise that grows with distance would make of it."""
    ratio = together(found)
    return [(", ", False), (ratio, True), (grown(found), False)] if ratio else []


def together(found: Dynamics, law: str = "") -> str:
    """All temperatures over their law in one number; empty where fewer than two are compared."""
    shift = found.temperature_shift
    if shift is None or shift.z is None or shift.measured.value is None:
        return ""
    return f"together {figure(shift.measured.value)} times {f'the {law} law' if law else 'it'} (z {signed(shift.z)})"


def grown(found: Dynamics) -> str:
    """The known bias of a law that holds noise constant, where temperatures lie above it; empty elsewhere."""
    shift = found.temperature_shift
    above = shift is not None and shift.z is not None and shift.z >= AGREES
    if not above or found.multiplicative is None:
        return ""
    return f", where noise that grows with distance, which the law leaves out, makes {figure(found.multiplicative)}"


def octave_z(found: Dynamics) -> list[tuple[int, float]]:
    """Lags an octave apart and z of the displacement there against the law of the run."""
    at = set(found.displacement_tested)
    return [(lag.lag, z) for lag in found.lags if lag.lag in at and (z := lag.z.get(found.law)) is not None]


def near_count(z: Sequence[float]) -> int:
    """How many lie within AGREES standard errors."""
    return sum(abs(at) <= AGREES for at in z)


def jointly(found: Dynamics) -> str:
    """The joint p in brackets; empty where the record has none."""
    return f" (joint {p(found.temperature_p)})" if found.temperature_p is not None else ""


def p(value: float) -> str:
    """A p value; below 10⁻³ only that it is.

    >>> p(0.0312), p(1.0), p(2e-5)
    ('p = 0.031', 'p = 1', 'p < 0.001')
    """
    return "p < 0.001" if value < 1e-3 else f"p = {figure(value, 2)}"


def _listed(one: str, many: str, names: Sequence[str]) -> str:
    joined = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
    return f"{one if len(names) == 1 else many} {joined}"


def lag_rows(lags: Sequence[Lag]) -> list[dict[str, str]]:
    """Every lag: displacement and exponent, measured and by each law."""
    return [
        {"lag": f"{lag.lag:,}", "measured": full(lag.measured), "origins": figure(lag.measured.n),
         "exponent": wording.full(lag.exponent)}
        | {law: figure(lag.predicted.get(law)) for law in LAWS}
        | {f"{law}_z": signed(lag.z.get(law)) for law in LAWS}
        | {f"{law}_slope": slope(lag.predicted_exponent.get(law)) for law in LAWS}
        for lag in lags
    ]  # fmt: skip


def mode_rows(modes: Sequence[ModeVerdict]) -> list[dict[str, str]]:
    """Every mode of the run."""
    return [
        {
            "curvature": figure(mode.curvature),
            "regime": said(mode.regime) + ("" if mode.equilibrated else ", not equilibrated"),
            "relaxation": figure(mode.relaxation_steps),
            "batches": str(mode.batches),
            "temperature": full(mode.temperature.measured),
            "law": figure(mode.temperature.predicted),
            "z": signed(mode.temperature.z),
            "virial": full(mode.virial),
            "noise": figure(mode.noise),
            "why": said(mode.temperature.reason),
        }
        for mode in modes
    ]


def mode_told(mode: ModeVerdict) -> str:
    """One mode in words."""
    text = f"curvature {figure(mode.curvature)}, {mode.regime}: temperature {full(mode.temperature.measured)}"
    if mode.temperature.measured.value is None:
        return f"{text}, {said(mode.temperature.measured.reason)}"
    if mode.temperature.predicted is not None:
        text += f", law {figure(mode.temperature.predicted)}"
    return text if mode.temperature.z is None else f"{text}, z {signed(mode.temperature.z)}"


def orbit_row(orbit: Orbit) -> dict[str, str]:
    """One portrait in numbers, angles in radians an update."""
    moments = orbit.ellipse or (None, None, None)
    return {
        "curvature": figure(orbit.curvature),
        "turn": full(orbit.measured_turn),
        "law": figure(orbit.turn),
        "x": figure(moments[0]),
        "xv": figure(moments[1]),
        "v": figure(moments[2]),
    }


def answer_card(answer: Answer) -> dict[str, Any]:
    """A question, its answer, and what it rests on."""
    text = said(answer.answer)
    return {
        "question": said(answer.question),
        "answer": _sentence(text.removeprefix("not answered: ") if answer.refused else text),
        "evidence": said(answer.evidence),
        "refused": answer.refused,
    }


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def recipe(found: Dynamics) -> list[tuple[str, str]]:
    """What the numbers rest on."""
    first, last = found.analysed
    rows = [
        ("run", wording.flat(found.run)),
        ("recorded", wording.count(found.steps, "update")),
        ("analysed", f"updates {first:,} to {last:,}"),
        ("left out", f"{wording.count(found.excluded, 'update')}, not finite or skipped"),
        ("batches", sampling(found)),
        ("law", f"{said(found.law)}, that of this sampling"),
        ("modes", f"{len(found.modes)} recorded, {found.unequilibrated_modes} not equilibrated"),
    ]
    if found.temperature_p is not None:
        shift = "" if found.temperature_shift is None else ", with that of their common shift"
        rows.append(("temperatures", f"least {p(found.temperature_p)} against the law after Holm's correction{shift}"))
    if found.displacement_p is not None:
        lags = wording.count(len(found.displacement_tested), "lag")
        rows.append(
            ("displacement", f"least {p(found.displacement_p)} at {lags} an octave apart after Holm's correction")
        )
    if found.p_value is not None:
        rows.append(("drift", f"least p after Holm's correction {figure(found.p_value)}"))
    return rows


def command(found: Dynamics) -> tuple[str, str]:
    """What makes the page of this run, and its option, which does not break over lines."""
    return f"limen dynamics {shlex.quote(wording.flat(found.run))}", "-o page.html"
