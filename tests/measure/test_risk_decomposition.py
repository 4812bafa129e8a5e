"""Dubois' terms: they add up, stay signed, cover, and Test tunes nothing; a world with its truth, real embeddings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.arrays.random import stream
from limen.measure.risk_decomposition import ScoredRows, decompose_encoder, decompose_risk, dubois_scores
from limen.records.errors import BadInput
from limen.records.risk_decomposition import TERMS


def scored(key, n=300, m=80, k=120):
    """Row effects shared by all numbers of a row; means 1 (supervised .4), 1.5 left out, 2 on Test."""
    rng = stream("dubois rows", key)
    effect = rng.standard_normal(n)
    out = rng.choice(n, m, replace=False)
    own = 0.3 * rng.standard_normal((3, n))
    return ScoredRows(
        train=1 + effect + own[0],
        left_out=1.5 + effect[out] + own[1][out],
        left_out_rows=out,
        test=2 + rng.standard_normal(k),
        supervised=0.4 + effect + own[2],
    )


def test_the_terms_add_up_to_the_risk_on_test():
    for rows in (scored(0), replace(scored(0), supervised=None)):
        found = decompose_risk(rows)
        assert abs(found.residual) < 1e-12
        assert found.risks["train_on_test"].value == pytest.approx(rows.test.mean())
    values = [decompose_risk(scored(0)).terms[name].value for name in TERMS]
    assert sum(values) == pytest.approx(scored(0).test.mean(), abs=1e-12)


def test_coverage_of_every_term():
    truth = dict(zip(TERMS, (0.4, 0.6, 0.5, 0.5), strict=True))
    found = [decompose_risk(scored(key)).terms for key in range(400)]
    for name, value in truth.items():
        inside = np.mean([t[name].low <= value <= t[name].high for t in found])
        assert 0.92 <= inside <= 0.98, name


def test_joining_the_rows_is_narrower_than_two_samples():
    joined = decompose_risk(scored(1)).terms["probe_generalization"]
    rows = scored(1)
    apart = (rows.left_out.var(ddof=1) / 80 + rows.train.var(ddof=1) / 300) ** 0.5 * 2 * 1.96
    assert joined.high - joined.low < 0.95 * apart


def test_negative_terms_stay_negative():
    rows = scored(2)
    turned = replace(rows, test=rows.test - 3, supervised=rows.supervised + 2)
    found = decompose_risk(turned).terms
    assert found["encoder_generalization"].high < 0
    assert found["usability"].high < 0


def test_without_a_supervised_network_two_terms_are_not_identified():
    found = decompose_risk(replace(scored(3), supervised=None))
    assert [found.terms[name].state for name in TERMS] == ["not_identified"] * 2 + ["measured"] * 2
    assert "supervised" not in found.risks


def test_an_encoder_that_never_saw_train_is_said_to():
    seen, unseen = (decompose_risk(scored(4), seen=s).terms["encoder_generalization"] for s in (True, False))
    assert any("never saw Train" in a for a in unseen.assumptions)
    assert not any("never saw Train" in a for a in seen.assumptions)
    assert seen.value == unseen.value


def gaussian(key, n):
    rng = stream("dubois world", key)
    y = rng.integers(0, 3, n)
    return np.eye(3)[y] @ np.array([[1.5, 0, 0, 0, 0], [0, 1.5, 0, 0, 0], [0, 0, 1.5, 0, 0]]) + rng.standard_normal(
        (n, 5)
    ), y


def test_test_tunes_nothing_and_one_population_has_no_encoder_term():
    train, other = gaussian(0, 400), gaussian(1, 5000)
    first, second = dubois_scores(train, other, 100), dubois_scores(train, (other[0] + 9, other[1]), 100)
    assert first.penalty == second.penalty
    assert np.array_equal(first.log_loss.train, second.log_loss.train)
    assert np.array_equal(first.log_loss.left_out, second.log_loss.left_out)
    found = decompose_encoder(train, other, 100)
    assert set(found) == {"log loss", "error"}
    for one in found.values():
        encoder = one.terms["encoder_generalization"]
        assert encoder.low <= 0 <= encoder.high
        assert one.penalty == first.penalty
        assert abs(one.residual) < 1e-12


def test_probe_generalization_falls_with_more_labels():
    gaps = [
        np.mean(
            [
                decompose_risk(dubois_scores(gaussian(10 + k, n), gaussian(99, 500), n // 4, 0.01).log_loss)
                .terms["probe_generalization"]
                .value
                for k in range(12)
            ]
        )
        for n in (60, 600)
    ]
    assert gaps[0] > 2 * gaps[1] > 0


def test_rows_that_do_not_fit_are_refused_together():
    rows = scored(5)
    with pytest.raises(BadInput) as caught:
        decompose_risk(replace(rows, test=np.array([1.0, np.nan]), left_out=rows.left_out[:-1]))
    assert len(caught.value.problems) == 2
    with pytest.raises(BadInput, match="different rows"):
        decompose_risk(replace(rows, left_out_rows=np.zeros(80, dtype=np.int64)))
    with pytest.raises(BadInput) as caught:
        dubois_scores(gaussian(0, 50), (np.zeros((3, 5)), np.array([0, 1, 7])), 1)
    assert len(caught.value.problems) == 2


def test_banking77_intents(shared_data):
    sets = []
    for part in ("train", "test"):
        with np.load(shared_data / "banking77" / f"minilm-{part}.npz") as table:
            chosen = np.isin(table["y"], np.unique(table["y"])[:6])
            sets.append((table["X"][chosen], table["y"][chosen]))
    found = decompose_encoder(sets[0], sets[1], len(sets[0][1]) // 4)["error"]
    assert found.risks["train_on_test"].value < 0.2
    assert abs(found.residual) < 1e-12
    assert found.terms["probe_generalization"].value > -0.02
