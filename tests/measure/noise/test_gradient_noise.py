"""Gradient noise against known covariances and per-example gradients one by one."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import curvature_cases as cases  # noqa: E402
from torch import nn  # noqa: E402

from limen.measure.curvature.files import read_arrays, write_arrays  # noqa: E402
from limen.measure.curvature.spectrum import curvature  # noqa: E402
from limen.measure.noise.files import SCHEMA, load_gradient_noise, save_gradient_noise  # noqa: E402
from limen.measure.noise.gradient_noise import gradient_noise  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch


def one_by_one(model, loss, batches):
    """Gradients of the examples [N, n], slow and obvious."""
    rows = []
    for batch in batches:
        for i in range(len(batch[0])):
            one = tuple(part[i : i + 1] for part in batch)
            gradients = torch.autograd.grad(loss(model, one), [*model.parameters()])
            rows.append(torch.cat([g.reshape(-1) for g in gradients]).numpy())
    return np.array(rows)


def regression(n=3000, noise=0.5, seed=0):
    """y = xᵀθ + e: at the true θ, g = −e x and Σ = σ²H for any features."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)) * [3.0, 2.0, 1.0, 0.7, 0.4]
    theta = rng.normal(size=5)
    y = x @ theta + noise * rng.normal(size=n)
    model = nn.Linear(5, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(theta)[None])
    return model, [(torch.from_numpy(x), torch.from_numpy(y)[:, None])]


def test_linear_regression_has_noise_proportional_to_its_curvature():
    model, batches = regression()
    found = curvature(model, cases.mean_squares, batches, modes=5, tolerance=1e-8)
    noise = gradient_noise(model, cases.mean_squares, batches, found, batch_size=1)
    expected = 0.25 * found.eigenvalues
    assert (np.abs(noise.variance - expected) < 4 * noise.variance_errors).all()
    assert (noise.variance_errors < 0.1 * noise.variance).all()
    assert noise.slope.low <= 1.0 <= noise.slope.high
    assert noise.coherence.value < 2.5 * noise.coherence_floor
    assert noise.trace.low <= expected.sum() <= noise.trace.high
    assert noise.per_sample


