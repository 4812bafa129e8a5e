"""An update that the recorder makes stretch by stretch is torch's bit for bit, and made only where that is sure."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recorder_cases import batches, network, numbers, train, update  # noqa: E402

from limen.measure.recorder import stretchwise  # noqa: E402
from limen.measure.recorder.read import read_run  # noqa: E402
from limen.measure.recorder.recorder import record  # noqa: E402

pytestmark = pytest.mark.torch
RULES = [
    {"momentum": 0.9},
    {"momentum": 0.9, "weight_decay": 5e-2},
    {"momentum": 0.7, "dampening": 0.3, "weight_decay": 5e-2},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-2},
]


@pytest.fixture(autouse=True)
def one_thread_and_small_networks(monkeypatch):
    monkeypatch.setattr(stretchwise, "LEAST", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def wide(seed=0):
    """Parameters of several stretches each, of odd lengths."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(20, 4099), torch.nn.Tanh(), torch.nn.Linear(4099, 5))


def made_by(run):
    return run._observation.stretchwise.made


@pytest.mark.parametrize("options", RULES)
def test_weights_buffers_and_gradients_are_torchs_bit_for_bit(tmp_path, options):
    data = batches(12)
    plain, seen = wide(), wide()
    plain_optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, **options)
    optimizer = torch.optim.SGD(seen.parameters(), lr=0.05, **options)
    with record(seen, optimizer, tmp_path / "run", sketch=64, every=5) as run:
        for batch in data:
            update(plain, plain_optimizer, batch)
            run.step(update(seen, optimizer, batch))
            for a, b in zip(plain.parameters(), seen.parameters(), strict=True):
                assert torch.equal(a, b)
                assert torch.equal(a.grad, b.grad)
                state = plain_optimizer.state[a], optimizer.state[b]
                assert torch.equal(*(entry["momentum_buffer"] for entry in state))
        assert len(run._observation.tools.sketch.stretches) > 40
        assert made_by(run) == 12 - 4  # without the first, the trial, and one of every five
    assert all(test.passed for test in read_run(tmp_path / "run").info.self_tests)


@pytest.mark.parametrize("options", RULES)
def test_rows_are_those_of_reading_afterwards(tmp_path, options, monkeypatch):
    data = batches(40)
    found = []
    for name, least in (("here", 1), ("torch", 10**9)):
        monkeypatch.setattr(stretchwise, "LEAST", least)
        net = wide()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, **options)
        with record(net, optimizer, tmp_path / name) as run:
            train(net, optimizer, data, run.step)
            assert (made_by(run) > 30) == (least == 1)
        found.append(read_run(tmp_path / name))
    here, there = found
    for name in ("loss", "velocity_norm2", "gradient_norm2", "offset_norm2", "step_norm2"):
        np.testing.assert_allclose(getattr(here, name), getattr(there, name), rtol=1e-5, err_msg=name)
    for name in ("offset_dot_gradient", "offset_dot_velocity"):
        scale = np.sqrt(there.offset_norm2 * there.gradient_norm2).max()
        assert np.abs(getattr(here, name) - getattr(there, name)).max() <= 1e-5 * scale
    np.testing.assert_array_equal(here.sketch, there.sketch)


def test_one_bit_of_difference_leaves_updates_to_torch(tmp_path, monkeypatch):
    """A torch whose update rounds otherwise is found out by the trial, and nothing is changed."""
    rule = stretchwise._rule

    def other(settings, group):
        made = rule(settings, group)

        def apart(weight, buffer, gradient, scratch):
            made(weight, buffer, gradient, scratch)
            weight[-1] = torch.nextafter(weight[-1], torch.tensor(torch.inf))

        return apart

    monkeypatch.setattr(stretchwise, "_rule", other)
    plain, seen = network(), network()
    train(plain, torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9), batches(10))
    optimizer = torch.optim.SGD(seen.parameters(), lr=0.05, momentum=0.9)
    with record(seen, optimizer, tmp_path / "run") as run:
        train(seen, optimizer, batches(10), run.step)
        assert made_by(run) == 0
    np.testing.assert_array_equal(numbers(plain), numbers(seen))


@pytest.mark.parametrize(
    "case", ["hook", "foreach", "fused", "maximize", "tensor", "threads", "no momentum", "closure"]
)
def test_torch_makes_the_update_where_it_is_another_one(tmp_path, case):
    options = {"lr": 0.05, "momentum": 0.9} | {
        "foreach": {"foreach": True},
        "fused": {"fused": True},
        "maximize": {"maximize": True},
        "tensor": {"lr": torch.tensor(0.05), "foreach": False},
        "no momentum": {"momentum": 0.0},
    }.get(case, {})
    plain, seen = network(), network()
    optimizers = [torch.optim.SGD(net.parameters(), **options) for net in (plain, seen)]
    if case == "threads":
        torch.set_num_threads(2)
    if case == "hook":  # one that changes gradients before every update
        for optimizer in optimizers:
            optimizer.register_step_pre_hook(
                lambda optimizer, args, kwargs: (
                    [p.grad.mul_(0.5) for group in optimizer.param_groups for p in group["params"]] and None
                )
            )
    with record(seen, optimizers[1], tmp_path / "run") as run:
        for x, y in batches(8):
            for net, optimizer in zip((plain, seen), optimizers, strict=True):
                loss = torch.nn.functional.cross_entropy(net(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step(*([lambda: None] if case == "closure" else []))
            run.step(loss)
        assert made_by(run) == 0
    np.testing.assert_array_equal(numbers(plain), numbers(seen))


def test_a_change_of_setting_is_tried_anew_and_rate_and_momentum_are_not(tmp_path):
    plain, seen = network(), network()
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9) for net in (plain, seen)]
    made = []
    with record(seen, optimizers[1], tmp_path / "run") as run:
        for index, batch in enumerate(batches(12)):
            for optimizer in optimizers:
                optimizer.param_groups[0]["lr"] = 0.05 if index < 4 else 0.02
                optimizer.param_groups[0]["momentum"] = 0.9 if index < 6 else 0.8
                optimizer.param_groups[0]["weight_decay"] = 0.0 if index < 8 else 0.01
            update(plain, optimizers[0], batch)
            run.step(update(seen, optimizers[1], batch))
            made.append(made_by(run))
    assert np.diff([0, *made]).tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1]
    np.testing.assert_array_equal(numbers(plain), numbers(seen))


def test_accumulated_clipped_and_scaled_gradients_and_shared_memory(tmp_path):
    """Gradients are taken as they are when the update is due."""
    plain, seen = network(), network()
    for net, name in ((plain, None), (seen, tmp_path / "run")):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        run = None if name is None else record(net, optimizer, name).__enter__()
        for first, second in zip(batches(10), batches(10, seed=2), strict=True):
            optimizer.zero_grad(set_to_none=False)
            for x, y in (first, second):
                loss = torch.nn.functional.cross_entropy(net(x), y) / 2
                loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.1)
            optimizer.step()
            if run is not None:
                run.step(loss)
        if run is not None:
            assert made_by(run) == 8
            run.end()
    np.testing.assert_array_equal(numbers(plain), numbers(seen))
    rows = read_run(tmp_path / "run")
    assert np.all(rows.gradient_norm2 <= 0.01 * (1 + 1e-5))
