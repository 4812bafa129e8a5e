"""limen compare: groups of any file are groups of all, so that the order of the files does not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import limen
from limen.arrays.random import stream
from limen.records.comparison import Comparison
from limen.records.task import FitSpec

SPEC = FitSpec(labels=("all",), seeds=1, radius=3.0, rich_head=False)
N = 600


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two encoders of the same rows; groups of four rows are written to `grouped` and `other` only."""
    at, rng = tmp_path_factory.mktemp("compare"), stream("test", "compare")
    group = np.repeat(np.arange(N // 4), 4)
    y = rng.integers(0, 3, N)
    centre = np.eye(3)[y] @ rng.normal(size=(3, 6)) + 0.7 * rng.normal(size=(N // 4, 6))[group]
    views = [centre + rng.normal(size=(N, 6)) * noise for noise in (1.0, 1.3)]
    ids = np.arange(N)
    np.savez(at / "plain.npz", X=views[0], y=y, id=ids)
    np.savez(at / "grouped.npz", X=views[1], y=y, id=ids, group=group)
    np.savez(at / "other.npz", X=views[1], y=y, id=ids, group=np.roll(group, 2))
    back = ids[::-1]
    np.savez(at / "reversed.npz", X=views[1][back], y=y[back], id=back, group=group[back])
    return at


def pair(*files: Path, **switches: str) -> Comparison:
    (found,) = limen.compare(files, spec=SPEC, **switches).comparisons
    return found


def test_the_verdict_does_not_depend_on_the_order_of_the_files(folder: Path) -> None:
    forth, back = (pair(folder / f"{a}.npz", folder / f"{b}.npz") for a, b in
                   (("plain", "grouped"), ("grouped", "plain")))  # fmt: skip
    assert forth.separable == back.separable
    assert forth.p_holm == pytest.approx(back.p_holm)
    for name in ("error_difference", "loss_difference", "floor_difference"):
        one, other = getattr(forth, name), getattr(back, name)
        assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low)), name
        assert one.n == other.n < N
        assert "independent groups" in one.assumptions


def test_groups_of_one_file_are_the_units_of_every_budget(folder: Path) -> None:
    report = limen.compare([folder / "plain.npz", folder / "grouped.npz"], spec=SPEC)
    for budget in report.budgets:
        assert budget.terms["error"].grade == "statistical"
        assert budget.terms["adaptation_loss"].n == budget.n_holdout / 4


def test_groups_that_differ_are_joined_where_they_meet(folder: Path) -> None:
    """Groups of rows 0–3, 4–7, … and of rows 2–5, 6–9, …: all rows are one block, and one block cannot be split."""
    with pytest.raises(limen.LimenError, match=r"one group|independent units|groups"):
        pair(folder / "grouped.npz", folder / "other.npz")


def test_rows_aligned_by_id_keep_their_groups(folder: Path) -> None:
    straight = pair(folder / "plain.npz", folder / "grouped.npz", id="id")
    aligned = pair(folder / "plain.npz", folder / "reversed.npz", id="id")
    assert (aligned.loss_difference.low, aligned.loss_difference.n) == pytest.approx(
        (straight.loss_difference.low, straight.loss_difference.n)
    )
