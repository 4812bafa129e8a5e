"""The feature map: bounded, equivariant, fixed by design rows alone."""

from __future__ import annotations

import numpy as np
import pytest

from limen.adapt.feature_map import BLOCK, FeatureMap, design_map

RNG = np.random.default_rng(0)
DESIGN = RNG.normal(3.0, 2.0, size=(50, 6))


def test_design_rows_have_mean_zero_and_mean_square_one_and_are_not_clipped():
    phi = design_map(DESIGN)
    mapped = phi(DESIGN)
    assert np.allclose(mapped[:, :-1].mean(axis=0), 0, atol=1e-12)
    assert (mapped[:, :-1] ** 2).sum(axis=1).mean() == pytest.approx(1.0)
    assert (mapped[:, -1] == 1).all()
    assert phi.clipped_share(DESIGN) == 0
    assert np.linalg.norm(mapped, axis=1).max() == pytest.approx(phi.norm_bound)


def test_every_row_stays_within_the_bound_and_clipping_keeps_the_direction():
    phi = design_map(DESIGN)
    far = RNG.normal(size=(200, 6)) * 10.0 ** RNG.uniform(-3, 12, size=(200, 1))
    mapped = phi(far)
    assert np.linalg.norm(mapped, axis=1).max() <= phi.norm_bound * (1 + 1e-12)
    raw = far - phi.centre
    cosine = (mapped[:, :-1] * raw).sum(axis=1) / np.linalg.norm(mapped[:, :-1], axis=1) / np.linalg.norm(raw, axis=1)
    assert np.allclose(cosine, 1)
    assert phi.clipped_share(far) == pytest.approx((np.linalg.norm(raw / phi.scale, axis=1) > phi.bound).mean())


def test_shifts_scales_and_rotations_of_the_embedding_change_nothing():
    turn = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
    others = RNG.normal(3.0, 4.0, size=(80, 6))
    base = design_map(DESIGN)(others)
    for change in (lambda x: 7.5 * x, lambda x: x + 100.0, lambda x: x @ turn):
        moved = design_map(change(DESIGN))(change(others))
        assert np.allclose(moved @ moved.T, base @ base.T, atol=1e-9)


def test_blocks_of_rows_do_not_change_the_result():
    many = RNG.normal(size=(BLOCK + 17, 3))
    phi = design_map(many[:100])
    assert np.array_equal(phi(many)[BLOCK - 3 :], phi(many[BLOCK - 3 :]))
    assert phi.clipped_share(many) == pytest.approx(
        (np.linalg.norm((many - phi.centre) / phi.scale, axis=1) > phi.bound * (1 + 1e-12)).mean()
    )


def test_single_precision_rows_are_mapped_in_double():
    phi = design_map(DESIGN.astype(np.float32))
    assert phi(DESIGN.astype(np.float32)).dtype == np.float64


def test_a_row_at_the_centre_is_mapped_to_the_constant():
    phi = FeatureMap(np.ones(2), 1.0, 1.0)
    assert phi(np.ones((1, 2))).tolist() == [[0.0, 0.0, 1.0]]


@pytest.mark.parametrize("value", [0.0, 0.1, 1e8])
def test_identical_design_rows_have_no_scale(value):
    with pytest.raises(ValueError, match="10 design rows are identical"):
        design_map(np.full((10, 3), value))
