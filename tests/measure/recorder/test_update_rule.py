"""What is read off after an update is what the update was: every option, both ways, against weights kept before it."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.measure.recorder.flat import FlatParameters  # noqa: E402
from limen.measure.recorder.scalars import Reader, Scalars, can_recur  # noqa: E402
from limen.measure.recorder.sketch import CountSketch  # noqa: E402
from limen.measure.recorder.update_rule import Update, kind_of, settings_of, unwrapped  # noqa: E402
from limen.pretrain.optimizers import DecoupledSGD  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch
SGD = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.5},
    {"momentum": 0.9, "dampening": 0.97},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "nesterov": True, "foreach": True},
    {"momentum": 0.9, "nesterov": True, "fused": True},
    {"momentum": 0.9, "nesterov": True, "maximize": True, "foreach": True},
    {"momentum": 0.9, "foreach": True},
    {"momentum": 0.9, "fused": True},
    {"momentum": 0.9, "maximize": True},
    {"maximize": True},
]
CASES = [("SGD", options) for options in SGD] + [
    (name, options) for name in ("Adam", "AdamW") for options in ({}, {"amsgrad": True}, {"foreach": True})
]
DECOUPLED = [{}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.5}, {"momentum": 0.9, "nesterov": True}]
CASES += [("DecoupledSGD", options) for options in (*DECOUPLED, {"momentum": 0.9, "nesterov": True, "foreach": True})]


def _made(name):
    return DecoupledSGD if name == "DecoupledSGD" else getattr(torch.optim, name)


def _concatenated(arrays):
    return np.concatenate([array.copy() for array in arrays])


def test_groups_may_differ_in_foreach():
    """Nesterov's foreach way alters `.grad`, the plain way does not; each group is read as what it was."""
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(50).double()) for _ in range(2)]
    for first in (True, False):
        groups = [{"params": [p], "foreach": (index == 0) == first} for index, p in enumerate(parameters)]
        optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True)
        weights = FlatParameters(parameters, [0, 1])
        sketch = CountSketch(weights.sizes, 64, 0)
        reader, last = Reader(weights.copy(), sketch, 2), None
        for _ in range(4):
            optimizer.zero_grad()
            sum(p.cos().sum() for p in parameters).backward()
            truth = sum(float(p.grad.square().sum()) for p in parameters)
            optimizer.step()
            said = Update(optimizer, settings_of(optimizer, "SGD"), weights)
            found, products = reader.anew(said)
            sketch.taken()
            assert found.gradient_norm2 == pytest.approx(truth, rel=1e-10)
            if can_recur(said, last):
                assert reader.recursive(said, last)[0].gradient_norm2 == pytest.approx(truth, rel=1e-8)
                sketch.taken()
            last = products
        assert can_recur(said, last)


DECAYS = [(0.0, 0.0), (0.1, 0.1), (0.0, 0.2)]


@pytest.mark.parametrize(
    ("name", "options", "decays"),
    [(*case, decays) for case in CASES for decays in DECAYS[: 2 if case[0] == "DecoupledSGD" else 3]],  # one for all
)
def test_scalars_are_those_of_the_update(name, options, decays):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(9, 8), torch.nn.Tanh(), torch.nn.Linear(8, 7)).double()
    parameters = list(net.parameters())
    groups = [
        {"params": parameters[:2], "weight_decay": decays[0]},
        {"params": parameters[2:], "weight_decay": decays[1]},
    ]
    rate = 0.05
    optimizer = _made(name)(groups, lr=rate, **options)
    weights = FlatParameters(parameters, [0, 0, 1, 1])
    reference = weights.copy()
    start = _concatenated(reference)
    coupled = np.concatenate([np.full(s, decays[g]) for s, g in zip(weights.sizes, weights.groups, strict=True)])
    coupled = coupled * (name not in ("AdamW", "DecoupledSGD"))
    sketch = CountSketch(weights.sizes, 64, 0)
    reader, last, recurred = Reader(reference, sketch, 2), None, 0
    for _ in range(6):
        optimizer.zero_grad()
        (net(torch.randn(16, 9).double()) - 1).square().mean().backward()
        before = _concatenated(weights.views(parameters))
        gradient = _concatenated(weights.views([p.grad for p in parameters]))
        gradient = gradient * (-1 if options.get("maximize") else 1) + coupled * before
        optimizer.step()
        after = _concatenated(weights.views(parameters))
        velocity = -gradient if name == "DecoupledSGD" else (after - before) / rate
        if options.get("momentum"):
            velocity = -_concatenated(weights.views([optimizer.state[p]["momentum_buffer"] for p in parameters]))
        truth = Scalars(
            velocity_norm2=velocity @ velocity,
            gradient_norm2=gradient @ gradient,
            offset_dot_gradient=(before - start) @ gradient,
            offset_dot_velocity=(after - start) @ velocity,
            offset_norm2=(after - start) @ (after - start),
            step_norm2=(after - before) @ (after - before),
        )
        said = Update(optimizer, settings_of(optimizer, kind_of(optimizer)), weights)
        found, products = reader.anew(said)
        sketched = sketch.taken()
        for field in Scalars.__dataclass_fields__:
            assert getattr(found, field) == pytest.approx(getattr(truth, field), rel=1e-8, abs=1e-14), field
        np.testing.assert_allclose(sketched, -sketch.of(weights.split(velocity)), rtol=1e-7, atol=1e-12)
        if can_recur(said, last):
            recurred += 1
            found, products = reader.recursive(said, last)
            np.testing.assert_allclose(sketch.taken(), sketched, rtol=1e-9, atol=1e-12)
            for field in Scalars.__dataclass_fields__:
                assert getattr(found, field) == pytest.approx(getattr(truth, field), rel=1e-8, abs=1e-13), field
        last = products
    recurs = options.get("momentum") and options.get("dampening") != 0.97
    assert recurred == (5 if recurs and not (name == "DecoupledSGD" and any(decays)) else 0)


