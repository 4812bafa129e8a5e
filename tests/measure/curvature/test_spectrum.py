"""Curvature against closed forms and dense Hessians; every choice changes the result, and nothing of the model."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import curvature_cases as cases  # noqa: E402
from torch import nn  # noqa: E402

from limen.arrays.spectral_density import Probing  # noqa: E402
from limen.measure.curvature.spectrum import Search, curvature, forecast_bytes  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch


def exact(hessian, k, ends="magnitude"):
    values = np.linalg.eigvalsh(hessian)
    return values[np.argsort(-np.abs(values) if ends == "magnitude" else -values)][:k]


def test_linear_regression_has_the_gram_matrix_once_per_output():
    """H = I ⊗ XᵀX/N with the constant feature: every eigenvalue as often as there are outputs."""
    torch.manual_seed(0)
    x, y = torch.randn(40, 6).double() * torch.tensor([9.0, 5, 3, 2, 1, 0.5]), torch.randn(40, 4).double()
    model = nn.Linear(6, 4).double()
    found = curvature(model, cases.mean_squares, [(x, y)], modes=9, tolerance=1e-6)
    design = np.hstack([x.numpy(), np.ones((40, 1))])
    expected = np.repeat(np.linalg.eigvalsh(design.T @ design / 40)[::-1], 4)[:9]
    assert np.allclose(found.eigenvalues, expected, rtol=1e-9)
    assert found.recovered > 0
    assert found.converged.all()


def test_softmax_regression_is_the_covariance_of_labels_times_rows():
    """H = (1/N) Σ (diag p − p pᵀ) ⊗ x xᵀ."""
    torch.manual_seed(1)
    x, y = torch.randn(30, 4).double(), torch.randint(3, (30,))
    model = nn.Linear(4, 3, bias=False).double()
    p = torch.softmax(model(x), dim=1).detach().numpy()
    blocks = np.stack([np.diag(row) - np.outer(row, row) for row in p])
    hessian = np.einsum("nab,ni,nj->aibj", blocks, x.numpy(), x.numpy()).reshape(12, 12) / 30
    found = curvature(model, cases.cross_entropy, [(x, y)], modes=8, tolerance=1e-8)
    assert np.allclose(found.eigenvalues, exact(hessian, 8), rtol=1e-9)
    again = curvature(model, cases.cross_entropy, [(x, y)], modes=8, tolerance=1e-8, gauss_newton=True)
    assert np.allclose(again.eigenvalues, found.eigenvalues, rtol=1e-9)  # a linear model: G = H


@pytest.mark.parametrize("ends", ["magnitude", "largest", "both"])
def test_a_network_has_the_eigenpairs_of_its_dense_hessian(ends):
    model, batches = cases.classifier(), cases.labelled()
    hessian = cases.dense_hessian(model, cases.cross_entropy, batches)
    found = curvature(model, cases.cross_entropy, batches, modes=6, tolerance=1e-9, search=Search(ends=ends))
    true = np.linalg.eigvalsh(hessian)[::-1]
    expected = {"magnitude": exact(hessian, 6), "largest": true[:6], "both": np.r_[true[:3], true[-3:]]}[ends]
    assert np.allclose(found.eigenvalues, expected, rtol=1e-9, atol=1e-12)
    u = found.vectors
    assert np.abs(u @ hessian - found.eigenvalues[:, None] * u).max() < 1e-8 * abs(true).max()
    assert np.allclose(
        np.linalg.norm(u @ hessian - found.eigenvalues[:, None] * u, axis=1), found.residuals, atol=1e-12
    )


def test_float32_agrees_with_float64_to_its_precision_and_says_what_it_is_unsure_of():
    batches = cases.labelled(sizes=(40,))
    model = cases.classifier()
    true = curvature(model, cases.cross_entropy, batches, modes=5, tolerance=1e-9).eigenvalues
    single = [(x.float(), y) for x, y in batches]
    found = curvature(copy.deepcopy(model).float(), cases.cross_entropy, single, modes=5, tolerance=1e-3)
    assert found.vectors.dtype == np.float32
    assert (np.abs(found.eigenvalues - true) <= found.error_bounds + 1e-5 * true[0]).all()
    assert (found.error_bounds >= found.residuals).all()


def test_batches_count_by_their_examples():
    model, batches = cases.classifier(), cases.labelled(sizes=(20, 5))
    whole = [(torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]))]
    one = curvature(model, cases.cross_entropy, whole, modes=4, tolerance=1e-8)
    two = curvature(model, cases.cross_entropy, batches, modes=4, tolerance=1e-8)
    even = curvature(model, cases.cross_entropy, batches, modes=4, tolerance=1e-8, sizes=[1, 1])
    assert np.allclose(one.eigenvalues, two.eigenvalues, rtol=1e-10)
    assert np.isclose(one.loss, two.loss)
    assert one.examples == two.examples == 25
    assert not np.allclose(one.eigenvalues, even.eigenvalues, rtol=1e-3)


def test_streamed_and_kept_graphs_give_the_same_pairs():
    model, batches = cases.classifier(), cases.labelled(sizes=(9, 8, 7))
    graphs, basis = forecast_bytes(model, cases.cross_entropy, batches, modes=3)
    assert graphs.kept == 3
    kept = curvature(model, cases.cross_entropy, batches, modes=3, tolerance=1e-8)
    limits = {0: basis + 1000, 1: basis + graphs.working + graphs.graphs[0] + 8}
    for count, memory in limits.items():
        options = {"modes": 3, "tolerance": 1e-8, "memory": memory, "search": Search(basis=24)}
        streamed = curvature(model, cases.cross_entropy, batches, **options)
        assert np.allclose(kept.eigenvalues, streamed.eigenvalues, rtol=1e-10)
        assert streamed.peak_bytes < kept.peak_bytes, count
    with pytest.raises(BadInput, match=r"memory: error: expected room for .* vectors"):
        curvature(model, cases.cross_entropy, batches, modes=3, memory=1000)


def test_a_basis_nobody_chose_is_made_to_fit():
    model, batches = cases.classifier(width=40), cases.labelled(sizes=(9,))
    free = curvature(model, cases.cross_entropy, batches, modes=3, tolerance=1e-6)
    limit = int(0.8 * free.peak_bytes)
    tight = curvature(model, cases.cross_entropy, batches, modes=3, tolerance=1e-6, memory=limit)
    assert tight.peak_bytes <= limit
    assert np.allclose(free.eigenvalues, tight.eigenvalues, rtol=1e-8)


class Attending(nn.Module):
    """One block of attention over rows of a few places, as every library's transformer computes it."""

    def __init__(self):
        super().__init__()
        self.taken, self.out = nn.Linear(4, 12), nn.Linear(4, 1)

    def forward(self, x):
        q, k, v = self.taken(x).unflatten(-1, (3, 1, 4)).permute(2, 0, 3, 1, 4)
        return self.out(nn.functional.scaled_dot_product_attention(q, k, v)[:, 0].mean(dim=1))


