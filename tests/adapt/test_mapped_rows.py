"""Rows in blocks are the held rows: products, selections, order; squared-loss fits from moments are the direct ones."""

from __future__ import annotations

import numpy as np
import pytest

from limen.adapt import mapped_rows as module
from limen.adapt.ball import Rows, certify, minimise, minimise_subsets
from limen.adapt.feature_map import design_map
from limen.adapt.fit import fit_task
from limen.adapt.mapped_rows import MappedRows, feature_blocks, joined, mapped_rows
from limen.adapt.moments import part_moments, subset_moments
from limen.adapt.prepare import prepare
from limen.adapt.squared_fits import nested_fits, radius_fits, subset_fits
from limen.data.worlds.gaussian_classes import gaussian_classes
from limen.records.task import FitSpec, Task

RNG = np.random.default_rng(3)
RAW = RNG.normal(size=(20_000, 5)).astype(np.float32) * RNG.lognormal(size=(20_000, 1)).astype(np.float32)
PHI = design_map(RAW[:200])
CHOSEN = RNG.permutation(20_000)[:17_000]
LABELS = RNG.integers(0, 3, 17_000)


@pytest.fixture
def lazy(monkeypatch, tmp_path):
    """φ of the chosen rows of a mapped file, in blocks; whatever is taken of it is held only below 100 kB."""
    np.save(tmp_path / "x.npy", RAW)
    monkeypatch.setattr(module, "HELD_BYTES", 100_000)
    found = mapped_rows(PHI, np.load(tmp_path / "x.npy", mmap_mode="r"), CHOSEN)
    assert isinstance(found, MappedRows)
    return found


HELD = mapped_rows(PHI, RAW, CHOSEN)


def test_products_and_selections_are_those_of_the_held_matrix(lazy):
    assert isinstance(HELD, np.ndarray)
    weights, residual = RNG.normal(size=(6, 4)), RNG.normal(size=(17_000, 4))
    assert lazy.shape == HELD.shape
    assert lazy.size == HELD.size
    assert np.array_equal(np.asarray(lazy), HELD)
    assert np.allclose(lazy @ weights, HELD @ weights, atol=1e-12)
    assert np.allclose(lazy.T @ residual, HELD.T @ residual, atol=1e-9)
    assert np.allclose(lazy.T @ lazy, HELD.T @ HELD, rtol=1e-12)
    assert np.array_equal(lazy[10:14], HELD[10:14])
    assert np.array_equal(lazy[:, :-1], HELD[:, :-1])
    few, many = RNG.permutation(17_000)[:50], LABELS != 1
    assert np.array_equal(lazy[few], HELD[few])
    assert isinstance(lazy[few], np.ndarray)
    assert isinstance(lazy[many], MappedRows)
    assert np.array_equal(np.asarray(lazy[many]), HELD[many])
    single = lazy.astype(np.float32) @ weights.astype(np.float32)
    assert single.dtype == np.float32
    assert np.allclose(single, HELD @ weights, atol=1e-4)


def test_every_row_goes_by_once_and_in_the_order_of_the_file(lazy):
    positions = np.concatenate([at for at, _ in feature_blocks(lazy)])
    assert np.array_equal(np.sort(positions), np.arange(17_000))
    assert (np.diff(CHOSEN[positions]) > 0).all()


def test_what_would_hold_everything_unasked_is_refused(lazy):
    with pytest.raises(TypeError):
        lazy * 2.0
    with pytest.raises(TypeError):
        np.exp(lazy)


@pytest.mark.parametrize("second", ["blocks", "held", "mapped twice"])
def test_joined_rows_are_one_part_after_the_other(lazy, second):
    other = {"blocks": lazy[LABELS == 1], "held": HELD[:40], "mapped twice": joined([lazy, HELD[:3]])}[second]
    both = joined([lazy, other])
    assert isinstance(both, MappedRows)
    assert np.array_equal(np.asarray(both), np.concatenate([HELD, np.asarray(other)]))
    assert np.array_equal(both[16_998:17_003], np.concatenate([HELD[-2:], np.asarray(other)[:3]]))


def test_a_certificate_and_a_fit_do_not_depend_on_how_rows_are_held(lazy):
    for loss in ("log", "squared"):
        there, here = (Rows(x, LABELS, 3, loss) for x in (lazy, HELD))
        a, b = minimise(there, 2.0), minimise(here, 2.0)
        assert a.loss == pytest.approx(b.loss, abs=1e-6)
        assert a.gap <= 1e-4
        again, direct = certify(there, b.weights, 2.0), certify(here, b.weights, 2.0)
        assert again.gap == pytest.approx(direct.gap, abs=1e-12)
        assert again.minimum == pytest.approx(direct.minimum, abs=1e-12)