def test_unknown_optimizers_and_overridden_steps_are_refused():
    weights = [torch.nn.Parameter(torch.ones(3))]

    class Odd(torch.optim.SGD):
        def step(self, closure=None):
            return None

    class Renamed(torch.optim.SGD):
        pass

    class OddDecoupled(DecoupledSGD):
        def step(self, closure=None):
            return None

    for bad in (torch.optim.RMSprop(weights), Odd(weights, lr=0.1), OddDecoupled(weights, lr=0.1)):
        with pytest.raises(BadInput, match=r"torch\.optim\.SGD .*Adam"):
            kind_of(bad)
    assert kind_of(Renamed(weights, lr=0.1)) == "SGD"
    assert kind_of(DecoupledSGD(weights, lr=0.1)) == "SGD"


def test_decoupled_decay_is_that_of_the_class_and_one_for_all_groups():
    one, two = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    found = settings_of(DecoupledSGD([one, two], lr=0.1, weight_decay=0.2, maximize=True), "SGD")
    assert (found.decoupled, found.maximize) == (True, False)  # its step descends, whatever `maximize` says
    coupled = torch.optim.SGD([one], lr=0.1, weight_decay=0.2)
    coupled.param_groups[0]["decoupled_weight_decay"] = True  # torch's SGD does not look at it
    assert not settings_of(coupled, "SGD").decoupled
    with pytest.raises(BadInput, match="one weight_decay for all groups"):
        settings_of(DecoupledSGD([{"params": [one], "weight_decay": 0.1}, {"params": [two]}], lr=0.1), "SGD")


def test_groups_may_differ_in_decay_only_and_all_differences_are_named():
    one, two = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    fine = torch.optim.SGD([{"params": [one], "weight_decay": 0.1}, {"params": [two]}], lr=0.1)
    assert settings_of(fine, "SGD").weight_decay == (0.1, 0.0)
    bad = torch.optim.SGD([{"params": [one], "lr": 0.2, "momentum": 0.5}, {"params": [two]}], lr=0.1)
    with pytest.raises(BadInput) as caught:
        settings_of(bad, "SGD")
    assert [problem.what.split(" for")[0] for problem in caught.value.problems] == [
        "expected one lr",
        "expected one momentum",
    ]


def test_wrappers_are_seen_through():
    inner = torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], lr=0.1)

    class Wrapper:
        param_groups = inner.param_groups
        optimizer = inner

    assert unwrapped(Wrapper()) is inner
    assert unwrapped(inner) is inner


def test_weights_in_any_memory_order_are_read_without_a_copy():
    conv = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    turned = torch.nn.Parameter(torch.randn(5, 7).t())
    parameters = [conv.weight, turned, conv.bias]
    weights = FlatParameters(parameters, [0, 0, 0])
    views = weights.kept("after", parameters)
    assert weights.kept("after", parameters) is views
    with torch.no_grad():
        conv.weight.add_(1)
        turned.mul_(2)
    for view, parameter in zip(views, parameters, strict=True):
        assert np.sort(view) == pytest.approx(np.sort(parameter.detach().numpy().ravel()))
    logical = np.concatenate([p.detach().numpy().ravel() for p in parameters])[None]
    np.testing.assert_array_equal(weights.logical_to_memory(logical)[0], np.concatenate(views))