def test_attention_has_a_hessian_and_its_kernels_are_as_found_afterwards():
    torch.manual_seed(0)
    model, x = Attending().double(), torch.randn(9, 5, 4, dtype=torch.float64)
    batches = [(x, torch.randn(9, 1, dtype=torch.float64))]
    before = torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled()
    found = curvature(model, cases.mean_squares, batches, modes=3, tolerance=1e-8)
    assert (torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled()) == before
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        dense = cases.dense_hessian(model, cases.mean_squares, batches)
    assert found.eigenvalues == pytest.approx(exact(dense, 3), rel=1e-8)


def test_only_the_parameters_named_count():
    model, batches = cases.classifier(), cases.labelled()
    found = curvature(model, cases.cross_entropy, batches, modes=4, tolerance=1e-8, parameters=["2.*"])
    assert found.names == ("2.weight", "2.bias")
    assert found.shapes == ((3, 6), (3,))
    hessian = cases.dense_hessian(model, cases.cross_entropy, batches, ["2.weight", "2.bias"])
    assert np.allclose(found.eigenvalues, exact(hessian, 4), rtol=1e-9)
    model[0].weight.requires_grad_(False)
    assert "0.weight" not in curvature(model, cases.cross_entropy, batches, modes=1).names


def test_gauss_newton_is_the_dense_one_and_not_the_hessian():
    model, batches = cases.classifier(), cases.labelled()
    names = [name for name, _ in model.named_parameters()]
    sizes = [p.numel() for p in model.parameters()]
    shapes = [p.shape for p in model.parameters()]

    def outputs(flat, x):
        parts = [part.view(shape) for part, shape in zip(torch.split(flat, sizes), shapes, strict=True)]
        return torch.func.functional_call(model, dict(zip(names, parts, strict=True)), (x,))

    flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    total = np.zeros((len(flat), len(flat)))
    for x, _ in batches:
        j = torch.func.jacrev(outputs)(flat, x).numpy()
        p = torch.softmax(model(x), dim=1).detach().numpy()
        h = np.stack([np.diag(row) - np.outer(row, row) for row in p])
        total += np.einsum("nai,nab,nbj->ij", j, h, j) / 28
    found = curvature(model, cases.cross_entropy, batches, modes=6, tolerance=1e-8, gauss_newton=True)
    assert found.kind == "gauss-newton"
    assert np.allclose(found.eigenvalues, exact(total, 6), rtol=1e-9)
    hessian = curvature(model, cases.cross_entropy, batches, modes=6, tolerance=1e-8)
    assert not np.allclose(found.eigenvalues, hessian.eigenvalues, rtol=1e-3)
    assert np.isclose(found.gradient_norm, hessian.gradient_norm)