def test_slope_tells_another_power():
    """Features scaled so that noise along a mode goes as its curvature squared: residuals grow with |x|."""
    rng = np.random.default_rng(1)
    which = rng.integers(5, size=8000)
    scale = np.geomspace(0.3, 3, 5)
    x = np.zeros((8000, 5))
    x[np.arange(8000), which] = scale[which]
    y = scale[which] * rng.normal(size=8000)
    model = nn.Linear(5, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    batches = [(torch.from_numpy(x), torch.from_numpy(y)[:, None])]
    found = curvature(model, cases.mean_squares, batches, modes=5, tolerance=1e-8)
    noise = gradient_noise(model, cases.mean_squares, batches, found, sampling=None)
    assert noise.slope.low <= 2.0 <= noise.slope.high
    assert not noise.slope.low <= 1.0 <= noise.slope.high
    assert noise.correlation is None


@pytest.mark.parametrize("with_reduction", [True, False])
@pytest.mark.parametrize("named", [None, ["2.*"]])
def test_projections_are_those_of_gradients_one_by_one(with_reduction, named):
    model, batches = cases.classifier(), cases.labelled(sizes=(30, 20))
    loss = cases.cross_entropy if with_reduction else lambda m, b: cases.cross_entropy(m, b)
    found = curvature(model, loss, batches, modes=3, tolerance=1e-8, parameters=named)
    noise = gradient_noise(model, loss, batches, found, batch_size=1, sampling=None)
    rows = one_by_one(model, cases.cross_entropy, batches)
    rows = rows if named is None else rows[:, -found.parameters :]
    assert np.allclose(noise.covariance, np.cov(rows @ found.vectors.T, rowvar=False), rtol=1e-9, atol=1e-14)
    assert np.isclose(noise.trace.value, np.trace(np.cov(rows, rowvar=False)), rtol=1e-9)


def test_between_batches_measures_the_same_covariance():
    model, batches = regression()
    found = curvature(model, cases.mean_squares, batches, modes=5, tolerance=1e-8)
    single = gradient_noise(model, cases.mean_squares, batches, found, batch_size=10)
    between = gradient_noise(model, cases.mean_squares, batches, found, batch_size=10, per_sample=False)
    assert not between.per_sample
    error = np.hypot(single.variance_errors, between.variance_errors)
    assert (np.abs(single.variance - between.variance) < 4 * error).all()
    assert (between.variance_errors > single.variance_errors).all()
    assert between.trace.value == single.trace.value


@pytest.mark.parametrize("sampling", ["reshuffle", "same-order", "replacement", "iid"])
def test_temporal_correlation_is_that_of_the_sampling_order(sampling):
    model, batches = regression(n=600)
    found = curvature(model, cases.mean_squares, batches, modes=5, tolerance=1e-8)
    noise = gradient_noise(model, cases.mean_squares, batches, found, batch_size=60, sampling=sampling)
    seen, m = noise.correlation, 10
    assert seen.epoch_batches == m
    lags = seen.lags.astype(float)
    within = -(m - lags) / (m * (m - 1))
    if sampling == "reshuffle":
        expected = np.where(lags < m, within, 0.0)
    elif sampling == "same-order":
        expected = np.where(lags % m == 0, 1.0, -1 / (m - 1))
    else:
        expected = np.zeros(len(lags))
    assert (np.abs(seen.values - expected) < 5 * seen.errors + 0.02).all()
    assert seen.errors.max() < 0.1
    assert (seen.orders, seen.steps) == (16, 4 * m)


@pytest.mark.parametrize("per_sample", [True, False])
def test_errors_of_the_correlation_are_those_of_a_mean_over_the_orders_it_states(per_sample):
    """The spread of one order at lag 1 of independent batches is 1/√(modes·steps): over R orders 1/√(modes·steps·R)."""
    model, batches = regression(n=600)
    found = curvature(model, cases.mean_squares, batches, modes=5, tolerance=1e-8)
    seen = gradient_noise(
        model, cases.mean_squares, batches, found, batch_size=60, per_sample=per_sample, sampling="replacement"
    ).correlation
    assert seen.orders == (16 if per_sample else 8)
    assert seen.steps == (40 if per_sample else 10)
    expected = 1 / np.sqrt(5 * seen.steps * seen.orders)
    assert seen.errors.mean() == pytest.approx(expected, rel=0.35)


@pytest.mark.parametrize("sampling", ["iid", "reshuffle"])
def test_temporal_correlation_between_batches_is_unbiased_and_its_errors_cover(sampling):
    """Ten examples a batch, M = 8: nothing follows for independent batches, −(M − j)/(M(M − 1)) for reshuffled ones."""
    model, batches = regression(n=80)
    found = curvature(model, cases.mean_squares, batches, modes=5, tolerance=1e-8)
    options = {"batch_size": 10, "per_sample": False, "sampling": sampling}
    seen = [
        gradient_noise(model, cases.mean_squares, batches, found, **options, seed=seed).correlation
        for seed in range(30)
    ]
    first = seen[0].lags <= 6
    lags, values = seen[0].lags[first], np.array([c.values[first] for c in seen])
    expected = -(8 - lags) / 56 if sampling == "reshuffle" else np.zeros(len(lags))
    assert (np.abs(values.mean(axis=0) - expected) < 4 * values.std(axis=0) / np.sqrt(len(seen))).all()
    assert np.abs(values.mean(axis=0) - expected).max() < 0.03
    errors = np.array([c.errors[first] for c in seen])
    assert (np.abs(values - expected) > 3 * errors).mean() < 0.05  # Student of 7 degrees of freedom: 0.02


def test_batch_norm_in_train_mode_is_measured_between_batches_of_training_size():
    model, batches = cases.conv_net(), cases.images(sizes=(60, 60))
    found = curvature(model, cases.cross_entropy, batches, modes=3, batch_norm="train")
    before = copy.deepcopy(model.state_dict())
    noise = gradient_noise(model, cases.cross_entropy, batches, found, batch_size=6)
    assert not noise.per_sample
    assert noise.batch_norm == "train"
    assert noise.correlation is not None
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))
    evaluated = curvature(model, cases.cross_entropy, batches, modes=3)
    assert gradient_noise(model, cases.cross_entropy, batches, evaluated, batch_size=6).per_sample
    with pytest.raises(BadInput) as raised:
        gradient_noise(model, cases.cross_entropy, batches, found, per_sample=True)
    assert {p.where for p in raised.value.problems} == {"per_sample", "batch_size"}


