"""What to do next, and why: each rule reads terms of one budget and may add one piece of advice.

Rules (reference: docs/advice.md). A rule acts on the end of an interval that must hold, never on a point; its grade is
that of the side that decides. Without a target the rules only rank where the loss comes from.
"""

from __future__ import annotations

from limen.records.budget import Advice, Budget, Extrapolation
from limen.records.estimate import Estimate
from limen.records.task import Question


def advise(budget: Budget, question: Question) -> tuple[Advice, ...]:
    """Advice in order of urgency: what cannot work, what helps most, what is not worth doing, what is unknown."""
    urgent = (_stop_labelling, _reach_target, _label_more, _larger_radius, _richer_adapter, _shift)
    rules = (*urgent, _solver, _other_encoder, _unknown)
    return tuple(advice for rule in rules if (advice := rule(budget, question)) is not None)


def _stop_labelling(budget: Budget, question: Question) -> Advice | None:
    """Floor above the loss target: labels cannot help. An error has no lower side, so no error target is given up."""
    target = question.target_loss
    if target is None or budget.sides is None or not budget.floor_path:
        return None
    largest, certified = budget.floor_path[-1], budget.sides.certified
    if largest.low is not None and largest.low > target:
        radius, low, path, grade = largest.radius, largest.low, "floor_path[-1].low", budget.sides.statistical.grade
    elif budget.sides.informative and certified.low is not None and certified.low > target and budget.radius:
        radius, low, path, grade = budget.radius, certified.low, "sides.certified.low", certified.grade
    else:
        return None
    return Advice(
        "stop-labelling",
        f"No number of labels reaches a loss of {target:g} with this encoder and a linear probe "
        f"with ‖W‖ ≤ {radius:g}: its floor is at least {low:.3g}.",
        (path,),
        grade,
    )


def _reach_target(budget: Budget, question: Question) -> Advice | None:
    """The target is met already, or so many labels would meet it."""
    target = question.target_loss if question.target_loss is not None else question.target_error
    if target is None:
        return None
    name = "adaptation_loss" if question.target_loss is not None else "error"
    measured = budget.terms[name]
    if measured.high is not None and measured.high <= target:
        return Advice(
            "target-met",
            f"The target of {target:g} is met: {name.replace('_', ' ')} is at most {measured.high:.3g}.",
            (f"terms.{name}.high",),
            measured.grade,
        )
    if measured.value is not None and measured.value <= target:
        return _hold_out_more(budget, name, target)
    law = budget.extrapolation
    if law is None or law.labels_needed.grade != "extrapolated" or not _foretold(law, budget.confidence):
        return None
    needed = law.labels_needed
    if needed.value is None or needed.value <= budget.n_train:
        return None
    return Advice(
        "labels-for-target",
        f"About {needed.value:,.0f} labels would reach the target of {target:g}{_between(needed)}.",
        ("extrapolation.labels_needed",),
        "extrapolated",
    )


def _foretold(law: Extrapolation, confidence: float) -> bool:
    """Whether the back-test does not reject the law: its hit rate may be the stated confidence."""
    return law.backtest.get("state") is None and law.backtest["high"] >= confidence


def _hold_out_more(budget: Budget, name: str, target: float) -> Advice:
    """The point meets the target, its interval does not: how many held-out rows would tell."""
    measured = budget.terms[name]
    assert measured.value is not None
    assert measured.high is not None
    room = target - measured.value
    text = f"Hold out more rows: the {name.replace('_', ' ')} of {measured.value:.3g} meets the target of {target:g}, "
    text += f"but up to {measured.high:.3g} is not excluded"
    if room > 0:  # half-widths shrink as 1/√rows
        rows = budget.n_holdout * ((measured.high - measured.value) / room) ** 2
        text += f"; about {rows:,.0f} held-out rows would tell"
    return Advice("hold-out-more", text + ".", (f"terms.{name}.high",), measured.grade)


def _between(labels: Estimate) -> str:
    if labels.low is not None and labels.high is not None:
        return f" ({labels.low:,.0f} to {labels.high:,.0f})"
    if labels.low is not None:
        return f" (at least {labels.low:,.0f})"
    return ""


def _label_more(budget: Budget, question: Question) -> Advice | None:
    """Too few labels is the largest reducible term, and surely worth the margin."""
    term = budget.terms.get("estimation_gap")
    if term is None or term.low is None or term.value is None or term.low <= question.margin:
        return None
    shifts = [p["shift_gap"].high for p in budget.shift.values() if p["shift_gap"].high is not None]
    largest = {"a shift": max(shifts, default=0.0), "the solver": budget.terms["optimization_gap"].value or 0.0}
    if rivals := " or ".join(name for name, cost in largest.items() if cost >= term.value):
        text = f"Label more: too few labels cost {term.text()[:-2]} of the loss; {rivals} may cost as much"
        return Advice("label-more", text + ".", ("terms.estimation_gap.low",), "statistical", term)
    gain = _doubling_gain(budget)
    text = f"Label more: too few labels cost {term.text()[:-2]} of the loss, and no more than that can be gained"
    if gain is not None:
        text += f"; twice the labels would buy about {gain.value:.2g}"
    return Advice("label-more", text + ".", ("terms.estimation_gap.low",), "statistical", gain or term)