def test_gauss_newton_refuses_a_penalty_on_weights():
    def penalised(model, batch):
        return cases.cross_entropy(model, batch) + model[0].weight.pow(2).sum()

    with pytest.raises(BadInput, match="penalty on weights"):
        curvature(cases.classifier(), penalised, cases.labelled(), modes=1, gauss_newton=True)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_batch_norm_is_what_was_asked_for(mode):
    model, batches = cases.conv_net(), cases.images()
    reference = copy.deepcopy(model)
    reference.eval()
    if mode == "train":
        reference.norm.train()
        reference.norm.track_running_stats = False
        reference.norm.running_mean = reference.norm.running_var = None
    hessian = cases.dense_hessian(reference, cases.cross_entropy, batches)
    found = curvature(model, cases.cross_entropy, batches, modes=4, tolerance=1e-7, batch_norm=mode)
    assert found.batch_norm == mode
    assert np.allclose(found.eigenvalues, exact(hessian, 4), rtol=1e-7)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_exactly_as_found(mode, training):
    model, batches = cases.conv_net().train(training), cases.images()
    model.drop.train(not training)
    cases.cross_entropy(model, batches[0]).backward()
    before = copy.deepcopy(model)
    gradients = [p.grad.clone() for p in model.parameters()]
    random = torch.get_rng_state()
    flags = [m.training for m in model.modules()]
    curvature(model, cases.cross_entropy, batches, modes=2, batch_norm=mode, trace=2, density=Probing(2, 4))
    assert torch.equal(random, torch.get_rng_state())
    assert flags == [m.training for m in model.modules()]
    for (name, a), b in zip(before.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert all(torch.equal(a, p.grad) for a, p in zip(gradients, model.parameters(), strict=True))
    assert model.norm.track_running_stats


def test_gradient_projections_and_loss_are_those_of_the_mean_loss():
    model, batches = cases.classifier(), cases.labelled()
    loss = sum(len(x) / 28 * cases.cross_entropy(model, (x, y)) for x, y in batches)
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, [*model.parameters()])]).numpy()
    found = curvature(model, cases.cross_entropy, batches, modes=3)
    assert np.isclose(found.loss, float(loss.detach()))
    assert np.allclose(found.gradient, found.vectors @ gradient)
    assert np.isclose(found.gradient_norm, np.linalg.norm(gradient))


