"""Where the law is known, a recording has to show it: SGD on a quadratic with Gaussian noise, 400 modes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.measure.recorder.correlator import Blocked  # noqa: E402
from limen.measure.recorder.read import read_run  # noqa: E402
from limen.measure.recorder.recorder import record  # noqa: E402
from limen.theory.sgd import Modes, discrete  # noqa: E402

pytestmark = pytest.mark.torch
CURVATURE = np.geomspace(0.5, 15, 400)
LAW = discrete(Modes(CURVATURE, CURVATURE, learning_rate=0.1, momentum=0.9, batch_size=1))
FOLLOWED = (0, 200, 399)


class _Axes:
    eigenvalues = CURVATURE[list(FOLLOWED)]
    vectors = np.eye(400, dtype=np.float32)[list(FOLLOWED)]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """4,000 updates from the stationary state; the gradient is hx − ξ, ξ ~ N(0, h) anew at every update."""
    folder = tmp_path_factory.mktemp("law") / "run"
    rng = torch.Generator().manual_seed(0)
    curvature = torch.tensor(CURVATURE)
    x = torch.nn.Parameter(torch.zeros(400, dtype=torch.float64))
    optimizer = torch.optim.SGD([x], lr=0.1, momentum=0.9)

    def update():
        noise = curvature.sqrt() * torch.randn(400, generator=rng, dtype=torch.float64)
        loss = 0.5 * (curvature * x**2).sum() - (noise * x).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(1500):
        update()
    with record(None, optimizer, folder, modes=_Axes, batch_size=1, sampling="iid") as run:
        for _ in range(4000):
            run.step(update())
    return read_run(folder)


def _z(series, truth):
    """(mean − truth)/error by blocks."""
    blocked = Blocked(1)
    for value in series:
        blocked.add(np.array([value]))
    return float((blocked.mean()[0] - truth) / blocked.error()[0])


def test_displacement_over_all_origins_is_the_exact_law(found):
    result = found.correlator
    short = result.lag <= 64
    truth = LAW.displacement(result.lag[short], start="stationary")
    share = found.sketch_error / np.sqrt(len(CURVATURE) / 4)  # participation of increments is above a quarter
    error = np.hypot(result.displacement_error[short], share * truth)
    scores = (result.displacement[short] - truth) / error
    assert np.abs(scores).max() < 4
    assert np.sqrt(np.mean(scores**2)) < 2


def test_velocity_and_local_displacement_are_the_laws(found):
    truth = LAW.velocity_variance.sum()
    assert abs(_z(found.velocity_norm2, truth)) < 4
    assert abs(_z(found.step_norm2, 0.1**2 * truth)) < 4


def test_the_virial_identity_holds_with_the_recorded_pairing(found):
    """E⟨θ_{k−1} − θ_ref, g⟩ = (η(1+β)/2) E‖v_k‖² and 2E⟨θ_k − θ_ref, v_k⟩ = ηE‖v_k‖², whatever θ_ref is."""
    virial = found.offset_dot_gradient - 0.1 * 1.9 / 2 * found.velocity_norm2
    crossed = 2 * found.offset_dot_velocity - 0.1 * found.velocity_norm2
    assert abs(_z(virial, 0.0)) < 4
    assert abs(_z(crossed, 0.0)) < 4
    wrong = 2 * (found.offset_dot_velocity - 0.1 * found.velocity_norm2) - 0.1 * found.velocity_norm2
    assert abs(_z(wrong, 0.0)) > 4  # ⟨θ_{k−1} − θ_ref, v_k⟩ is another quantity


def test_modes_have_the_variances_of_the_law(found):
    for index, mode in enumerate(FOLLOWED):
        velocity = found.velocities[:, index].astype(float)
        position = found.positions[:, index].astype(float)
        position -= position.mean()
        assert abs(_z(velocity**2, LAW.velocity_variance[mode])) < 4
        assert abs(_z(position**2, LAW.position_variance[mode])) < 4


@pytest.mark.parametrize("nesterov", [False, True])
def test_decoupled_decay_has_the_law_that_theory_gives_it(tmp_path, nesterov):
    """Minimum away from 0, so that decay pulls: positions are exact, modes are as hot as the law says."""
    from limen.pretrain.optimizers import DecoupledSGD

    kept = np.array([0, 200, 399])
    curvature, decay = torch.tensor(CURVATURE), 0.3
    x = torch.nn.Parameter(torch.ones(400, dtype=torch.float64))
    optimizer = DecoupledSGD([x], lr=0.05, momentum=0.8, weight_decay=decay, nesterov=nesterov)
    rng = torch.Generator().manual_seed(1)

    def update():
        noise = curvature.sqrt() * torch.randn(400, generator=rng, dtype=torch.float64)
        optimizer.zero_grad()
        loss = 0.5 * (curvature * (x - 2) ** 2).sum() - (noise * x).sum()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(1000):
        update()
    reference, places = x.detach().numpy().copy(), []
    with record(None, optimizer, tmp_path / "run", modes=_Axes, batch_size=1, sampling="iid", every=700) as run:
        for _ in range(6000):
            run.step(update())
            places.append(x.detach().numpy()[kept] - reference[kept])
    found = read_run(tmp_path / "run")
    np.testing.assert_allclose(found.positions, places, atol=1e-5)
    assert all(test.passed for test in found.info.self_tests)
    assert {test.name for test in found.info.self_tests} >= {"drift", "sketch"}
    law = discrete(Modes(CURVATURE, CURVATURE, 0.05, 0.8, 1, decay, True, nesterov))
    coupled = discrete(Modes(CURVATURE, CURVATURE, 0.05, 0.8, 1, decay, False, nesterov))
    assert abs(_z(found.velocity_norm2, _square(law, decay))) < 4
    assert abs(_z(found.velocity_norm2, _square(coupled, decay))) > 4
    for index, mode in enumerate(kept):
        velocity = found.velocities[:, index].astype(float)
        velocity -= velocity.mean()
        position = found.positions[:, index].astype(float)
        position -= position.mean()
        assert abs(_z(velocity**2, law.velocity_variance[mode])) < 4
        assert abs(_z(position**2, law.position_variance[mode])) < 4


def _square(law, decay):
    """E‖v‖² with the mean velocity that holds the weights against decay: v* = λμ, hx* less pull."""
    h, beta = CURVATURE, 0.8
    nothing = law.problem.decoupled
    place = 2 * h / (h + decay * (1 - beta)) if nothing else 0.0
    return law.velocity_variance.sum() + np.sum((decay * place) ** 2 if nothing else 0.0)
