"""Reports with invented numbers, for tests only: plausible ones, and every hard case the pages must say in words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import dynamics_cases

from limen.records.budget import Advice, Budget, CurvePoint, Extrapolation, Floor, PopulationCheck
from limen.records.closed_forms import Agreement, ClosedForms, PredictedPoint, Prediction, Ranking
from limen.records.comparison import Comparison
from limen.records.estimate import Estimate, Grade, not_identified
from limen.records.report import CellOutcome, Checkpoint, Interface, Recorded, Report

HOSTILE = '<script>alert("x")</script>\n"=cmd|\' /C calc\'!A0" & </title></svg>'


def est(value: float, half: float, grade: Grade = "statistical", n: int = 1500) -> Estimate:
    return Estimate(
        value,
        value - half,
        value + half,
        confidence=0.95,
        grade=grade,
        n=n,
        method="Clopper-Pearson",
        assumptions=("independent rows",),
        reference="docs/how-sure.md",
    )


def curve(floor: float, amplitude: float, ns: Iterable[int], seeds: int = 5) -> tuple[CurvePoint, ...]:
    points = []
    for n in ns:
        for seed in range(seeds):
            wobble = 1 + 0.04 * math.sin(7 * seed + n)
            gap = amplitude * n**-0.5 * wobble
            held, training = floor + gap + 6 * gap**2, max(0.0, floor - gap + 0.3 * gap**2)
            points.append(CurvePoint(n, seed, training, held, min(0.95, 0.27 * held), 40.0))
    return tuple(points)


def forms(measured: Estimate, spectrum: bool = True) -> ClosedForms:
    """Scores and a predicted curve; without a spectrum as of fewer rows than features."""
    points = []
    for n in (154, 616, 2464, 7502):
        loss = 0.48 + 4.5 / n**0.5
        values = {"spectrum": loss + 0.002 if spectrum else None, "gcv": loss - 0.02, "leave_one_out": loss + 0.05}
        outcomes = {"spectrum": "inside" if spectrum else "unknown", "gcv": "below", "leave_one_out": "above"}
        agreements = {
            name: Agreement(value, None if value is None else value - loss, outcomes[name])  # type: ignore[arg-type]
            for name, value in values.items()
        }
        subsets = (loss,) if n == 7502 else (loss - 0.01, loss, loss + 0.01)
        points.append(PredictedPoint(n, 1e-4, est(loss, 0.012), subsets, loss - 0.1, agreements))
    missing = "" if spectrum else "300 fit rows of rank 300: the spectrum needs more rows than features"
    return ClosedForms(
        measured,
        {
            "logme": Estimate(1.09, n=7502),
            "h_score": Estimate(40.6, n=7502),
            "h_score_shrunk": Estimate(39.8, n=7502),
            "leep": not_identified("the rows came without class probabilities of a source model"),
            "nce": not_identified("the rows came without class probabilities of a source model"),
        },
        tuple(points),
        {
            "spectrum": Prediction(0.53 if spectrum else None, "deterministic equivalent", ("a",), "b", missing),
            "gcv": Prediction(0.51, "GCV"),
            "leave_one_out": Prediction(0.58, "leave-one-out"),
        },
        {15004: 0.518, 30008: 0.507} if spectrum else {},
        {"training": Prediction(0.481, "training/(1 − d/n)"), "both": Prediction(0.483, "√")} if spectrum else {},
    )


def ranking(score: str, *encoders: str, tau: float | None = 1.0, task: str = "banking77") -> Ranking:
    shown = not_identified("all values are the same") if tau is None else Estimate(tau, n=len(encoders))
    return Ranking(task, score, encoders, encoders, shown)


def budget(
    encoder: str = "minilm",
    task: str = "banking77",
    method: str = "linear-probe",
    floor: float = 0.171,
    points: int = 5,
) -> Budget:
    loss, training = floor + 0.096, floor * 0.52
    minimum = training - 0.0004
    terms = {
        "minimal_adaptation_loss": est(floor, 0.021),
        "optimism": est(floor - minimum, 0.021),
        "optimization_gap": est(0.0004, 0.0003, "certified"),
        "generalization_gap": est(loss - training, 0.015),
        "estimation_gap": est(loss - floor - 0.0004, 0.024),
        "empirical_adaptation_loss": Estimate(training, grade="exact", n=7502, method="mean over the fit rows"),
        "adaptation_loss": est(loss, 0.015),
        "error": est(min(0.9, 0.27 * loss), 0.012, "certified"),
        "balanced_error": est(min(0.9, 0.28 * loss), 0.014),
    }
    ns = [154, 308, 616, 1232, 2464, 4928]
    dots = (*curve(floor, 7.6, ns, points), CurvePoint(7502, None, training, loss, 0.27 * loss, 40.0))
    return Budget(
        encoder=encoder,
        task=task,
        method=method,
        loss="log",
        n_train=7502,
        n_holdout=2001,
        classes=77,
        confidence=0.95,
        radius=40.0,
        terms=terms,
        sides=Floor(
            certified=Estimate(None, 0.02, 0.29, 0.95, "certified", 2001, state="not_identified", reason="sides only"),
            statistical=Estimate(
                None, minimum - 0.01, loss + 0.02, 0.95, "statistical", 2001, state="not_identified", reason="sides"
            ),
            midpoint=est(floor, 0.021),
            empirical_minimum=minimum,
            informative=True,
            drift=0.008,
        ),
        identity_residual=1e-16,
        shift={
            "typos": {
                "adaptation_loss": est(loss + 0.11, 0.02),
                "error": est(0.11, 0.013),
                "shift_gap": est(0.11, 0.025),
            }
        },
        curve=dots,
        extrapolation=Extrapolation(
            asymptote=est(floor, 0.02, "extrapolated"),
            exponent=est(0.52, 0.06, "extrapolated"),
            labels_needed=Estimate(20400.0, 15000.0, 31000.0, 0.95, "extrapolated", 6),
            backtest={"hits": 9, "groups": 10, "low": 0.55, "high": 0.99, "confidence": 0.95},
            law={"asymptote": floor, "amplitude": 7.6, "curvature": 60.0, "exponent": 0.5},
        ),
        advice=(
            Advice(
                "label-more",
                "Label more: another 7,500 labels buy about 0.04 nats; more than 0.10 cannot be had with this probe.",
                ("terms.estimation_gap.low",),
                "statistical",
                est(0.04, 0.01),
            ),
            Advice(
                "leave-solver",
                "Do not tune the solver: the optimization gap is at most 4e-05, proven by its certificate.",
                ("terms.optimization_gap.high",),
                "certified",
            ),
        ),
        population_checks=(
            PopulationCheck(
                "duplicates", "12 rows recur in train; they stay together in every split.", "noted", {"rows": 12}
            ),
            PopulationCheck("label shift", "labels of train and test agree.", "ok", {"p": 0.41}),
        ),
        environment={"threads": 1, "blas": "openblas 0.3.30", "versions": {"numpy": "2.4.6"}},
        closed_forms=forms(terms["adaptation_loss"]),
    )


def one_sided(encoder: str = "minilm", method: str = "lora", task: str = "banking77") -> Budget:
    """No lower side for the floor, hence no split; a solver that has no certificate."""
    base = budget(encoder, task, method)
    loss = base.terms["adaptation_loss"]
    terms = {
        "minimal_adaptation_loss": not_identified(
            "no lower side exists for a fine-tuned encoder", high=0.249, confidence=0.95, grade="certified"
        ),
        "empirical_adaptation_loss": base.terms["empirical_adaptation_loss"],
        "generalization_gap": base.terms["generalization_gap"],
        "adaptation_loss": loss,
        "error": base.terms["error"],
    }
    reason = ClosedForms(loss, reason="they stand beside a linear probe")
    plain = {"sides": None, "extrapolation": None, "advice": (), "shift": {}, "identity_residual": None}
    return _with(base, terms=terms, closed_forms=reason, **plain)


def unidentified(encoder: str = "random-features") -> Budget:
    """Floor known by its interval only; diverged and negative terms; every curve kind of failure."""
    base = budget(encoder, floor=2.9)
    terms = dict(base.terms) | {
        "minimal_adaptation_loss": not_identified(
            "drift of the midpoint exceeds its interval; about 20,000 rows would do",
            low=2.2,
            high=3.1,
            confidence=0.95,
            grade="statistical",
        ),
        "optimism": not_identified("needs the floor", low=-0.3, high=1.2, confidence=0.95, grade="statistical"),
        "estimation_gap": not_identified("needs the floor", low=-0.1, high=0.8, confidence=0.95, grade="statistical"),
        "optimization_gap": Estimate(None, state="diverged", reason="loss rose for 50 steps", grade="certified"),
    }
    broken = CurvePoint(616, 4, None, None, 0.99, 40.0, diverged="loss became infinite at iteration 31")
    law = Extrapolation(
        asymptote=not_identified("the curve is not monotone"),
        exponent=not_identified("the curve is not monotone"),
        labels_needed=not_identified("no target was given"),
        backtest={"state": "not_identified", "reason": "fewer than 4 label counts"},
    )
    squared = forms(base.terms["adaptation_loss"], spectrum=False)
    return _with(base, terms=terms, curve=(*base.curve, broken), extrapolation=law, closed_forms=squared)


def negative(encoder: str = "lucky") -> Budget:
    """One draw where optimism and estimation are negative."""
    base = budget(encoder)
    terms = dict(base.terms) | {"optimism": est(-0.012, 0.03), "estimation_gap": est(-0.031, 0.024)}
    return _with(base, terms=terms)


def interface(task: str = "banking77", run: str = "scratch#0") -> Interface:
    checkpoints = []
    for index, step in enumerate((1, 10, 50, 200, 800, 2000, 5000)):
        pre, floor = 6.1 - 0.27 * index, 1.4 - 0.16 * index
        checkpoints.append(
            Checkpoint(
                encoder=f"{run}@{step}",
                step=step,
                empirical_pretraining_loss=est(pre - 0.02 * index, 0.01),
                pretraining_loss=est(pre, 0.05),
                pretraining_gap=est(0.02 * index, 0.05),
                floors={task: est(floor, 0.05) if index else not_identified("n too small", high=1.6, confidence=0.95)},
                adaptation_losses={task: est(floor + 0.15, 0.03)},
                errors={task: est(0.5 - 0.05 * index, 0.02)},
            )
        )
    return Interface(
        run=run,
        objective="nt-xent",
        loss_name="NT-Xent, batches of 256, temperature 0.5, crops and flips",
        checkpoints=tuple(checkpoints),
        kendall_tau={task: Estimate(0.9, 0.7, 1.0, 0.95, "point", 7)},
        slope={task: est(0.59, 0.12, "point", 7)},
    )


def comparison(a: str = "minilm", b: str = "bag-of-words", separable: bool = True) -> Comparison:
    return Comparison(
        a=f"{a} · linear-probe",
        b=f"{b} · linear-probe",
        task="banking77",
        n=2001,
        error_difference=est(-0.06, 0.012),
        loss_difference=est(-0.59, 0.04),
        floor_difference=est(-0.47, 0.03) if separable else est(-0.01, 0.03),
        p_holm=0.0004 if separable else 0.31,
        separable=separable,
        n_to_separate=None if separable else 18_000,
        n_pool=9_500,
    )


RECIPE = {
    "command": "limen run study.toml",
    "study": 'name = "banking77"\nseed = 0\n\n[encoder.minilm]\nsource = "sentence-transformers"\n',
    "data": {"banking77/train.parquet": "sha256:9f2c…"},
    "versions": {"python": "3.11.2", "numpy": "2.4.6", "limen": "0.1.0"},
    "threads": 1,
    "seconds": 81.4,
}


def one() -> Report:
    return Report("banking77", (budget(),), recipe=RECIPE)


def study() -> Report:
    """Several encoders and methods, an interface, comparisons, failures."""
    scratch = budget("scratch#0@5000", floor=0.44)
    budgets = (
        budget("bag-of-words", floor=0.64),
        budget(),
        one_sided(),
        unidentified(),
        negative(),
        scratch,
        budget(task="tweet-emotion", floor=0.52),
    )
    cells = (
        CellOutcome("a" * 64, "fit", "minilm · banking77 · linear-probe", "cached", 12.0),
        CellOutcome("b" * 64, "fit", "scratch · banking77 · knn", "failed", 3.0, "out of memory (killed by signal 9)"),
        CellOutcome("c" * 64, "budget", "scratch · banking77 · knn", "skipped", None, "its fit failed"),
        CellOutcome("d" * 64, "fit", "minilm · tweet-emotion · linear-probe", "run", 9.1),
    )
    comparisons = (comparison(), comparison(b="scratch", separable=False))
    orders = (ranking("logme", "minilm", "bag-of-words", "scratch#0@5000"), ranking("h_score", "minilm", tau=None))
    return Report("banking77", budgets, comparisons, (interface(),), cells, RECIPE, orders)


def dozen() -> Report:
    names = [f"encoder-{index:02d}-with-quite-a-long-name-for-one-row" for index in range(12)]
    return Report("twelve", tuple(budget(name, floor=0.1 + 0.05 * i) for i, name in enumerate(names)), recipe=RECIPE)


def close() -> Report:
    """Losses that close in on a low floor, a target among them, tiny gaps: where words beside lines would collide."""
    base = budget("scratch#0@5000", floor=0.056)
    terms = dict(base.terms) | {
        "minimal_adaptation_loss": est(0.056, 0.0145),
        "optimism": est(0.017, 0.0145),
        "optimization_gap": Estimate(3e-5, 0.0, 3e-5, 0.95, "certified"),
        "empirical_adaptation_loss": Estimate(0.0391, grade="exact"),
        "generalization_gap": est(0.028, 0.031),
        "adaptation_loss": est(0.067, 0.031),
        "estimation_gap": Estimate(0.011, 0.0, 0.057, 0.95, "statistical"),
    }
    dots = curve(0.056, 0.9, [49, 98, 196, 392], 3)
    law = {"asymptote": 0.05, "amplitude": 0.9, "curvature": 0.0, "exponent": 0.55}
    assert base.extrapolation is not None
    drawn = replace(base.extrapolation, labels_needed=Estimate(424.0, None, 1135.0, 0.95, "extrapolated"), law=law)
    broken = CurvePoint(98, 4, None, None, 0.99, 40.0, diverged="loss became infinite at iteration 31")
    near = _with(
        base, terms=terms, curve=(*dots, CurvePoint(1280, None, 0.039, 0.067, 0.013, 40.0)), extrapolation=drawn
    )
    return Report("close", (near, _with(near, encoder="pixels", curve=(*near.curve, broken))), (), (interface(),))


def nothing() -> Report:
    """All cells failed: the page still says so."""
    cells = (CellOutcome("a" * 64, "features", "minilm · banking77", "failed", None, "weights are missing"),)
    return Report("empty", (), cells=cells)


def hostile() -> Report:
    base = unidentified(HOSTILE)
    nasty = _with(
        base,
        task=HOSTILE,
        method=HOSTILE,
        advice=(Advice(HOSTILE, HOSTILE, (HOSTILE,), "point"),),
        population_checks=(PopulationCheck(HOSTILE, HOSTILE, "rejected", {HOSTILE: HOSTILE}),),
        shift={HOSTILE: dict(base.shift["typos"])},
    )
    cells = (CellOutcome(HOSTILE, HOSTILE, HOSTILE, "failed", None, HOSTILE),)
    recipe = {"command": HOSTILE, HOSTILE: {HOSTILE: HOSTILE}}
    duel = comparison(HOSTILE, HOSTILE, separable=False)
    orders = (ranking(HOSTILE, HOSTILE, "=1+1", tau=-1.0, task=HOSTILE),)
    return Report(HOSTILE, (nasty, budget("=1+1")), (duel,), (interface(HOSTILE, HOSTILE),), cells, recipe, orders)


def large() -> Report:
    """60 budgets of 300 curve points each."""
    budgets = tuple(budget(f"encoder-{i}", f"task-{i % 6}", floor=0.1 + 0.01 * i, points=50) for i in range(60))
    return Report("large", budgets, recipe=RECIPE)


def recorded(*names: str) -> Report:
    """A report on runs that were recorded: all ways a run can go, or those named; the last one has no verdict."""
    runs = [
        Recorded(f"net-{name}", replace(dynamics_cases.CASES[name](), run=f"study.toml::net-{name}"))
        for name in names or dynamics_cases.CASES
    ]
    none = () if names else (Recorded("diverged", None, "expected recorded updates, got 0 rows"),)
    return replace(study(), name="recorded", recorded=(*runs, *none))


def lone() -> Report:
    """One recorded run."""
    return replace(recorded("rest"), name="lone")


CASES = {
    "recorded": recorded,
    "lone": lone,
    "one": one,
    "study": study,
    "dozen": dozen,
    "close": close,
    "nothing": nothing,
    "hostile": hostile,
}


def _with(base: Budget, **changes: Any) -> Budget:
    return replace(base, **changes)