def test_trace_and_density_are_those_of_the_dense_hessian():
    model, batches = cases.classifier(), cases.labelled()
    hessian = cases.dense_hessian(model, cases.cross_entropy, batches)
    found = curvature(model, cases.cross_entropy, batches, modes=2, trace=10, density=Probing(16, 20))
    half = (found.trace.high - found.trace.low) / 2
    assert abs(found.trace.value - np.trace(hessian)) < 2 * half
    assert half < 0.5 * np.trace(hessian)
    for j in range(4):
        true = np.trace(np.linalg.matrix_power(hessian, j + 1)) / len(hessian)
        assert abs(found.density.moments[j] - true) < 4 * found.density.moment_errors[j]
    assert found.products > 20 + 16 * 20


def test_a_hessian_that_is_a_multiple_of_the_identity_has_a_density():
    model = nn.Linear(6, 1, bias=False).double()
    found = curvature(
        model, lambda m, b: 1.5 * m.weight.pow(2).sum() + 0 * b.sum(), [torch.zeros(1)], density=True, modes=1
    )
    assert found.density.points[found.density.density.argmax()] == pytest.approx(3.0, abs=0.01)
    assert found.density.width == pytest.approx(0.06)


def test_the_trace_of_a_few_parameters_says_how_many_probes_it_had():
    torch.manual_seed(0)
    x, y = torch.randn(40, 10).double(), torch.randn(40, 1).double()
    found = curvature(nn.Linear(10, 1, bias=False).double(), cases.mean_squares, [(x, y)], modes=1, trace=8)
    assert found.trace.n == 5
    assert found.trace.low <= float((x**2).sum()) / 40 <= found.trace.high


def test_a_start_that_is_near_saves_products():
    model, batches = cases.classifier(width=40), cases.labelled(sizes=(60,))
    cold = curvature(model, cases.cross_entropy, batches, modes=4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1e-4)
    warm = curvature(model, cases.cross_entropy, batches, modes=4, start=cold)
    assert warm.products < cold.products
    assert warm.converged.all()
    with pytest.raises(BadInput, match="start: error"):
        curvature(model, cases.cross_entropy, batches, modes=4, parameters=["2.*"], start=cold)


def random_loss(model, batch):
    x, y = batch
    return nn.functional.cross_entropy(model(x + 0.1 * torch.randn_like(x)), y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modes": 0}, "modes: error: expected 1 to"),
        ({"modes": 10**6}, "modes: error: expected 1 to"),
        ({"tolerance": 0.0}, "tolerance: error"),
        ({"batch_norm": "frozen"}, "batch_norm: error"),
        ({"parameters": ["nothing.*"]}, "matches none"),
        ({"sizes": [1]}, "sizes: error"),
        ({"sizes": [30, -10]}, r"sizes: error: .*got \[30, -10\]"),
        ({"sizes": [17, 0.5]}, "sizes: error"),
        ({"trace": 1}, "trace: error: expected 2 probes"),
        ({"trace": -3}, "trace: error: expected 2 probes"),
        ({"trace": True, "model": nn.Linear(3, 1, bias=False).double()}, "trace: error: expected 4 parameters"),
        ({"density": Probing(probes=1)}, "density.probes: error"),
        ({"density": Probing(steps=0)}, "density.steps: error"),
        ({"loss": random_loss}, "expected one value for one batch"),
        ({"loss": lambda m, b: m(b[0])}, "expected a scalar tensor"),
        ({"loss": lambda m, b: 1.0}, "expected a scalar tensor, got float"),
        ({"loss": lambda m, b: m(b[0]).sum() * float("nan")}, "finite"),
        ({"loss": lambda m, b: b[0].sum()}, "does not depend"),
        ({"loss": lambda m, b: m(b[0]).mean() + (0 * m[0].weight).pow(2).sum().sqrt()}, "finite gradient, got NaN"),
        ({"loss": lambda m, b: m(b[0]).mean() + (0 * m[0].weight).abs().pow(1.5).sum()}, "finite product with the H"),
        ({"start": np.full(57, np.nan)}, "start: error: expected finite"),
        ({"batches": []}, "at least one batch"),
        ({"batches": ["text"]}, "sizes: error"),
        ({"search": Search(ends="top")}, "search.ends"),
        ({"search": Search(basis=11)}, "search.basis: error: expected 12 rows or more for 10 modes, or None, got 11"),
        ({"search": Search(basis=30.0)}, "search.basis: error: .*got 30.0"),
        ({"search": Search(basis=True), "modes": 1}, "search.basis: error: .*got True"),
        ({"search": Search(products=9)}, "search.products: error: expected 10 products or more"),
        ({"search": Search(products="all")}, "search.products: error: .*got 'all'"),
        ({"search": Search(check=-1)}, "search.check: error: expected steps of 0 or more, got -1"),
        ({"search": Search(check=1.5)}, "search.check: error"),
        ({"search": "largest"}, "search: error: expected .*Search, got 'largest'"),
        ({"modes": 2.5}, "modes: error: .*got 2.5"),
        ({"modes": True}, "modes: error: .*got True"),
        ({"tolerance": float("nan")}, "tolerance: error"),
        ({"tolerance": "fine"}, "tolerance: error"),
        ({"density": 8}, "density: error: expected True, False or Probing"),
        ({"density": Probing(steps=2.5)}, "density.steps: error"),
        ({"trace": 2.5}, "trace: error"),
        ({"memory": 0}, "memory: error: expected bytes above 0"),
        ({"memory": 1e9}, "memory: error"),
        ({"start": np.zeros((0, 57))}, "start: error: expected vectors of"),
        ({"start": np.zeros((2, 2, 57))}, "start: error: expected vectors of"),
        ({"start": np.zeros(57, dtype=complex)}, "start: error: expected finite vectors, got complex128"),
    ],
)
def test_misuse_is_named(options, message):
    options = {"model": cases.classifier(), "loss": cases.cross_entropy, "batches": cases.labelled(), **options}
    with pytest.raises(BadInput, match=message):
        curvature(options.pop("model"), options.pop("loss"), options.pop("batches"), **options)


