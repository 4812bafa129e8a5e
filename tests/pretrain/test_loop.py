"""The loop: updates are the optimizer's, rates the schedule's, divergence is a value, observers only look."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from limen.pretrain.loop import Training, train


class Spy:
    def __init__(self):
        self.events, self.steps = [], []

    def begin(self, model, optimizer, steps):
        self.events.append(("begin", steps))

    def step(self, step):
        self.steps.append(step)

    def end(self):
        self.events.append(("end", len(self.steps)))


def _quadratic(steps, losses=None, learning_rate=0.1):
    """Gradient descent on ½x² from 1: x_k = (1 − η)^k."""
    x = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
    loss = losses or iter(lambda: [lambda: 0.5 * x**2], None)
    return x, Training(None, torch.optim.SGD([x], lr=1.0), loss, lambda done: learning_rate, steps)


def test_updates_follow_the_recursion():
    x, training = _quadratic(20)
    outcome = train(training)
    assert outcome.done == 20
    assert float(x.detach()) == pytest.approx(0.9**20, rel=1e-12)
    assert outcome.losses == pytest.approx([0.5 * 0.9 ** (2 * k) for k in range(20)])


def test_the_learning_rate_is_the_schedules():
    x, training = _quadratic(3)
    rates = [0.1, 0.2, 0.4]
    train(Training(None, training.optimizer, training.losses, rates.__getitem__, 3))
    assert float(x.detach()) == pytest.approx(0.9 * 0.8 * 0.6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_run_and_is_told(bad):
    x = torch.nn.Parameter(torch.ones(()))
    values = [3.0, 2.0, bad, 1.0]
    losses = iter([[lambda v=v: x * 0 + v] for v in values])
    spy = Spy()
    outcome = train(Training(None, torch.optim.SGD([x], lr=0.1), losses, lambda done: 0.1, 4), [spy])
    assert (outcome.done, outcome.losses) == (2, (3.0, 2.0))
    assert (outcome.diverged.step, outcome.diverged.learning_rate, outcome.diverged.last_finite_loss) == (2, 0.1, 2.0)
    assert outcome.diverged.loss == str(bad)
    assert "lower the learning rate" in outcome.diverged.reason
    assert spy.events == [("begin", 4), ("end", 2)]
    assert float(x.detach()) == 1.0


def test_divergence_at_the_first_step_has_no_last_loss():
    x = torch.nn.Parameter(torch.ones(()))
    losses = iter([[lambda: x * float("nan")]])
    outcome = train(Training(None, torch.optim.SGD([x], lr=0.1), losses, lambda done: 0.1, 1))
    assert outcome.diverged.last_finite_loss is None
    assert "no finite loss" in outcome.diverged.reason


def test_observers_see_every_step_and_the_end_of_a_run_that_breaks():
    spy = Spy()
    _, training = _quadratic(5)
    train(training, [spy])
    assert [s.done for s in spy.steps] == [1, 2, 3, 4, 5]
    assert spy.steps[0].loss == 0.5
    assert all(a.seconds <= b.seconds for a, b in pairwise(spy.steps))

    def broken():
        raise RuntimeError("disk full")

    spy = Spy()
    with pytest.raises(RuntimeError, match="disk full"):
        train(Training(None, training.optimizer, iter([[broken]]), lambda done: 0.1, 1), [spy])
    assert spy.events == [("begin", 1), ("end", 0)]
