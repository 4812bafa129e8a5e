"""The shortlist of penalties: the map between the losses, its scale, and what it costs against a wide grid."""

from __future__ import annotations

import numpy as np
import pytest

from limen.adapt.ball import Rows
from limen.adapt.choose_penalties import GRID, STEPS, choose_penalties
from limen.adapt.leave_one_out import leave_one_out
from limen.adapt.losses import per_example_loss
from limen.adapt.probe_path import probe_path
from limen.adapt.ridge import ridge_grid, ridge_weights
from limen.records.errors import LimenError


def draw(n, d=20, classes=3, signal=3.0, seed=0):
    """A power-law spectrum, x_j ~ N(0, 1/j), and labels from a linear rule."""
    rng = np.random.default_rng(seed)
    sd = np.arange(1, d + 1.0) ** -0.5
    w = rng.normal(size=(d, classes)) * signal / np.linalg.norm(sd)
    x = rng.normal(size=(n, d)) * sd
    return x, (x @ w + rng.gumbel(size=(n, classes))).argmax(axis=1)


def test_near_zero_the_two_probes_are_one_with_lambda_over_k():
    # W_log = K·W_sq at λ = λ_sq/K to first order in 1/λ: strong penalties
    x, y = draw(60)
    counts = np.bincount(y)
    x, y = x[np.argsort(y, kind="stable")], np.sort(y)  # equal classes: the uniform probe is where both start
    kept = np.concatenate([np.arange(counts.min()) + counts[:c].sum() for c in range(3)])
    x, y = x[kept], y[kept]
    features = np.column_stack([x, np.ones(len(x))])
    for strength, tolerance in ((1e3, 1e-3), (1e2, 1e-2)):
        ridge = ridge_weights(Rows(features, y, 3, "squared"), strength)
        ridge -= ridge.mean(axis=1, keepdims=True)
        probe = probe_path(x, y, penalties=[strength / 3], tolerance=1e-14)[0]
        weights = np.column_stack([probe.coef_, probe.intercept_]).T
        assert np.linalg.norm(weights - 3 * ridge) < tolerance * np.linalg.norm(weights)


def test_the_list_follows_the_ridge_optimum_and_its_training_loss():
    x, y = draw(150)
    a = np.random.default_rng(1).uniform(0.5, 2, 150)
    found = choose_penalties(x, y, sample_weight=a)
    total = 1 + np.average((x**2).sum(axis=1), weights=a)
    grid, features = GRID * total, np.column_stack([x, np.full(150, 10 * total**0.5)])
    table = ridge_grid(Rows(features, y, 3, "squared"), [150], grid, a)
    best = table.leave_one_out_loss[0].argmin()
    assert found.ridge_penalty == pytest.approx(grid[best])
    np.testing.assert_allclose(found.penalties, grid[best] * table.training_loss[0, best] / 2 * STEPS)
    assert not found.at_edge
    assert (np.diff(found.penalties) < 0).all()


def test_the_free_intercept_is_free_and_changes_the_list():
    x, y = draw(150)
    y[:100] = 0  # unequal classes
    far = choose_penalties(x + 50.0, y, intercept="free")
    near = choose_penalties(x, y, intercept="free")
    np.testing.assert_allclose(far.penalties, near.penalties, rtol=1e-6)
    assert abs(np.log(choose_penalties(x + 50.0, y).penalties[0] / far.penalties[0])) > 0.1


def test_labels_without_signal_get_a_strong_penalty_and_features_without_size_a_finite_one():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(400, 30))
    noise = choose_penalties(x, np.arange(400) % 2)
    signal = choose_penalties(x + np.arange(400)[:, None] % 2, np.arange(400) % 2)
    assert noise.ridge_penalty > 5.0, "several times each eigenvalue, which is 1"
    assert noise.penalties[3] > 100 * signal.penalties[3]
    constant = choose_penalties(np.zeros((6, 2)), [0, 1, 0, 1, 0, 1])
    assert np.isfinite(constant.penalties).all()
    assert constant.penalties[-1] > 0


def test_the_choice_costs_little_against_the_best_of_a_wide_grid():
    regrets = []
    for seed in range(3):
        x, y = draw(3150, seed=seed)
        rows, held = slice(0, 150), slice(150, None)
        listed = choose_penalties(x[rows], y[rows]).penalties
        chosen = leave_one_out(x[rows], y[rows], listed, check_rows=5).best
        wide = np.append(np.geomspace(1e-6, 10, 22), chosen)
        losses = [
            per_example_loss(x[held] @ probe.coef_.T + probe.intercept_, y[held], "log").mean()
            for probe in probe_path(x[rows], y[rows], penalties=wide.tolist())
        ]
        regrets.append(losses[-1] - min(losses))
        assert max(losses) - min(losses) > 0.2, "a wrong penalty is dear"
    assert max(regrets) < 0.03


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": [[0.0], [np.inf]]}, "expected finite numbers"),
        ({"y": [1, 1]}, "expected at least two classes"),
        ({"sample_weight": [1.0]}, "sample_weight: error"),
        ({"intercept": "no"}, 'expected "penalized" or "free"'),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"X": [[0.0], [1.0]], "y": [0, 1]} | change
    with pytest.raises(LimenError, match=message):
        choose_penalties(**given)