@pytest.mark.parametrize("held", [True, False])
def test_moments_of_parts_and_subsets_are_sums_over_their_rows(lazy, held):
    features = HELD if held else lazy
    part = RNG.integers(-1, 4, 17_000)
    for k, found in enumerate(part_moments(features, LABELS, 3, part, 4)):
        mine = HELD[part == k]
        assert found.n == len(mine)
        assert np.allclose(found.square, mine.T @ mine, rtol=1e-12)
        assert np.allclose(found.cross, mine.T @ np.eye(3)[LABELS[part == k]], atol=1e-9)
    partition = part != np.arange(4)[:, None]
    overlapping = RNG.random((5, 17_000)) < 0.5  # 32 patterns: no partition
    for subsets in (partition, ~partition, overlapping):
        for kept, found in zip(subsets, subset_moments(features, LABELS, 3, subsets), strict=True):
            assert found.n == kept.sum()
            assert np.allclose(found.square, HELD[kept].T @ HELD[kept], rtol=1e-10)
            assert np.allclose(found.cross, HELD[kept].T @ np.eye(3)[LABELS[kept]], atol=1e-8)


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("radius", [0.3, 50.0])
def test_squared_fits_from_shared_moments_are_the_direct_ones(lazy, held, radius):
    rows = Rows(HELD if held else lazy, LABELS, 3, "squared")
    direct = Rows(HELD, LABELS, 3, "squared")
    for n, fit in zip([4, 9, 5000], nested_fits(rows, [4, 9, 5000], radius), strict=True):  # 4 < p = 6
        other = minimise(direct.take(np.arange(n)), radius)
        assert np.allclose(fit.weights, other.weights, atol=1e-8)
        assert fit.loss == pytest.approx(other.loss, abs=1e-12)
        assert fit.gap == pytest.approx(other.gap, abs=1e-10)
        assert fit.minimum == pytest.approx(other.minimum, abs=1e-10)
    radii = [radius, 2 * radius]
    for r, fit in zip(radii, radius_fits(rows, radii), strict=True):
        assert np.allclose(fit.weights, minimise(direct, r).weights, atol=1e-9)
        assert fit.radius == r
    for groups, many in ((17_000, 4), (9, 3)):  # the second: fewer rows than features in every subset
        few = np.arange(groups)
        subsets = few % many != np.arange(many)[:, None]
        found = subset_fits(rows.take(few), subsets, radius)
        reference = minimise_subsets(direct.take(few), subsets, radius, None, 1e-4)
        assert np.allclose(found.weights, reference.weights, atol=1e-8)
        assert np.allclose(found.losses, reference.losses, atol=1e-12)


@pytest.mark.parametrize(("loss", "atol"), [("squared", 1e-9), ("log", 5e-4)])
@pytest.mark.parametrize("same", [False, True])
def test_a_whole_fit_in_blocks_is_the_fit_of_held_rows(loss, atol, same, monkeypatch):
    train = gaussian_classes(3, 5, 320, separation=1.0, seed=1).everything()
    test = gaussian_classes(3, 5, 90, separation=1.0, seed=2).everything()
    asked = FitSpec(loss=loss, labels=(60, 120, "all"), seeds=2, radius=4.0)
    task = Task("world", "gaussian", train, {"test": test}, same_population=same)
    held = fit_task(task, asked)
    monkeypatch.setattr(module, "HELD_BYTES", 2000)
    assert isinstance(prepare(task, asked).fit.features, MappedRows)
    blocks = fit_task(task, asked)
    assert sorted(blocks.arrays) == sorted(held.arrays)
    for name, array in held.arrays.items():
        assert array.shape == blocks.arrays[name].shape, name
        if name.endswith("prediction"):
            assert (array == blocks.arrays[name]).mean() > 0.99, name
        elif not name.startswith("rich"):  # its own solver stops at 1e-2
            assert np.allclose(array, blocks.arrays[name], atol=20 * atol), name
    for part in ("pool", "half", "final"):
        for key, value in held.data[part].items():
            assert blocks.data[part][key] == pytest.approx(value, abs=atol), (part, key)
