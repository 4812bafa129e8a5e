"""Invented verdicts on runs, one for each way a run can go: numbers follow simple formulas, so that tests know them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from limen.records.dynamics import Answer, Compared, Dynamics, Lag, ModeVerdict, Orbit
from limen.records.estimate import Estimate, not_identified

LAWS = ("discrete", "langevin", "epoch")
SHORT = not_identified("needs 1,139 steps, got 60")


def around(value: float, share: float = 0.1) -> Estimate:
    """A value with an interval of ± that share of its size."""
    half = abs(value) * share
    return Estimate(value, value - half, value + half, 0.95, "statistical", 40, "invented")


def compared(value: float, predicted: float | None, z: float | None, reason: str = "") -> Compared:
    return Compared(around(value), predicted, z, reason)


def mode(curvature: float, z: float | None = 1.2) -> ModeVerdict:
    heat = compared(0.0101 * curvature, None if z is None else 0.01 * curvature, z, "" if z is not None else "no noise")
    return ModeVerdict(
        curvature, 1e-6, curvature, "underdamped", 19.0, 40, True, heat, heat, heat, around(1.0, 0.02), 0.6
    )  # fmt: skip


def slow(curvature: float) -> ModeVerdict:
    none = Compared(SHORT, None, None, SHORT.reason)
    regime = "unstable" if curvature < 0 else "overdamped"
    return ModeVerdict(curvature, None, None, regime, None, 0, False, none, none, none, SHORT, None)


def lags(count: int = 40, hollow: int = 3, laws: bool = True) -> tuple[Lag, ...]:
    """Saturating displacement 0.1(1 − e^{−t/8}) at log-spaced lags; the last `hollow` without an interval."""
    at = sorted({round(1.25**i) for i in range(count)})
    found = []
    for i, lag in enumerate(at):
        value = 0.1 * (1 - math.exp(-lag / 8)) * (1 + 0.05 * math.sin(5.0 * i))
        slope = (lag / 8) / math.expm1(lag / 8) if lag < 4000 else 0.0
        sure = i < len(at) - hollow
        names = {"discrete": 1.0, "langevin": 0.95, "epoch": 0.8} if laws else {}
        found.append(
            Lag(
                lag,
                around(value) if sure else Estimate(value),
                {law: share * 0.1 * (1 - math.exp(-lag / 8)) for law, share in names.items()},
                Estimate(slope, slope - 0.4, slope + 0.4, 0.95, "statistical") if sure else Estimate(slope + 3),
                dict.fromkeys(names, slope),
            )
        )
    return tuple(found)


def orbit(curvature: float, turn: float = -0.4, predicted: bool = True) -> Orbit:
    path = [(math.cos(turn * k), math.sin(turn * k), 1 + 0.3 * math.sin(0.07 * k)) for k in range(400)]
    ellipse = (0.01, 0.0005, 0.25) if predicted else None
    measured = Estimate(turn, turn - 0.01, turn + 0.01, 0.95, "statistical", 40)
    return Orbit(
        curvature, tuple(0.1 * r * c for c, _, r in path), tuple(0.5 * r * s for _, s, r in path), ellipse,
        turn * 1.01 if predicted else None, measured,
    )  # fmt: skip


def segment(start: int, stop: int, rate: float = 0.05, varying: bool = False) -> dict[str, object]:
    return {"start": start, "stop": stop, "learning_rate": rate, "momentum": 0.9, "weight_decay": 0.0,
            "batch_size": 32, "varying": varying}  # fmt: skip


def answers(refused: int = 1) -> tuple[Answer, ...]:
    kept = [Answer(f"Question {i}?", f"value {i} within -0.5 and 4e-05", "the evidence") for i in range(13 - refused)]
    return (*kept, *(Answer(f"Refused {i}?", "not answered: no noise", "", refused=True) for i in range(refused)))


def rest() -> Dynamics:
    """At rest under independent batches; identity F fails."""
    curvatures = [4.0, 2.3, 1.3, 0.8, 0.46, 0.26, 0.16, 0.09]
    return Dynamics(
        run="runs/rest", steps=20_000, segments=(segment(1, 20_000),), analysed=(1, 20_000), sampling="replacement",
        law="discrete", verdict="stationary", reason="no drift in 8 modes (least p = 0.7 after Holm)", p_value=0.7,
        unequilibrated_modes=0, modes=tuple(mode(h) for h in curvatures), lags=lags(),
        identities={
            "V": compared(1.0, 1.0, 0.2),
            "X": compared(0.999, 1.0, -0.4),
            "L": Compared(Estimate(-3e-4, -6e-4, -1e-5, 0.95, "statistical", 40), 0.0, -2.5, error=1.2e-4),
            "F": compared(1.4, 1.0, 6.3),
        },
        answers=answers(), orbits=tuple(orbit(h) for h in curvatures[:4]), warnings=(), excluded=0,
        temperature_p=0.624,
    )  # fmt: skip


def reshuffled() -> Dynamics:
    reason = "holds for batches that are independent from step to step"
    found = rest()
    refused = {name: replace(found.identities[name], z=None, reason=reason) for name in "LF"}
    return replace(found, run="runs/reshuffled", sampling="reshuffle", law="epoch",
                   identities={**found.identities, **refused},
                   orbits=tuple(replace(at, turn=None) for at in found.orbits))  # fmt: skip


def moving() -> Dynamics:
    """Drifts, has rising and slow modes, and a learning rate that was changed twice."""
    modes = (mode(1.9, 5.0), mode(1.8, -7.0), slow(0.01), slow(-0.02), slow(-0.5), slow(-1.1))
    return replace(
        rest(), run="runs/moving", verdict="drifting", reason="the mean of a mode moves over the run (p = 7.7e-20)",
        p_value=7.7e-20, temperature_p=3e-8, modes=modes, unequilibrated_modes=4, excluded=12, analysed=(2_001, 14_000),
        segments=(segment(1, 2_000, 0.1), segment(2_001, 14_000), segment(14_001, 20_000, 1e-3, True)),
        warnings=("4 recorded modes have negative curvature: no equilibrium, and no law", "no spectral density"),
        orbits=(orbit(1.9, 0.2, False), replace(orbit(1.8), measured_turn=SHORT)), answers=answers(6),
    )  # fmt: skip


def short() -> Dynamics:
    refused = dict.fromkeys("VXLF", Compared(SHORT, None, None, SHORT.reason))
    return replace(
        rest(), run="runs/short", steps=1, segments=(segment(1, 1),), analysed=(1, 1), verdict="not_identified",
        reason="the run has 1 step of one setting; the quickest mode needs 760", p_value=None, lags=lags(1, 1),
        modes=(slow(4.0), slow(2.0)), unequilibrated_modes=2, identities=refused, orbits=(), answers=answers(13),
        temperature_p=None,
    )  # fmt: skip


def bare() -> Dynamics:
    """Neither modes nor displacement, in an order that is not known."""
    return replace(short(), run="runs/bare", modes=(), lags=(), sampling="unknown", identities={}, answers=(),
                   unequilibrated_modes=0, segments=(), warnings=("gradient noise was not measured",))  # fmt: skip


def unpredicted() -> Dynamics:
    """Measured numbers without any law."""
    found = rest()
    return replace(
        found, run="runs/unpredicted", lags=lags(laws=False), modes=tuple(mode(m.curvature, None) for m in found.modes),
        orbits=tuple(orbit(at.curvature, predicted=False) for at in found.orbits),
        warnings=("gradient noise was not measured",), temperature_p=None,
    )  # fmt: skip


def single() -> Dynamics:
    """One of everything: a mode, a lag, an update left out; an identity of two modes has nothing to say, z is 0."""
    found, none = rest(), not_identified("angular momentum needs two equilibrated modes")
    identities = {"V": compared(1.0, 1.0, -0.02), "X": compared(-0.0, 1.0, 0.0), "F": compared(0.9, 1.0, -1.0),
                  "L": Compared(none, None, None, none.reason)}  # fmt: skip
    return replace(
        found, run="runs/single", steps=900, analysed=(1, 900), segments=(segment(1, 900),), modes=(mode(1.0, -0.04),),
        lags=lags(1, 0), identities=identities, orbits=found.orbits[:1], excluded=1, temperature_p=0.97,
        reason="no drift in 1 mode (least p = 0.7 after Holm)",
    )  # fmt: skip


def extreme() -> Dynamics:
    """Tiny and huge numbers, intervals through 0, ten equal curvatures, hundreds of segments."""
    far = tuple(
        replace(lag, lag=lag.lag * 100_000, measured=Estimate(1e-12 * (i + 1), -1e-12, 1e-6, 0.95, "statistical"),
                predicted=dict.fromkeys(LAWS, 1e-13 * (i + 1)),
                exponent=Estimate(90.0 * (-1) ** i, -200.0, 200.0, 0.95, "statistical"))
        for i, lag in enumerate(lags(20, 0))
    )  # fmt: skip
    steps = 10 * 500
    return replace(
        rest(), run="runs/" + "long-name-" * 12, lags=far, modes=tuple(mode(919.6, 90.0) for _ in range(10)),
        steps=steps, segments=tuple(segment(10 * i + 1, 10 * i + 10, 0.1 / (i + 1)) for i in range(500)),
        analysed=(1, 10), orbits=(replace(orbit(1e-9), ellipse=(1e-18, 1e-12, 1e-6)), orbit(1.0, -3.1)),
    )  # fmt: skip


def hostile() -> Dynamics:
    """Markup in every text."""
    bad = '"><script>alert(1)</script><img src=x onerror=alert(2)>\x00\udc80'
    found = rest()
    return replace(
        found, run=bad, sampling=bad, reason=bad, law=bad, warnings=(bad, bad), identities={
            "V": replace(found.identities["V"], z=None, reason=bad), bad: found.identities["X"]},
        answers=(Answer(bad, bad, bad), Answer(bad, f"not answered: {bad}", "", refused=True)),
        modes=(replace(found.modes[0], regime=bad), replace(slow(1.0), regime=bad)),
        orbits=(replace(found.orbits[0], measured_turn=not_identified(bad)),),
    )  # fmt: skip


CASES: dict[str, Callable[[], Dynamics]] = {
    case.__name__: case for case in (rest, reshuffled, moving, short, bare, unpredicted, single, extreme, hostile)
}
