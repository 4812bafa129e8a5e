"""Optimizers against their formulas: torch's own SGD, its options, and decoupled decay."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.pretrain.optimizers import DecoupledSGD, make_optimizer  # noqa: E402

pytestmark = pytest.mark.torch
RATE, CURVATURE = 0.1, 2.0


def _run(options, steps=6, start=1.0):
    x = torch.nn.Parameter(torch.tensor([start], dtype=torch.float64))
    optimizer = make_optimizer({"learning_rate": RATE, **options}, [x])
    path = []
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * CURVATURE * x**2).sum().backward()
        optimizer.step()
        path.append(float(x.detach()))
    return path


def _slow(momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, decoupled=False, steps=6):
    x, buffer, path = 1.0, None, []
    for _ in range(steps):
        g = CURVATURE * x + (0 if decoupled else weight_decay) * x
        buffer = g if buffer is None or momentum == 0 else momentum * buffer + (1 - dampening) * g
        direction = g + momentum * buffer if nesterov else buffer
        x = (1 - RATE * weight_decay if decoupled else 1.0) * x - RATE * direction
        path.append(x)
    return path


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "dampening": 0.5},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.9, "weight_decay": 0.3},
        {"momentum": 0.9, "weight_decay": 0.3, "dampening": 0.2},
        {"momentum": 0.9, "weight_decay": 0.3, "nesterov": True},
        {"weight_decay": 0.3},
    ],
    ids=str,
)
def test_every_option_follows_the_recursion(options, decoupled):
    found = _run({"name": "sgd", **options, "decoupled": decoupled})
    np.testing.assert_allclose(found, _slow(**options, decoupled=decoupled), rtol=1e-13)


@pytest.mark.parametrize("extra", [{}, {"dampening": 0.3}, {"nesterov": True}], ids=str)
def test_without_decay_decoupled_is_torchs_own_bit_for_bit(extra):
    options = {"name": "sgd", "momentum": 0.9, **extra}
    assert _run({**options, "decoupled": True}) == _run(options)


def test_decoupled_decay_is_a_known_optimizer_with_one_hook_a_step():
    x = torch.nn.Parameter(torch.ones(1))
    optimizer = make_optimizer({"name": "sgd", "learning_rate": RATE, "weight_decay": 0.5, "decoupled": True}, [x])
    torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])  # wraps the step of its own class
    calls = []
    optimizer.register_step_post_hook(lambda *a: calls.append(1))
    x.grad = torch.zeros(1)
    optimizer.step()
    assert isinstance(optimizer, torch.optim.SGD)
    assert isinstance(optimizer, DecoupledSGD)
    assert calls == [1]
    assert (optimizer.param_groups[0]["weight_decay"], optimizer.param_groups[0]["decoupled_weight_decay"]) == (
        0.5,
        True,
    )
    assert float(x.detach()) == pytest.approx(1 - RATE * 0.5)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_and_adamw_are_torchs(name):
    x, y = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    cls = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    ours = make_optimizer({"name": name, "learning_rate": 0.1, "weight_decay": 0.2}, [x])
    theirs = cls([y], lr=0.1, weight_decay=0.2)
    for p, optimizer in ((x, ours), (y, theirs)):
        p.grad = torch.tensor([1.0, -2.0])
        optimizer.step()
    assert type(ours) is cls
    assert torch.equal(x, y)
