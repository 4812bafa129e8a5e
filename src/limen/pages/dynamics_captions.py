"""What there is to see in the pictures of a run, in words: captions, and how many measured numbers lie near the law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from limen.pages import dynamics_words as words
from limen.pages import wording
from limen.records.dynamics import Dynamics
from limen.records.estimate import Estimate

READING = (
    "Displacement: mean of ‖θ(k + t) − θ(k)‖² over all pairs of updates t apart. Dots: measured, with 95 % intervals "
    "◆; hollow dots have none ○. Lines: what each law says; the heavier one is that of the run's sampling. "
    "Temperature: h·Var x of every mode against its curvature h, rings: the law; below, how many standard errors lie "
    "between them, the band is ±2."
)
"""How the pictures of several runs are read, once for all."""


def displacement_caption(found: Dynamics) -> str:
    """What to see in the displacement."""
    text = "Mean of ‖θ(k + t) − θ(k)‖² over all pairs of updates t apart, both axes logarithmic. Dots: measured"
    text += "; bars: 95 % intervals ◆" if any(lag.measured.two_sided for lag in found.lags) else ""
    if any(not lag.measured.two_sided for lag in found.lags):
        text += "; hollow dots: too few stretches of that length for an interval ○"
    if any(mode.equilibrated and mode.relaxation_steps is not None for mode in found.modes):
        text += "; the upright band: relaxation times of the modes that came to rest"
    held = octaves(found)
    more = f" With the error of the law's noise in it, {held}." if held else ""
    return f"{text}. {displacement_held(found)}{more}"


def displacement_held(found: Dynamics) -> str:
    """Which law is this run's, and how many lags it holds at."""
    return _own(found, [(lag.measured, lag.predicted) for lag in found.lags])


def inside(found: Dynamics) -> str:
    """At how many lags the law lies in the interval of the displacement; empty where none is compared."""
    held, tested = _held(found.law, [(lag.measured, lag.predicted) for lag in found.lags])
    return f"law inside {held} of {wording.count(tested, 'interval')}" if tested else ""


def exponent_caption(found: Dynamics) -> str:
    """What to see in the local exponent."""
    text = (
        "Slope of the curve above at each lag: 2 while weights coast, 1 where they diffuse, 0 where they are confined; "
        "drift makes it 2 again. Bars: 95 % intervals ◆, wide because neighbouring lags are taken for independent; "
        "arrows say that a bar or a hollow dot lies beyond the frame."
    )
    return f"{text} {_own(found, [(lag.exponent, lag.predicted_exponent) for lag in found.lags])}"


def _own(found: Dynamics, pairs: Sequence[tuple[Estimate, Mapping[str, float | None]]]) -> str:
    """Which law is this run's, and at how many lags it lies in the interval."""
    if not any(value is not None for _, laws in pairs for value in laws.values()):
        return "No law is drawn: " + (words.said(found.warnings[0]) if found.warnings else "theory has none here") + "."
    if not any(laws.get(found.law) is not None for _, laws in pairs):
        return f"None of the laws drawn is that of {words.sampling(found)}."
    text = f"The heavier line is the law of this run, {words.sampling(found)}"
    held, tested = _held(found.law, pairs)
    return f"{text}; it lies inside {held} of {wording.count(tested, 'interval')}." if tested else f"{text}."


def octaves(found: Dynamics) -> str:
    """At how many lags an octave apart displacement lies near the law, with their joint p; empty without one."""
    z = [at for _, at in words.octave_z(found)]
    if not z:
        return ""
    joint = "" if found.displacement_p is None else f" (joint {words.p(found.displacement_p)})"
    lags = f"{words.near_count(z)} of {wording.count(len(z), 'lag')}"
    return f"displacement: {lags} an octave apart within 2 standard errors of the law{joint}"


def _held(law: str, pairs: Sequence[tuple[Estimate, Mapping[str, float | None]]]) -> tuple[int, int]:
    """Intervals that hold the law, and intervals with a law beside them."""
    found = [
        at.low <= value <= at.high
        for at, laws in pairs
        if at.low is not None and at.high is not None and (value := laws.get(law)) is not None
    ]
    return sum(found), len(found)


def temperature_caption(found: Dynamics) -> str:
    """What to see in the temperatures."""
    text = "Temperature h·Var x (loss) of every recorded mode against its curvature h"
    if any(mode.temperature.predicted is not None for mode in found.modes):
        text += f"; rings and line: the {words.said(found.law)} law"
    if any(mode.temperature.z is not None for mode in found.modes):
        text += ". Below: how many standard errors measurement lies above the law; the band is ±2"
    return f"{text}. {_slow(found)}".rstrip()


def temperature_held(found: Dynamics) -> str:
    """How the temperatures lie to the law, and which modes have none."""
    held = near(found)
    return f"{held[:1].upper()}{held[1:]}{'. ' if held else ''}{_slow(found)}".strip() or "No temperature is compared."


def near(found: Dynamics) -> str:
    """How many temperatures lie near the law; empty where none is compared."""
    z = [mode.temperature.z for mode in found.modes if mode.temperature.z is not None]
    if not z:
        return ""
    counted = f"{words.near_count(z)} of {wording.count(len(z), 'mode')}"
    shift = words.together(found)
    return f"{counted} within 2 standard errors of the law{words.jointly(found)}{f', {shift}' if shift else ''}"


def _slow(found: Dynamics) -> str:
    slow = sum(mode.temperature.measured.value is None for mode in found.modes)
    if not slow:
        return ""
    why = {mode.temperature.reason for mode in found.modes}
    judged = found.diverged or all(mode.equilibrated for mode in found.modes)
    if judged and slow == len(found.modes) and len(why) == 1:
        return f"No mode has a temperature: {words.said(min(why))}."
    return (
        f"{wording.count(slow, 'mode')} without a temperature, hollow on the lane: the run is too short, "
        f"or {'it has' if slow == 1 else 'they have'} no equilibrium."
    )


def portrait_caption(found: Dynamics) -> str:
    """What to see in the phase portraits."""
    text = (
        "Each mode on its own: its last updates in position x (parameter) and velocity v (x moves by ηv an update), "
        "the older the fainter; the dot is the last"
    )
    if any(orbit.ellipse is not None for orbit in found.orbits):
        text += (
            f". Ellipses: one and two standard deviations of the {words.said(found.law)} law, not fitted to the path"
        )
    text += (
        ". Dials: how far one update turns the state on the measured ellipse (ink), beside the turn predicted (dashed)"
    )
    return text + "; the arrow is its direction."
