"""Label signal outside the top of the spectrum: exact graphs, the bound on random ones, features, coverage, reality."""

from __future__ import annotations

import numpy as np
import pytest

from limen.arrays.random import stream
from limen.measure.structural_shift import feature_structure, graph_shift
from limen.records.errors import BadInput


def random_graph(key, size=8):
    rng = stream("graphs", key)
    w = rng.exponential(size=(size, size)) * (rng.uniform(size=(size, size)) < 0.6) + 1e-3
    return (w + w.T) / (w + w.T).sum(), rng.integers(0, 3, size)


def test_the_share_is_the_residual_of_weighted_least_squares_on_the_top_eigenvectors():
    w, y = random_graph(1)
    margin = w.sum(axis=1)
    vectors = np.linalg.eigh(w / np.sqrt(np.outer(margin, margin)))[1][:, ::-1]
    encoded = np.eye(y.max() + 1)[y]
    for k, share in zip((1, 3, 8), graph_shift(w, y, [1, 3, 8]).outside, strict=True):
        design = vectors[:, :k] / np.sqrt(margin)[:, None]  # the first is the constant
        fitted = design @ np.linalg.lstsq(np.sqrt(margin)[:, None] * design, np.sqrt(margin)[:, None] * encoded)[0]
        left = margin @ ((encoded - fitted) ** 2).sum(axis=1)
        assert share.value == pytest.approx(
            left / (margin @ ((encoded - margin @ encoded) ** 2).sum(axis=1)), abs=1e-10
        )
        assert share.grade == "exact"


def test_the_bound_holds_on_random_graphs_and_the_share_falls_with_k():
    for key in range(200):
        w, y = random_graph(key)
        if len(np.unique(y)) < 2:
            continue
        found = graph_shift(w, y, range(1, 9))
        shares = np.array([e.value for e in found.outside])
        assert (np.diff(shares) <= 1e-12).all()
        assert (shares[0], shares[-1]) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-12))
        for share, bound in zip(shares, found.bound, strict=True):
            assert bound is None or share <= bound + 1e-9
        assert found.disagreement == pytest.approx(w[y[:, None] != y[None, :]].sum())


def test_a_split_within_a_degenerate_eigenvalue_is_named():
    w = np.kron(np.eye(3), np.ones((2, 2))) / 12
    found = graph_shift(w, np.array([0, 0, 1, 1, 2, 2]), [2, 3])
    assert "equal" in found.outside[0].assumptions[0]
    assert found.outside[1].value == pytest.approx(0.0, abs=1e-12)
    assert found.bound[0] is None  # three components: λ_3 = 0
    assert found.outside[1].assumptions == ()


def population(size=4000):
    rng = stream("structure population")
    x = rng.standard_normal((size, 6)) * np.array([6, 5, 4, 3, 2, 1.0])
    scores = x / np.array([6, 5, 4, 3, 2, 1.0]) @ np.array([[1.0, 0], [0, 0], [0, 1], [0, 0], [0.5, 0], [0, 0.5]])
    return x, np.hstack([scores, np.zeros((size, 1))]).argmax(axis=1)


def exact_share(x, y, k):
    encoded = np.eye(3)[y]
    design = np.hstack([np.ones((len(x), 1)), x[:, :k]])
    left = encoded - design @ np.linalg.lstsq(design, encoded)[0]
    return (left**2).sum() / ((encoded - encoded.mean(axis=0)) ** 2).sum()


@pytest.mark.parametrize("k", [1, 3, 6])
def test_coverage_on_a_finite_population(k):
    x, y = population()
    base = np.diag([6, 5, 4, 3, 2, 1.0])
    base = np.vstack([base, -base])  # its principal directions are the axes
    truth, inside, values = exact_share(x, y, k), [], []
    for key in range(400):
        rows = stream("structure rows", key).choice(len(x), 80)
        found = feature_structure(base, (x[rows], y[rows]), [k]).outside[0]
        inside.append(found.low <= truth <= found.high)
        values.append(found.value)
    assert 0.92 <= np.mean(inside) <= 0.98
    assert np.mean(values) == pytest.approx(truth, abs=0.012)


def test_the_directions_are_those_of_pretraining_and_not_of_the_task():
    x, y = population(600)
    same, other = (feature_structure(base, (x, y), [1]).outside[0].value for base in (x, x[:, ::-1] * 10.0))
    assert same < other - 0.05


def test_more_directions_than_rows_and_misuse():
    x, y = population(600)
    assert feature_structure(x, (x[:6], np.array([0, 1, 2, 0, 1, 2])), [5]).outside[0].state == "not_identified"
    with pytest.raises(BadInput, match="from 1 to 6"):
        feature_structure(x, (x, y), [7])
    with pytest.raises(BadInput, match="2 classes"):
        feature_structure(x, (x, np.zeros(600, dtype=int)), [1])
    with pytest.raises(BadInput, match="add up to 1"):
        graph_shift(np.ones((2, 2)), np.array([0, 1]), [1])


def test_banking77_labels_need_directions_far_down_the_spectrum(shared_data):
    with np.load(shared_data / "banking77" / "minilm-test.npz") as table:
        chosen = np.isin(table["y"], np.unique(table["y"])[:20])
        x, y = table["X"][chosen].astype(np.float64), np.unique(table["y"][chosen], return_inverse=True)[1]
    found = feature_structure(x, (x, y), [2, 20, 80]).outside
    assert found[0].low > 0.8
    assert found[0].low > found[1].high > found[1].low > found[2].high
