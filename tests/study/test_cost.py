"""Forecasts are right within a factor 3: CPU time of updates, and what is kept, of every kind of encoder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limen.study.architectures import (
    ConvArchitecture,
    LinearArchitecture,
    MlpArchitecture,
    ResNet18Architecture,
    SoundArchitecture,
    TransformerArchitecture,
    VitArchitecture,
)
from limen.study.cost import features_cost, pretrain_cost
from limen.study.encoders import Pretrain
from limen.study.files import Files
from limen.study.work import Shape, image_shape, shape_of, weights, width_of

TEXT = Shape(32, 500)
SOUND = Shape(51, 20)
BUILT: list[tuple[Any, Shape]] = [
    (ConvArchitecture(width=8), image_shape(32)),
    (ConvArchitecture(), image_shape(8)),
    (ResNet18Architecture(width=8), image_shape(32)),
    (MlpArchitecture(hidden=(30, 20)), image_shape(8)),
    (LinearArchitecture(), image_shape(8)),
    (VitArchitecture(width=32, depth=3), image_shape(32)),
    (TransformerArchitecture(width=32, depth=3), TEXT),
    (SoundArchitecture(width=8, stages=4), SOUND),
]


def run(**fields: Any) -> Pretrain:
    return Pretrain.model_validate({"data": "digits", "steps": 100, "batch_size": 32, "checkpoints": [100], **fields})


def test_shapes_come_from_preprocessing() -> None:
    assert shape_of(run(input="text", tokens={"vocabulary": 300, "length": 9})) == Shape(9, 300)
    assert shape_of(run(input="audio", sound={"seconds": 0.5, "bands": 20})) == SOUND
    assert shape_of(run()) == image_shape(8) == Shape(8, 1, True)


@pytest.mark.torch
@pytest.mark.parametrize(("architecture", "shape"), BUILT, ids=lambda value: getattr(value, "name", ""))
def test_weights_and_columns_are_those_of_the_encoder(architecture: Any, shape: Shape) -> None:
    from limen.models.architectures.registry import build

    data = {"vocabulary": shape.channels, "length": shape.positions} if architecture.takes == "text" else {
        "bands": shape.channels, "frames": shape.positions}  # fmt: skip
    if shape.image:
        data = {"in_channels": shape.channels, "image_size": shape.positions}
    encoder = build({**architecture.model_dump(exclude_none=True), **data})
    assert width_of(architecture, shape) == encoder.dimension()
    held = sum(tensor.numel() for tensor in encoder.parameters())
    if held:  # the linear encoder has none: all its weights are those of the head
        assert 0.6 < weights(architecture, shape) / held < 1.6


LONGER: list[dict[str, Any]] = [
    {"input": "text", "tokens": {"length": 128}}, {"input": "text", "architecture": {"depth": 8}},
    {"input": "text", "architecture": {"width": 256}}, {"input": "text", "batch_size": 64},
    {"input": "text", "steps": 200},
]  # fmt: skip


@pytest.mark.parametrize("change", LONGER)
def test_more_of_anything_costs_more(change: dict[str, Any]) -> None:
    assert pretrain_cost(run(**change), 1000).seconds > 1.5 * pretrain_cost(run(input="text"), 1000).seconds


def test_features_cost_what_the_input_costs_and_the_look_for_near_duplicates(tmp_path: Path) -> None:
    for name, rows in (("a", 1000), ("b", 3000)):
        (tmp_path / f"{name}.csv").write_text("text,audio\n" + "".join(f"one {i},two\n" for i in range(rows)))
    files = Files(tmp_path)

    def seconds(table: str, **fields: Any) -> float:
        return features_cost(run(**{"data": "a.csv", **fields}), table, files).seconds

    assert seconds("b.csv", input="text") > 2 * seconds("a.csv", input="text")
    assert seconds("b.csv", input="text", data="b.csv") < seconds("b.csv", input="text")  # the file itself
    assert seconds("a.csv", input="audio", sound={"seconds": 4.0}) > 2 * seconds("a.csv", input="audio")
    assert seconds("a.csv", input="text", architecture={"depth": 40}) > 5 * seconds("a.csv", input="text")
    assert seconds("a.csv", input="text", threads=2) < 0.7 * seconds("a.csv", input="text")


def test_a_vocabulary_costs_where_tokens_are_restored() -> None:
    def cost(objective: str, vocabulary: int) -> tuple[float, int, int]:
        found = pretrain_cost(run(input="text", objective=objective, tokens={"vocabulary": vocabulary}), 1000)
        return found.seconds, found.disk, found.memory

    for small, large in zip(cost("masked", 1000), cost("masked", 8000), strict=True):
        assert large > 1.1 * small
    assert cost("nt-xent", 8000)[0] == cost("nt-xent", 1000)[0]


def test_each_further_partner_is_one_more_pass() -> None:
    one, three = (pretrain_cost(run(objective="contrastive", block=b), 1000).seconds for b in (1, 3))
    assert 1.7 < three / one < 2.1
    assert pretrain_cost(run(objective="spectral"), 1000).seconds == pytest.approx(one, rel=0.05)
    assert pretrain_cost(run(objective="masked"), 1000).seconds < 0.6 * one


MEASURED: list[dict[str, Any]] = [
    {"input": "text", "architecture": {"width": 64, "depth": 3}, "tokens": {"vocabulary": 500, "length": 48}},
    {"input": "text", "objective": "next-token", "architecture": {"width": 64, "depth": 3}},
    {"input": "text", "objective": "masked", "architecture": {"width": 64, "depth": 3}},
    {"input": "audio", "architecture": {"width": 16}},
    {"input": "audio", "objective": "autoencoder"},
    {"architecture": {"name": "vit", "width": 64, "patch": 1}, "objective": "spectral"},
    {"architecture": {"name": "vit", "width": 64, "patch": 1}, "objective": "masked"},
    {"objective": "contrastive", "block": 2, "negatives": 3},
    {"objective": "autoencoder"},
]


@pytest.mark.torch
@pytest.mark.parametrize("fields", MEASURED, ids=lambda f: "-".join(str(f.get(k, "")) for k in ("input", "objective")))
def test_updates_take_the_time_that_is_forecast_within_a_factor_3(fields: dict[str, Any]) -> None:
    """One thread, process time, the median of five: an update as the loop does it."""
    encoder = run(**fields)
    least = pretrain_cost(encoder.model_copy(update={"steps": 0}), 0).seconds
    forecast = (pretrain_cost(encoder, 0).seconds - least) / encoder.steps
    assert 1 / 3 < forecast / _measured(encoder) < 3


def _measured(encoder: Pretrain) -> float:
    import torch

    from limen.models.architectures.registry import build
    from limen.pretrain.determinism import deterministic
    from limen.pretrain.examples import Examples
    from limen.pretrain.objectives.make import make_objective
    from limen.pretrain.spec import PretrainSpec

    draw = np.random.default_rng(0)
    shape, kind, count = shape_of(encoder), encoder.input, encoder.batch_size
    options = {"name": encoder.objective} | ({"block": encoder.block, "negatives": encoder.negatives}
                                             if encoder.objective == "contrastive" else {})  # fmt: skip
    spec = PretrainSpec.parse({"data": "digits", "steps": 9, "batch_size": count, "input": kind, "objective": options})
    if kind == "text":
        rows: Any = draw.integers(3, shape.channels, size=(count, shape.positions)).astype(np.int32)
        facts: dict[str, Any] = {"vocabulary": shape.channels, "length": shape.positions}
        facts["causal"] = encoder.objective == "next-token"
    elif kind == "audio":
        rows = draw.normal(size=(count, shape.channels, shape.positions)).astype(np.float32)
        facts = {"bands": shape.channels, "frames": shape.positions}
    else:
        rows = draw.random((count, shape.positions, shape.positions, shape.channels)).astype(np.float32)
        facts = {"in_channels": shape.channels, "image_size": shape.positions}
    examples = Examples(rows, takes=kind)
    taken = []
    with deterministic(1):
        objective = make_objective(spec, examples)
        module = build({**encoder.architecture.model_dump(exclude_none=True), **facts})
        module.initialise(draw)
        head = objective.head(module, draw)
        optimizer = torch.optim.SGD([*module.parameters(), *head.parameters()], lr=1e-3, momentum=0.9)
        for _ in range(6):
            begun = time.process_time()
            batch = examples.batch(np.arange(count), module.channels_last)
            loss = objective.batch_loss(module, head, batch, draw)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            taken.append(time.process_time() - begun)
    return float(np.median(taken[1:]))
