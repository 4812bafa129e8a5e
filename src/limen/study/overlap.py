"""Which rows of a task its encoder was pretrained on, and what that takes from the budget.

Certified and statistical statements about a class of adapters need rows that are independent of the class, so of the
encoder beneath it. Rows that the encoder was pretrained on, even without their labels, are not:

    held-out rows seen                 losses, errors, gaps, slices and every side of the floor lose their guarantee
    fit rows seen, held-out rows not   losses and errors keep it; the sides of the floor, which rest on both, lose it

What loses it is graded statistical at best and names the assumption. Rows are known by the content hash of their file
(and by name for the digits that scikit-learn bundles); single rows in different files by their normal form, as the
features stage counted them (`limen.study.duplicates`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from limen.records.budget import Advice, Budget, PopulationCheck
from limen.records.cell import Cell
from limen.records.comparison import Comparison
from limen.records.estimate import Estimate
from limen.records.stage import StageRecord
from limen.study.files import DIGITS

POOL_TERMS = ("minimal_adaptation_loss", "optimism", "estimation_gap", "class_gap")
"""Terms that rest on fit and held-out rows together."""
HOLDOUT_TERMS = ("adaptation_loss", "generalization_gap", "error", "balanced_error")


@dataclass(frozen=True, slots=True)
class Overlap:
    """Populations of one task whose files hold rows of the pretraining data of its encoder."""

    trained: tuple[str, ...] = ()
    """Populations with rows that the encoder was trained on."""
    scored: tuple[str, ...] = ()
    """Populations with inputs behind the held-out pretraining loss."""
    holdout: str = "train"
    """The population that the held-out rows come from: `test` where it is the same population, else `train`."""
    share: float = 1.0
    """Share of the pretraining file that was trained on."""
    step: int = 0
    """Updates of the encoder; at 0 only the normalisation of its input comes from the pretraining data."""
    labels: bool = False
    """Whether it was trained on their labels too."""
    near: tuple[tuple[str, int, int], ...] = ()
    """Of the populations in other files: name, rows with a near-duplicate among the pretraining rows, rows."""

    @property
    def holdout_seen(self) -> bool:
        """Whether held-out rows are among those that the encoder was trained on."""
        return self.holdout in self.trained

    @property
    def pool_seen(self) -> bool:
        """Whether fit or held-out rows are."""
        return self.holdout_seen or "train" in self.trained

    @property
    def pool_scored(self) -> bool:
        """Whether fit or held-out rows are among the inputs of the held-out pretraining loss."""
        return bool({"train", self.holdout} & set(self.scored))

    def assumption(self, rows: str = "these rows", population: str = "") -> str:
        """What an affected estimate of a population (default: the held-out rows') assumes away.

        >>> Overlap(("train",), step=960).assumption()
        'the encoder was pretrained on these rows, without their labels'
        >>> Overlap(("train",), step=960, near=(("train", 3, 800),)).assumption()
        "the encoder was pretrained on near-duplicates of 3 of the 800 rows of 'train', without their labels"
        """
        for name, seen, count in self.near:
            if name == (population or self.holdout):
                rows = f"near-duplicates of {seen:,} of the {count:,} rows of {name!r}"
        did = "was pretrained on" if self.step else "took the normalisation of its input from"
        labels = "with" if self.labels and self.step else "without"
        return f"the encoder {did} {rows}, {labels} their labels"


def overlap_of(cells: Mapping[str, Cell], fit: str, record: StageRecord | None = None) -> Overlap:
    """The overlap behind the fit cell of key `fit`; empty for an encoder that no cell pretrained.

    Single rows in other files are known from the fit's record.
    """
    cell = cells[fit]
    features = {name: cells[key] for name, key in cell.needs.items() if cells[key].stage == "features"}
    upstream = {cells[c.needs["encoder"]].key for c in features.values() if "encoder" in c.needs}
    holdout = "test" if cell.spec["same_population"] else "train"
    if not upstream:
        return Overlap(holdout=holdout)
    run = cells[upstream.pop()]
    labels = run.identity.get("objective") == "supervised" or run.identity.get("pairs") == "label"
    heldout, step = run.identity["heldout"], features["train"].identity["encoder"]["step"] + _before(cells, run)
    whole = _sharing(features, run.identity["data"], run.spec["data"])
    counted = {} if record is None else record.data.get("seen", {})
    near = tuple((name, *counted[name]) for name in features if name in counted and name not in whole)
    trained = tuple(name for name in features if name in whole or name in counted)
    if isinstance(heldout, str):  # a file of its own
        return Overlap(trained, _sharing(features, heldout, run.spec["heldout"]), holdout, 1.0, step, labels, near)
    return Overlap(trained, whole, holdout, 1 - heldout, step, labels, near)


def _before(cells: Mapping[str, Cell], run: Cell) -> int:
    """Updates behind the weights that a run begins with."""
    if "start" not in run.needs:
        return 0
    return int(run.identity["start"]["step"]) + _before(cells, cells[run.needs["start"]])


def _sharing(features: Mapping[str, Cell], content: str, name: str) -> tuple[str, ...]:
    """Populations whose file has this content, or is a part or the whole of the same bundled digits."""
    return tuple(
        population
        for population, cell in features.items()
        if cell.identity["data"] == content or _bundled(cell.spec["data"], name)
    )


def _bundled(a: str, b: str) -> bool:
    """Whether both are bundled digits of which one holds the other.

    >>> _bundled("digits", "digits:test"), _bundled("digits:train", "digits:test")
    (True, False)
    """
    return a in DIGITS and b in DIGITS and (a == b or "digits" in (a, b))


def note_overlap(budget: Budget, overlap: Overlap) -> Budget:
    """The budget with the check `pretraining-overlap`, and without guarantees that the overlap takes away.

    Pure; a budget without overlap is returned as it is.
    """
    if not overlap.trained:
        return budget
    whole = overlap.holdout_seen
    rows = overlap.assumption() if whole else overlap.assumption("the fit rows", "train")
    lost = {*(POOL_TERMS if overlap.pool_seen else ()), *(HOLDOUT_TERMS if whole else ())}
    sides = budget.sides
    if sides is not None and overlap.pool_seen:
        sides = replace(
            sides,
            certified=_weaker(sides.certified, rows),
            statistical=_weaker(sides.statistical, rows),
            midpoint=_weaker(sides.midpoint, rows),
        )
    noted = replace(
        budget,
        terms={name: _weaker(term, rows) if name in lost else term for name, term in budget.terms.items()},
        sides=sides,
        shift={name: _shift(name, values, overlap) for name, values in budget.shift.items()},
        advice=tuple(_advice(advice, lost, overlap) for advice in budget.advice),
        population_checks=(*budget.population_checks, _check(overlap)),
    )
    return _holdout_parts(noted, rows) if whole else noted


def note_comparison(comparison: Comparison, a: Overlap, b: Overlap) -> Comparison:
    """The comparison with the same assumption where one of its encoders was pretrained on the rows compared."""
    seen = next((o for o in (a, b) if o.holdout_seen), None) or next((o for o in (a, b) if o.pool_seen), None)
    if seen is None:
        return comparison
    rows = seen.assumption() if seen.holdout_seen else seen.assumption("the fit rows", "train")
    said = rows.replace("the encoder", "an encoder", 1)
    noted = replace(comparison, floor_difference=_weaker(comparison.floor_difference, said))
    if not seen.holdout_seen:
        return noted
    return replace(
        noted,
        error_difference=_weaker(comparison.error_difference, said),
        loss_difference=_weaker(comparison.loss_difference, said),
    )


def _weaker(estimate: Estimate, assumption: str) -> Estimate:
    """With the assumption, and statistical where it was certified."""
    grade = "statistical" if estimate.grade == "certified" else estimate.grade
    return estimate.but(grade=grade, assumptions=(*estimate.assumptions, assumption))


def _shift(name: str, values: Mapping[str, Estimate], overlap: Overlap) -> Mapping[str, Estimate]:
    """Every number of a population that was seen; of others the gap alone, which rests on the held-out rows too."""
    if name in overlap.trained:
        return {key: _weaker(value, overlap.assumption(population=name)) for key, value in values.items()}
    said = overlap.assumption("the held-out rows")
    gap = overlap.holdout_seen
    return {key: _weaker(value, said) if gap and key == "shift_gap" else value for key, value in values.items()}


def _advice(advice: Advice, lost: set[str], overlap: Overlap) -> Advice:
    """Advice is as sure as what it rests on."""
    floor = overlap.pool_seen and any(path.startswith(("sides", "floor_path")) for path in advice.because)
    rests = floor or any(path.split(".")[1] in lost for path in advice.because if path.startswith("terms."))
    return replace(advice, grade="statistical") if rests and advice.grade == "certified" else advice


def _holdout_parts(budget: Budget, rows: str) -> Budget:
    """Slices, the control that uses the encoder, and the fitted law: all of held-out rows."""
    law = budget.extrapolation
    if law is not None:
        law = replace(
            law,
            asymptote=_weaker(law.asymptote, rows),
            exponent=_weaker(law.exponent, rows),
            labels_needed=_weaker(law.labels_needed, rows),
        )
    return replace(
        budget,
        slices={
            column: {
                value: replace(
                    part, adaptation_loss=_weaker(part.adaptation_loss, rows), error=_weaker(part.error, rows)
                )
                for value, part in values.items()
            }
            for column, values in budget.slices.items()
        },
        controls={
            name: values if name == "prior" else {key: _weaker(value, rows) for key, value in values.items()}
            for name, values in budget.controls.items()
        },
        extrapolation=law,
    )


def _check(overlap: Overlap) -> PopulationCheck:
    near = {name for name, *_ in overlap.near}
    whole = [name for name in overlap.trained if name not in near]
    parts = [f"rows of {' and '.join(map(repr, whole))}"] if whole else []
    parts += [f"near-duplicates of {seen:,} of the {count:,} rows of {name!r}" for name, seen, count in overlap.near]
    said = replace(overlap, near=()).assumption(" and ".join(parts))
    numbers: dict[str, float | int | str | None] = {
        "populations": ", ".join(overlap.trained),
        "share": overlap.share,
        "step": overlap.step,
    }
    numbers |= {f"near_duplicates.{name}": seen for name, seen, _ in overlap.near}
    if overlap.holdout_seen:
        some = "some of " if overlap.holdout in near else ""
        said += (
            f"; {some}the held-out rows come from there, so they are not independent of it and nothing that rests on "
            "them is certified: pretrain on other rows, or hold out a test file that pretraining has not seen"
        )
        return PopulationCheck("pretraining-overlap", said, "rejected", numbers)
    if overlap.pool_seen:
        said += (
            f"; the held-out rows come from {overlap.holdout!r}, which it has not seen: losses and errors stand, but "
            "the sides of the floor rest on the fit rows too and are not certified"
        )
    else:
        said += "; fit and held-out rows are others, so only the numbers of that population are not certified"
    return PopulationCheck("pretraining-overlap", said, "noted", numbers)