def _doubling_gain(budget: Budget) -> Estimate | None:
    """Fall of the fitted law from n to 2n labels, capped by the high end of the estimation gap."""
    law = budget.extrapolation.law if budget.extrapolation else {}
    if not law or budget.extrapolation is None or budget.extrapolation.asymptote.grade != "extrapolated":
        return None

    def loss(n: float) -> float:
        step = n ** -law["exponent"]
        return float(law["asymptote"] + law["amplitude"] * step + law["curvature"] * step**2)

    fall = loss(budget.n_train) - loss(2 * budget.n_train)
    cap = budget.terms["estimation_gap"].high
    if fall <= 0 or (cap is not None and fall > cap):
        return None
    assumptions = ("the fitted law holds to twice the labels",)
    return Estimate(fall, grade="extrapolated", n=budget.n_train, method="two-sided law", assumptions=assumptions)


def _larger_radius(budget: Budget, question: Question) -> Advice | None:
    """A larger class reaches surely lower: the constraint, not the encoder, is the floor."""
    own = next((p for p in budget.floor_path if p.radius == budget.radius), None)
    if own is None or own.low is None:
        return None
    floor = budget.terms["minimal_adaptation_loss"].low
    for point in budget.floor_path:
        better = floor is not None and point.high is not None and point.high < floor - question.margin
        if point.radius > own.radius and better:
            return Advice(
                "larger-radius",
                f"Allow a larger probe: with ‖W‖ ≤ {point.radius:g} the loss is at most {point.high:.3g}, below the "
                f"floor of ‖W‖ ≤ {own.radius:g}.",
                ("floor_path", "terms.minimal_adaptation_loss.low"),
                "statistical",
            )
    return None


def _richer_adapter(budget: Budget, question: Question) -> Advice | None:
    """A richer head surely beats every linear one of the class; silent where a larger radius is to be tried first."""
    gap = budget.terms.get("class_gap")
    if gap is None or gap.low is None or gap.low <= question.margin or _larger_radius(budget, question) is not None:
        return None
    return Advice(
        "richer-adapter",
        f"Use a richer adapter: a kernel head on the same features loses at least {gap.low:.3g} less than any linear "
        f"probe with ‖W‖ ≤ {budget.radius:g} could.",
        ("terms.class_gap.low",),
        gap.grade,
        gap,
    )


def _shift_low(budget: Budget) -> dict[str, float]:
    lows = {name: population["shift_gap"].low for name, population in budget.shift.items()}
    return {name: low for name, low in lows.items() if low is not None}


def _shift(budget: Budget, question: Question) -> Advice | None:
    """A scored population is surely worse than the holdout by more than the margin."""
    worse = {name: low for name, low in _shift_low(budget).items() if low > question.margin}
    if not worse:
        return None
    name = max(worse, key=lambda key: worse[key])
    gap = budget.shift[name]["shift_gap"]
    return Advice(
        "fix-shift",
        f"{name!r} loses {gap.text()[:-2]} more than held-out rows of the training population: label rows from there.",
        (f"terms.shift.{name}.shift_gap.low",),
        gap.grade,
        gap,
    )


def _solver(budget: Budget, question: Question) -> Advice | None:
    """The optimization gap is proven small, or worth removing."""
    gap = budget.terms.get("optimization_gap")
    if gap is None or gap.value is None:
        return None
    if gap.value > question.margin:
        return Advice(
            "tune-solver",
            f"Solve better: up to {gap.value:.2g} of the loss may be optimization, for the certificate is not closed.",
            ("terms.optimization_gap.value",),
            gap.grade,
        )
    return Advice(
        "leave-solver",
        f"Do not tune the solver: the optimization gap is at most {gap.value:.1g}, proven by its certificate.",
        ("terms.optimization_gap.value",),
        gap.grade,
    )


def _other_encoder(budget: Budget, question: Question) -> Advice | None:
    """The floor is surely the larger part of the loss."""
    floor, loss = budget.terms.get("minimal_adaptation_loss"), budget.terms["adaptation_loss"]
    if floor is None or floor.low is None or loss.high is None or floor.low <= max(loss.high / 2, question.margin):
        return None
    return Advice(
        "other-encoder",
        f"Most of the loss is the floor (at least {floor.low:.3g} of {loss.value:.3g}): more labels do not lower it. "
        "Another encoder, layer or richer adapter may; what is label noise nothing lowers.",
        ("terms.minimal_adaptation_loss.low", "terms.adaptation_loss.high"),
        floor.grade,
    )


def _unknown(budget: Budget, question: Question) -> Advice | None:
    """What cannot be decided here, and what would."""
    del question
    floor = budget.terms.get("minimal_adaptation_loss")
    if floor is None or floor.value is not None:
        return None
    return Advice(
        "floor-not-identified", f"The floor is not identified: {floor.reason}.", ("sides.midpoint",), "statistical"
    )
