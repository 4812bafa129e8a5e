"""Slices: convex and double-well losses in closed form, missing tensors, barriers with coverage, batch statistics."""

from __future__ import annotations

import numpy as np
import pytest

from limen.arrays.random import stream
from limen.measure.loss_slices import RESTORED, Path, interpolate, loss_slices, restored_batch_norm
from limen.records.errors import BadInput


def states(*points):
    return {f"s{i}": {"w": np.asarray(p, dtype=np.float64)} for i, p in enumerate(points)}


def quadratic(centres):
    return lambda at: 0.5 * ((at["w"] - centres) ** 2).sum(axis=1)


def test_a_quadratic_is_below_its_chord_by_half_the_squared_step():
    centres = stream("centres").standard_normal((50, 3))
    found = loss_slices(Path(states([0, 0, 0], [2, 0, 0], [2, 4, 0]), 5), {"l": quadratic(centres)})
    # height at s is −½ s(1 − s)‖Δ‖², the same for every unit; largest at the inner positions nearest the ends
    for barrier, step in zip(found.barriers["l"], (2.0, 4.0), strict=True):
        assert barrier.value == pytest.approx(-0.5 * 0.25 * 0.75 * step**2)
        assert barrier.high == pytest.approx(barrier.value)
    assert found.positions == (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2)
    exact = [quadratic(centres)({"w": np.array(w)}).mean() for w in ([0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 2, 0])]
    assert [found.losses["l"][i].value for i in (0, 2, 4, 6)] == pytest.approx(exact)


def test_heights_are_paired_and_the_losses_are_not():
    effects = 10 * stream("effects").standard_normal(40)
    found = loss_slices(
        Path(states([-1.0], [1.0])), {"l": lambda at: effects + (at["w"][0] ** 2 - 1) ** 2 * (1 + 0.01 * effects)}
    )
    barrier, middle = found.barriers["l"][0], found.losses["l"][5]
    assert barrier.low <= 1.0 <= barrier.high or abs(barrier.value - 1) < 0.1
    assert barrier.high - barrier.low < 0.1 * (middle.high - middle.low)


def test_coverage_of_the_barrier():
    inside = []
    for key in range(300):
        heights = 1 + stream("barrier", key).standard_normal(30)
        found = loss_slices(Path(states([-1.0], [1.0]), 5), {"l": lambda at, h=heights: h * (at["w"][0] ** 2 - 1) ** 2})
        barrier = found.barriers["l"][0]
        inside.append(barrier.low <= 1.0 <= barrier.high)
    assert np.mean(inside) >= 0.94


def test_a_tensor_that_comes_later_is_there_before_and_integers_are_those_of_the_nearer():
    path = {
        "start": {"w": np.array([0.0])},
        "pretrained": {"w": np.array([1.0])},
        "adapted": {"w": np.array([2.0]), "head": np.array([5.0]), "count": np.array([7])},
    }
    seen = []
    loss_slices(
        Path(path, 3), {"l": lambda at: seen.append((at["w"][0], at["head"][0], at["count"][0])) or np.zeros(2)}
    )
    assert seen == [(0.0, 5.0, 7), (0.5, 5.0, 7), (1.0, 5.0, 7), (1.5, 5.0, 7), (2.0, 5.0, 7)]
    mixed = interpolate({"n": np.array([1])}, {"n": np.array([9])}, 0.75)
    assert mixed["n"].tolist() == [9]


def test_a_loss_that_is_not_finite_is_diverged_there_and_has_no_barrier():
    found = loss_slices(Path(states([0.0], [2.0]), 5), {"l": lambda at: np.full(3, np.inf if at["w"][0] == 1 else 1.0)})
    assert [e.state for e in found.losses["l"]] == ["measured", "measured", "diverged", "measured", "measured"]
    assert found.barriers["l"][0].state == "diverged"


def test_misuse_is_named_all_at_once():
    with pytest.raises(BadInput) as caught:
        loss_slices(Path(states([0.0], [1.0, 2.0]), 2), {})
    assert len(caught.value.problems) == 3
    sizes = iter((2, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2))
    with pytest.raises(BadInput, match="the same units"):
        loss_slices(Path(states([0.0], [1.0])), {"l": lambda at: np.zeros(next(sizes))})


