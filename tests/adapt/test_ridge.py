"""The closed-form path against real refits."""

from __future__ import annotations

import numpy as np
import pytest

from limen.adapt.ball import Rows, minimise
from limen.adapt.losses import one_hot
from limen.adapt.ridge import ridge_path


def problem(n=25, p=4, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return Rows(rng.normal(size=(n, p)), rng.integers(0, classes, n), classes, "squared")


@pytest.mark.parametrize(("n", "p"), [(25, 4), (8, 20)])
def test_leave_one_out_equals_n_real_refits(n, p):
    rows, penalties = problem(n, p), np.array([1e-3, 0.1, 3.0])
    path = ridge_path(rows, penalties)
    targets = one_hot(rows.labels, 3)
    for index, penalty in enumerate(penalties):
        losses, wrong = [], []
        for out in range(n):
            kept = np.arange(n) != out
            x, y = rows.features[kept], targets[kept]
            # the penalty per row, n·λ, is the same with a row less
            weights = np.linalg.solve(x.T @ x + n * penalty * np.eye(p), x.T @ y)
            z = rows.features[out] @ weights
            losses.append(((z - targets[out]) ** 2).sum())
            wrong.append(z.argmax() != rows.labels[out])
        assert path.leave_one_out_loss[index] == pytest.approx(np.mean(losses), rel=1e-9)
        assert path.leave_one_out_error[index] == pytest.approx(np.mean(wrong))


def test_training_loss_and_norm_are_those_of_the_solution():
    rows, penalties = problem(), np.array([0.05, 0.7])
    path = ridge_path(rows, penalties)
    for index, penalty in enumerate(penalties):
        gram = rows.features.T @ rows.features / 25 + penalty * np.eye(4)
        weights = np.linalg.solve(gram, rows.features.T @ one_hot(rows.labels, 3) / 25)
        assert path.norms[index] == pytest.approx(np.linalg.norm(weights), rel=1e-10)
        loss = ((rows.features @ weights - one_hot(rows.labels, 3)) ** 2).sum(axis=1).mean()
        assert path.training_loss[index] == pytest.approx(loss, rel=1e-10)
        # the same adapter is the minimiser over the ball of its norm
        assert minimise(rows, float(path.norms[index])).loss == pytest.approx(loss, abs=1e-10)


def test_norms_fall_and_training_loss_rises_with_the_penalty():
    path = ridge_path(problem(), np.geomspace(1e-6, 1e4, 40))
    assert (np.diff(path.norms) < 0).all()
    assert (np.diff(path.training_loss) > 0).all()
    assert (path.leave_one_out_loss > path.training_loss).all()


@pytest.mark.parametrize("penalty", [0.0, -1.0])
def test_a_penalty_that_is_none_is_refused(penalty):
    with pytest.raises(ValueError, match="penalties must be positive"):
        ridge_path(problem(), np.array([penalty, 1.0]))