def test_all_problems_come_at_once():
    with pytest.raises(BadInput) as raised:
        curvature(cases.classifier(), cases.cross_entropy, [], batch_norm="x", parameters=["no", "none"])
    assert len(raised.value.problems) == 4
    with pytest.raises(BadInput) as raised:
        curvature(
            cases.classifier(), cases.cross_entropy, cases.labelled(), modes=0, trace=1, density=Probing(1, steps=0)
        )
    assert {p.where for p in raised.value.problems} == {"modes", "trace", "density.probes", "density.steps"}
    wrong = {"search": Search("top", 1, 0, -1), "tolerance": 2, "start": np.zeros(3), "memory": -1, "density": "yes"}
    with pytest.raises(BadInput) as raised:
        curvature(cases.classifier(), cases.cross_entropy, cases.labelled(), **wrong)
    searched = {f"search.{name}" for name in ("ends", "basis", "products", "check")}
    assert {p.where for p in raised.value.problems} == searched | {"tolerance", "start", "memory", "density"}


def test_the_least_search_that_is_allowed_runs():
    x = torch.eye(3).double()
    model, batch = nn.Linear(3, 1, bias=False).double(), (x, torch.zeros(3, 1).double())
    found = curvature(model, cases.mean_squares, [batch], modes=3, search=Search(basis=3, products=3, check=0))
    assert found.eigenvalues.shape == (3,)
    one = cases.classifier(), cases.cross_entropy, cases.labelled()
    assert curvature(*one, modes=4, search=Search(basis=6, products=4, check=0)).products == 4


def test_arguments_are_refused_before_any_gradient_is_paid_for():
    calls = []

    def counted(model, batch):
        calls.append(1)
        return cases.cross_entropy(model, batch)

    with pytest.raises(BadInput):
        curvature(cases.classifier(), counted, cases.labelled(), trace=1)
    assert not calls


@pytest.mark.parametrize("change", ["frozen", "half", "mixed"])
def test_parameters_of_the_wrong_kind_are_named(change):
    model, patterns = cases.classifier(), None
    if change == "frozen":
        model[0].weight.requires_grad_(False)
        patterns = ["0.*"]
    elif change == "half":
        model = model.half()
    else:
        model[0] = model[0].float()
    with pytest.raises(
        BadInput, match={"frozen": "frozen ones: 0.weight", "half": "half", "mixed": "one type"}[change]
    ):
        curvature(model, cases.cross_entropy, cases.labelled(), modes=1, parameters=patterns)
