"""`limen predict sgd`: the theory calculator. No data, no training: a problem in, its limiting dynamics out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from limen.records.errors import BadInput, Problem
from limen.records.sgd_prediction import SgdPrediction, finite
from limen.theory.sgd import Law, Modes, discrete, epoch, langevin

LawName = Literal["discrete", "langevin", "epoch"]
LAWS = ("discrete", "langevin", "epoch")
STARTS = ("stationary", "fixed")
STEPS = (1, 10, 100, 1_000, 10_000)
COLUMNS = ("curvature", "noise", "offset", "weight")


def predict(
    theory: Literal["sgd"],
    curvature: ArrayLike | None = None,
    noise: ArrayLike | None = None,
    *,
    learning_rate: float,
    law: LawName = "discrete",
    steps: Sequence[int] = STEPS,
    start: Literal["stationary", "fixed"] = "stationary",
    steps_per_epoch: int | None = None,
    white: ArrayLike | None = None,
    allow_unstable: bool = False,
    table: str | Path | None = None,
    **settings: Any,
) -> SgdPrediction:
    """How far SGD moves weights, how wide they spread, how hot each mode is: by one of three laws, in the same units.

    `curvature` and `noise` (variance of one example's gradient along each mode) [L], or `table`, a .csv or .parquet
    with these columns and, if there are, `offset` and `weight`. Further settings are those of `limen.theory.sgd.Modes`:
    momentum, batch_size, weight_decay, decoupled, nesterov, dampening, examples, offset, weight. law="epoch" is that of
    reshuffled data and needs `steps_per_epoch`; `white` is the share of noise that is drawn afresh (None: that of the
    examples an epoch drops). law="langevin" dampens the first gradient, which torch.optim.SGD does not: with dampening
    its displacements from a fixed start begin too small (below (1 − dampening)² of the exact ones at step 1).

    >>> found = predict("sgd", [1.0], [1.0], learning_rate=0.1, momentum=0.9, batch_size=32, steps=[1, 100_000])
    >>> found.regime, [f"{value:.4g}" for value in found.displacement]
    (('underdamped',), ['0.001689', '0.03209'])

    Raises BadInput naming every setting out of range, and Unstable with the limit beyond the edge of stability.
    """
    problems = _contradictions(theory, law, start, steps_per_epoch, (curvature, noise, table))
    problems += _idle(law, start, white, settings, steps_per_epoch)
    if problems:
        raise BadInput(problems)
    columns = {"curvature": curvature, "noise": noise} if table is None else _modes_of(Path(table))
    unknown = sorted(set(settings) - set(Modes.__dataclass_fields__))
    if unknown or (twice := sorted(set(columns) & set(settings))):
        names = unknown or twice
        raise BadInput(Problem(names[0], "is no setting of a problem" if unknown else "is also a column of the table"))
    modes = Modes(learning_rate=learning_rate, **(columns | settings))
    if law == "epoch":
        assert steps_per_epoch is not None
        found: Law = epoch(modes, steps_per_epoch, white, allow_unstable)
    else:
        found = (discrete if law == "discrete" else langevin)(modes, allow_unstable)
    return _answers(found, np.asarray(steps), start)


def _answers(law: Law, steps: np.ndarray, start: Literal["stationary", "fixed"]) -> SgdPrediction:
    displacement = law.displacement(steps, start)
    at = np.maximum(steps.astype(np.int64), 1)
    return SgdPrediction(
        law=law.name,
        start=start,
        stable=not (law.regime == "unstable").any(),
        max_stable_learning_rate=law.max_stable_learning_rate,
        curvature=tuple(float(rho) for rho in law.problem.curvature),
        position_variance=finite(law.position_variance),
        velocity_variance=finite(law.velocity_variance),
        temperature=finite(law.temperature),
        regime=tuple(str(kind) for kind in law.regime),
        relaxation_steps=finite(law.relaxation_steps),
        steps=tuple(int(step) for step in steps),
        displacement=finite(displacement),
        exponent=finite(np.where(steps > 0, law.exponent(at, start), np.nan)),
        autocorrelation=tuple(finite(row) for row in law.position_autocorrelation(steps)),
        local_displacement=finite([law.local_displacement])[0],
        excess_loss=law.excess_loss,
    )


def _contradictions(
    theory: str, law: str, start: str, steps_per_epoch: int | None, modes: tuple[Any, Any, Any]
) -> list[Problem]:
    curvature, noise, table = modes
    problems = []
    if theory != "sgd":
        problems.append(Problem("theory", f"expected sgd, got {theory!r}"))
    if law not in LAWS:
        problems.append(Problem("law", f"expected one of {', '.join(LAWS)}, got {law!r}"))
    if start not in STARTS:
        problems.append(Problem("start", f"expected stationary or fixed, got {start!r}"))
    if law == "epoch" and steps_per_epoch is None:
        what = "the epoch law needs the number of batches in an epoch"
        problems.append(Problem("steps_per_epoch", what, fix="examples divided by the batch size"))
    if law in ("discrete", "langevin") and steps_per_epoch is not None:
        what = f"the {law} law has independent batches; only law epoch knows epochs"
        problems.append(Problem("steps_per_epoch", what, fix="--law epoch (law='epoch'), or leave it out"))
    if table is not None and (curvature is not None or noise is not None):
        problems.append(Problem("table", "expected modes from the table or from curvature and noise, got both"))
    if table is None and (curvature is None or noise is None):
        absent = " and ".join(name for name, got in (("curvature", curvature), ("noise", noise)) if got is None)
        problems.append(
            Problem("curvature" if curvature is None else "noise", f"expected {absent} of each mode, or a table")
        )
    return problems


def _idle(law: str, start: str, white: Any, settings: dict[str, Any], steps_per_epoch: int | None) -> list[Problem]:
    """Settings that would change nothing, and an epoch longer than the data."""
    problems = []
    if settings.get("offset") is not None and start == "stationary":
        fix = "--start fixed (start='fixed'), or leave it out"
        problems.append(Problem("offset", "a stationary start has no offset", fix=fix))
    if white is not None and law != "epoch":
        what = f"the {law} law has independent batches: all its noise is white"
        problems.append(Problem("white", what, fix="--law epoch (law='epoch'), or leave it out"))
    n, size = settings.get("examples"), settings.get("batch_size", 1)
    if law == "epoch" and isinstance(n, int) and isinstance(size, int) and (steps_per_epoch or 0) * size > n:
        what = f"an epoch of {steps_per_epoch} batches of {size} has more than the {n} examples"
        problems.append(Problem("steps_per_epoch", what, fix=f"at most {n // max(size, 1)}"))
    return problems


def _modes_of(path: Path) -> dict[str, ArrayLike]:
    from limen.data.tables import describe, read_table

    present = describe(path).columns
    names = [name for name in COLUMNS if name in present or name in ("curvature", "noise")]
    columns = read_table(path, names).columns
    wrong = [name for name in names if np.asarray(columns[name]).dtype.kind not in "iuf"]
    if wrong:
        raise BadInput([Problem(f"{path}: {name}", "expected numbers, one per mode") for name in wrong])
    return {name: np.asarray(columns[name], dtype=np.float64) for name in names}