@pytest.mark.torch
def test_batch_statistics_of_averaged_nets_are_re_estimated():
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)

    def net():
        return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2))

    batches = [torch.randn(64, 4) * 3 + 1 for _ in range(5)]
    nets = [net(), net()]
    plain = []
    for model in nets:
        model.train()
        for _ in range(200):
            for batch in batches:
                model(batch)
        plain.append({k: v.numpy().copy() for k, v in model.state_dict().items()})
    probe = net()

    def show(model):
        for batch in batches:
            model(batch)

    restore = restored_batch_norm(probe, show)
    middle = restore(interpolate(plain[0], plain[1], 0.5))
    weight, bias = middle["0.weight"], middle["0.bias"]
    inner = torch.cat(batches).numpy() @ weight.T + bias
    assert middle["1.running_mean"] == pytest.approx(inner.mean(axis=0), rel=1e-4, abs=1e-4)
    stacked = np.array([(b.numpy() @ weight.T + bias).var(axis=0, ddof=1) for b in batches])
    assert middle["1.running_var"] == pytest.approx(stacked.mean(axis=0), rel=1e-4)
    assert not np.allclose(middle["1.running_var"], interpolate(plain[0], plain[1], 0.5)["1.running_var"], rtol=0.05)
    found = loss_slices(Path({"a": plain[0], "b": plain[1]}, 3), {"l": lambda at: at["1.running_var"]}, restore)
    assert found.statistics == RESTORED
    assert probe[1].momentum == 0.1


@pytest.mark.torch
def test_digits_from_start_to_pretrained_to_tuned():
    import torch

    from limen.data.digits import digits
    from limen.measure.slice_losses import adaptation_losses, pretraining_losses
    from limen.models.architectures.registry import build
    from limen.pretrain.checkpoints import unpack
    from limen.pretrain.run import pretrain

    spec = {
        "data": "digits:train", "heldout": 0.2, "objective": "autoencoder", "steps": 40, "batch_size": 32,
        "architecture": {"name": "conv", "width": 8}, "optimizer": {"name": "adam", "learning_rate": 3e-3},
        "checkpoints": 2, "evaluation": {"draws": 1, "training_batches": 2},
    }  # fmt: skip
    record = pretrain(spec)
    start, pretrained = (unpack(record.arrays, step) for step in (0, 40))
    images, labels = digits("digits:train")
    fit, held = (images[:300], labels[:300]), (images[300:600], labels[300:600])
    model = build(record.data["architecture"])
    model.load_state_dict(
        {k.removeprefix("encoder."): torch.from_numpy(v.copy()) for k, v in pretrained.items() if k[:8] == "encoder."}
    )
    head = torch.nn.Linear(model.dimension(record.data["layers"][-1]), 10)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    x = torch.from_numpy(fit[0]).permute(0, 3, 1, 2).contiguous()
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(
            head(model(x, record.data["layers"][-1])), torch.from_numpy(fit[1])
        ).backward()
        optimizer.step()
    tuned = {"encoder." + k: v.detach().numpy().copy() for k, v in model.state_dict().items()}
    tuned |= {"task.weight": head.weight.detach().numpy().T.copy(), "task.bias": head.bias.detach().numpy().copy()}
    losses = pretraining_losses(spec, 3) | adaptation_losses(record, fit, held)
    found = loss_slices(Path({"start": start, "pretrained": pretrained, "adapted": tuned}, 3), losses)
    assert len(found.losses) == 4
    final = {int(c["step"]): np.mean(c["heldout_losses"]) for c in record.data["checkpoints"]}
    by = {name: [e.value for e in row] for name, row in found.losses.items()}
    assert by["pretraining_loss"][0] == pytest.approx(final[0], rel=1e-5)
    assert by["pretraining_loss"][2] == pytest.approx(final[40], rel=1e-5)
    assert by["pretraining_loss"][2] < by["pretraining_loss"][0]
    assert by["adaptation_loss"][4] < by["adaptation_loss"][2]
    assert by["empirical_adaptation_loss"][4] < np.log(10)
    assert found.states == ("start", "pretrained", "adapted")
