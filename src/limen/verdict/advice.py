"""What to do next, and why: each rule reads terms of one budget and may add one piece of advice.

Rules (reference: docs/advice.md). A rule acts on the end of an interval that must hold, never on a point; its grade is
that of the side that decides. Without a target the rules only rank where the loss comes from.
"""

from __future__ import annotations

from limen.records.budget import Advice, Budget
from limen.records.estimate import Estimate
from limen.records.task import Question
from limen.verdict.target import foretold, reach_target


def advise(budget: Budget, question: Question) -> tuple[Advice, ...]:
    """Advice in order of urgency: what cannot work, what helps most, what is not worth doing, what is unknown."""
    urgent = (_stop_labelling, reach_target, _label_more, _larger_radius, _richer_adapter, _shift)
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


def _label_more(budget: Budget, question: Question) -> Advice | None:
    """Too few labels is the largest reducible term, and surely worth the margin."""
    term = budget.terms.get("estimation_gap")
    if term is None or term.low is None or term.value is None or term.low <= question.margin:
        return _label_more_by_law(budget, question)
    said, because = f"too few labels cost {term.text()[:-2]} of the loss", ("terms.estimation_gap.low",)
    if rivals := _rivals(budget, term.value):
        return Advice("label-more", f"Label more: {said}; {rivals} may cost as much.", because, "statistical", term)
    gain = _doubling_gain(budget)
    text = f"Label more: {said}, and no more than that can be gained"
    if gain is not None:
        text += f"; twice the labels would buy about {gain.value:.2g}"
    return Advice("label-more", text + ".", because, "statistical", gain or term)


def _label_more_by_law(budget: Budget, question: Question) -> Advice | None:
    """The estimation gap decides nothing; a law that foretold the largest n falls surely by more than the margin."""
    law, loss, cap = budget.extrapolation, budget.terms["adaptation_loss"], _most_to_gain(budget)
    if law is None or law.asymptote.value is None or law.asymptote.high is None or loss.low is None:
        return None
    fall, gain = loss.low - law.asymptote.high, _doubling_gain(budget)
    if gain is None or fall <= question.margin or (cap is not None and cap <= question.margin):
        return None
    if loss.value is None or not foretold(law, budget.confidence):
        return None
    text = (
        f"Label more: the fitted law, which its back-test does not reject, falls from {loss.value:.3g} to "
        f"{law.asymptote.text()[:-2]}; twice the labels would buy about {gain.value:.2g}"
    )
    if rivals := _rivals(budget, loss.value - law.asymptote.value):
        text += f"; {rivals} may cost as much"
    because = ("extrapolation.asymptote.high", "terms.adaptation_loss.low")
    return Advice("label-more", text + ".", because, "extrapolated", gain)


def _rivals(budget: Budget, cost: float) -> str:
    """Names of what may cost as much as too few labels: a shift by its high end, the solver by its certificate."""
    shifts = [p["shift_gap"].high for p in budget.shift.values() if p["shift_gap"].high is not None]
    solver = budget.terms.get("optimization_gap")
    largest = {"a shift": max(shifts, default=0.0), "the solver": (solver.value if solver else None) or 0.0}
    return " or ".join(name for name, other in largest.items() if other >= cost)


def _most_to_gain(budget: Budget) -> float | None:
    """The high end of the estimation gap: more labels gain no more than that."""
    term = budget.terms.get("estimation_gap")
    return None if term is None else term.high


def _doubling_gain(budget: Budget) -> Estimate | None:
    """Fall of the fitted law of the loss from n to 2n labels; None where it exceeds what there is to gain."""
    law = budget.extrapolation.law if budget.extrapolation else {}
    if not law or budget.extrapolation is None or budget.extrapolation.asymptote.grade != "extrapolated":
        return None
    if law.get("error"):  # the law of the error counts errors, not loss
        return None

    def loss(n: float) -> float:
        step = n ** -law["exponent"]
        return float(law["asymptote"] + law["amplitude"] * step + law["curvature"] * step**2)

    fall, cap = loss(budget.n_train) - loss(2 * budget.n_train), _most_to_gain(budget)
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
    richer = (gap.method or "").partition(" against ")[2]
    richer = richer if richer.startswith("the encoder") else "a kernel head on the same features"
    return Advice(
        "richer-adapter",
        f"Use a richer adapter: {richer} loses at least {gap.low:.3g} less than any linear probe with "
        f"‖W‖ ≤ {budget.radius:g} could.",
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