def test_a_loss_that_does_not_split_into_examples_is_refused_and_can_be_measured_between_batches():
    def penalised(model, batch):
        return cases.cross_entropy(model, batch) + len(batch[0]) * 0.1 * model[0].weight.pow(2).sum()

    model, batches = cases.classifier(), cases.labelled(sizes=(30, 30))
    found = curvature(model, penalised, batches, modes=2)
    with pytest.raises(BadInput, match="single losses of mean"):
        gradient_noise(model, penalised, batches, found)
    assert gradient_noise(model, penalised, batches, found, per_sample=False, batch_size=3).trace.value > 0


@pytest.mark.parametrize("options", [{}, {"per_sample": False, "batch_size": 2}])
def test_gradients_that_are_not_finite_are_named(options):
    """√ of a sum that is 0 for one example only: a finite loss."""

    def rooted(model, batch, reduction="mean"):
        each = model(batch[0]).mul(batch[0][:, :1] != 0).sum(dim=1).abs().sqrt()
        return each if reduction == "none" else each.mean()

    model, batches = cases.classifier(), cases.labelled(sizes=(24,))
    found = curvature(model, cases.cross_entropy, batches, modes=2)
    batches[0][0][7, 0] = 0.0
    with pytest.raises(BadInput, match="loss: error: expected a finite gradient"):
        gradient_noise(model, rooted, batches, found, **options)


def test_misuse_is_named():
    model, batches = cases.classifier(), cases.labelled()
    found = curvature(model, cases.cross_entropy, batches, modes=2)
    with pytest.raises(BadInput, match="batch_size: error: expected 1 to 3"):
        gradient_noise(model, cases.cross_entropy, batches, found, batch_size=20)
    with pytest.raises(BadInput, match="this model's parameters"):
        gradient_noise(cases.classifier(width=9), cases.cross_entropy, batches, found)
    with pytest.raises(BadInput, match="confidence"):
        gradient_noise(model, cases.cross_entropy, batches, found, confidence=1.0)


@pytest.mark.parametrize("sampling", ["reshuffle", None])
def test_the_file_gives_the_same_noise_bit_for_bit(sampling, tmp_path):
    model, batches = regression(n=400)
    found = curvature(model, cases.mean_squares, batches, modes=3)
    noise = gradient_noise(model, cases.mean_squares, batches, found, sampling=sampling)
    save_gradient_noise(noise, tmp_path / "n")
    back = load_gradient_noise(tmp_path / "n")
    for name in ("eigenvalues", "variance", "variance_errors", "covariance"):
        assert getattr(noise, name).tobytes() == getattr(back, name).tobytes()
    for name in ("trace", "slope", "coherence", "hill", "batch_size", "seconds", "coherence_floor", "per_sample"):
        assert getattr(noise, name) == getattr(back, name)
    if sampling is not None:
        assert back.correlation.values.tobytes() == noise.correlation.values.tobytes()
        assert back.correlation.sampling == sampling
        assert (back.correlation.orders, back.correlation.steps) == (16, noise.correlation.steps)


def test_a_file_of_before_orders_were_counted_reads_as_one_that_does_not_know(tmp_path):
    model, batches = regression(n=400)
    found = curvature(model, cases.mean_squares, batches, modes=3)
    noise = gradient_noise(model, cases.mean_squares, batches, found)
    arrays, plain = (save_gradient_noise(noise, tmp_path / "n"), read_arrays(tmp_path / "n", SCHEMA))[1]
    for name in ("orders", "steps"):
        del plain["correlation"][name]
    write_arrays(tmp_path / "old", SCHEMA, arrays, plain)
    back = load_gradient_noise(tmp_path / "old").correlation
    assert (back.orders, back.steps) == (None, None)
    assert back.values.tobytes() == noise.correlation.values.tobytes()
