"""Two tables of a study mean the same exactly if they hash the same: every member of every union, every field."""

from __future__ import annotations

from itertools import combinations
from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter

from limen.records.cell import canonical_json
from limen.study.architectures import (
    ConvArchitecture,
    LinearArchitecture,
    MlpArchitecture,
    ResNet18Architecture,
    SoundArchitecture,
    TransformerArchitecture,
    VitArchitecture,
)
from limen.study.encoders import (
    Adam,
    AdamW,
    Augmentation,
    Encoder,
    Evaluation,
    Pretrain,
    ScheduleTable,
    Sgd,
    SoundSpectra,
    TextTokens,
)
from limen.study.identity import meaning, semantic

ENCODER: TypeAdapter[Any] = TypeAdapter(Encoder)
MEMBERS: tuple[type[BaseModel], ...] = get_args(get_args(Encoder)[0])
REQUIRED: dict[str, dict[str, Any]] = {
    "sentence-transformers": {"path": "a"}, "transformers": {"path": "a"},
    "torch": {"path": "a", "architecture": {"name": "conv"}}, "pretrain": {"data": "digits", "steps": 100},
    "timm": {"path": "a"}, "open-clip": {"path": "a"},
}  # fmt: skip
OTHERS: dict[str, list[Any]] = {
    "path": ["b"], "revision": ["a" * 40], "batch_size": [7], "pooling": ["cls", "last"], "layer": [2],
    "max_length": [9, 10], "architecture": [
        {"width": 8}, {"stem_stride": 2}, {"in_channels": 1}, {"image_size": 8},
        {"name": "resnet18"}, {"name": "resnet18", "width": 8}, {"name": "resnet18", "image_size": 8},
        {"name": "mlp"}, {"name": "mlp", "hidden": [8]}, {"name": "mlp", "hidden": [8, 8]},
        {"name": "mlp", "activation": "relu"}, {"name": "mlp", "activation": "tanh"}, {"name": "linear"},
        {"name": "vit"}, {"name": "vit", "width": 32}, {"name": "vit", "depth": 2}, {"name": "vit", "heads": 2},
        {"name": "vit", "patch": 2}, {"name": "vit", "image_size": 8}, {"name": "vit", "in_channels": 1},
    ],
    "column": ["c"], "dimension": [5], "seed": [1], "data": ["other"], "heldout": [0.1, "held"],
    "temperature": [0.2], "projection": [8], "augmentation": [{}, {"flip": True}, {"noise": 0.1}, {"crop": 0.5}],
    "steps": [101], "sampling": ["iid", "replacement", "same-order"],
    "optimizer": [
        *({"name": name, "learning_rate": 0.02, "weight_decay": 0.5} for name in ("sgd", "adam", "adamw")),
        *({"name": name, "learning_rate": 0.03} for name in ("sgd", "adam", "adamw")),
        {"name": "adam"}, {"name": "adamw"}, {"name": "sgd", "momentum": 0.0}, {"name": "sgd", "dampening": 0.5},
        {"name": "sgd", "nesterov": True}, {"name": "sgd", "decoupled": True},
    ],
    "schedule": ["cosine", {"name": "constant", "warmup": 3}, {"name": "cosine", "warmup": 3}],
    "checkpoints": [3, [0, 5]], "seeds": [2], "threads": [2],
    "evaluation": [{"draws": 3}, {"training_batches": 2}], "record": ["dynamics"],
    "objective": ["supervised", "contrastive", "spectral", "masked", "autoencoder"],
    "start": ["a", "a@3"], "on_bad": ["skip"], "accumulation": [2], "precision": ["bfloat16"], "on_nan": ["skip"],
}  # fmt: skip
CONTRASTIVE = {"objective": "contrastive"}
TEXT = {"input": "text"}
OTHER_FOR: dict[tuple[str, str], list[Any]] = {
    ("torch", "layer"): ["stem"],
    ("timm", "layer"): ["blocks.1"], ("open-clip", "input"): ["text"],
    ("random-features", "input"): ["text", "image"],
    ("transformers", "input"): ["image", "audio"],
    ("pretrain", "input"): [
        {**TEXT}, {"input": "audio"}, {**TEXT, "objective": "next-token"}, {**TEXT, "objective": "masked"},
        {**TEXT, "augmentation": {"drop": 0.1}}, {**TEXT, "augmentation": {"mask": 0.1}},
        {**TEXT, "augmentation": {"crop": 0.5}}, {**TEXT, "architecture": {"width": 64}},
        {**TEXT, "architecture": {"depth": 2}}, {**TEXT, "architecture": {"heads": 2}},
        {**TEXT, "architecture": {"causal": True}}, {"input": "audio", "architecture": {"width": 8}},
        {"input": "audio", "architecture": {"stages": 2}},
        *({"input": "audio", "augmentation": {key: 0.1}} for key in ("shift", "gain", "noise", "frames")),
        {"input": "audio", "augmentation": {"bands": 4}},
    ],
    ("pretrain", "tokens"): [{**TEXT, "tokens": {"vocabulary": 999}}, {**TEXT, "tokens": {"length": 9}}],
    ("pretrain", "sound"): [
        {"input": "audio", "sound": value} for value in ({"rate": 16000}, {"seconds": 2.0}, {"bands": 20})
    ],
    ("pretrain", "label"): [
        {"objective": "supervised", "label": "digit"}, {**CONTRASTIVE, "pairs": "label", "label": "digit"},
    ],
    ("pretrain", "loss"): [{"objective": "supervised", "loss": "squared"}],
    ("pretrain", "processes"): [{"accumulation": 4, "processes": 2}, {"accumulation": 4, "processes": 4}],
    ("pretrain", "projection"): [8, {"objective": "spectral", "projection": 0}],
    ("pretrain", "pairs"): [{**CONTRASTIVE, "pairs": "label"}, {"objective": "spectral", "pairs": "label"}],
    ("pretrain", "negatives"): [{**CONTRASTIVE, "negatives": 3}],
    ("pretrain", "block"): [{**CONTRASTIVE, "block": 3}],
    ("pretrain", "surrogate"): [{**CONTRASTIVE, "surrogate": "hinge"}],
    ("pretrain", "radius"): [{**CONTRASTIVE, "radius": 2.0}],
    ("pretrain", "share"): [{"objective": "masked", "share": 0.2}],
    ("pretrain", "noise"): [{"objective": "autoencoder", "noise": 0.2}],
}  # fmt: skip
OPTIMIZERS: tuple[type[BaseModel], ...] = (Sgd, Adam, AdamW)
EQUAL: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"schedule": "constant"}),
    ({}, {"schedule": {"name": "constant"}}),
    ({}, {"schedule": {"name": "constant", "warmup": 0}}),
    ({"schedule": "cosine"}, {"schedule": {"name": "cosine"}}),
    ({}, {"optimizer": {"name": "sgd"}}),
    ({}, {"optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": -0.0}}),
    ({"optimizer": {"name": "adam"}}, {"optimizer": {"name": "adam", "learning_rate": 0.001}}),
    ({}, {"architecture": {"name": "conv"}}),
    ({}, {"architecture": {"width": 16}}),
    ({}, {"evaluation": {}}),
    ({}, {"evaluation": {"draws": 2}}),
    ({}, {"temperature": 0.5, "threads": 1, "heldout": 0.05}),
    ({}, {"objective": "nt-xent", "label": "label", "loss": "log"}),
    ({"objective": "supervised"}, {"objective": "supervised", "augmentation": "none"}),
    ({"objective": "supervised"}, {"objective": "supervised", "augmentation": {}, "loss": "log"}),
    ({"augmentation": "none"}, {"augmentation": {"crop": 1.0}}),
    ({"architecture": {"name": "mlp"}}, {"architecture": {"name": "mlp", "hidden": (128, 128), "activation": "gelu"}}),
    ({}, {"optimizer": {"name": "sgd", "dampening": 0, "nesterov": False, "decoupled": False}}),
    ({"augmentation": {}}, {"augmentation": {"crop": 1, "flip": False, "noise": -0.0}}),
    ({"augmentation": {}}, {"augmentation": {"drop": 0, "bands": 0, "frames": -0.0}}),
    ({}, {"column": "image", "tokens": {}, "sound": {"bands": 40}, "input": "image"}),
    ({}, {"share": 0.5, "noise": 0.5, "negatives": 1, "pairs": "views"}),
    ({"objective": "masked"}, {"objective": "masked", "augmentation": "none", "share": 0.5}),
    (TEXT, {**TEXT, "architecture": {}, "column": "text", "tokens": {"vocabulary": 4096, "length": 64}}),
    (TEXT, {**TEXT, "architecture": {"name": "transformer", "width": 128, "causal": False}}),
    ({"input": "audio"}, {"input": "audio", "architecture": {"name": "sound"}, "sound": {"seconds": 1.0}}),
    (
        {**TEXT, "objective": "next-token"},
        {**TEXT, "objective": "next-token", "architecture": {"causal": True}, "augmentation": "none"},
    ),
]


def text(plain: dict[str, Any]) -> str:
    return canonical_json(semantic(ENCODER.validate_python(plain)))


def source_of(member: type[BaseModel]) -> str:
    return str(member.model_fields["source"].default)


@pytest.mark.parametrize("member", MEMBERS, ids=source_of)
def test_every_field_of_every_source_tells_encoders_apart(member: type[BaseModel]) -> None:
    source = source_of(member)
    base = {"source": source, **REQUIRED.get(source, {})}
    variants = [base]
    for key, field in member.model_fields.items():
        others = OTHER_FOR.get((source, key), OTHERS.get(key, []))
        assert others or len(get_args(field.annotation)) == 1, f"no other value of {key}"  # a Literal of one value
        # A dict with the key itself says what else it needs.
        variants += [base | (other if isinstance(other, dict) and key in other else {key: other}) for other in others]
    texts = [text(plain) for plain in variants]
    for (one, a), (two, b) in combinations(zip(variants, texts, strict=True), 2):
        assert a != b, (one, two)


def test_no_two_sources_are_one() -> None:
    found = [text({"source": source_of(member), **REQUIRED.get(source_of(member), {})}) for member in MEMBERS]
    assert len(set(found)) == len(MEMBERS)


@pytest.mark.parametrize("key", ["learning_rate", "weight_decay"])
def test_optimizers_with_equal_numbers_differ(key: str) -> None:
    given = {"learning_rate": 0.01, "weight_decay": 0.0, key: 0.25}
    found = {canonical_json(meaning(kind.model_validate(given))) for kind in OPTIMIZERS}
    assert len(found) == 3


@pytest.mark.parametrize(("one", "two"), EQUAL)
def test_equal_meanings_are_one(one: dict[str, Any], two: dict[str, Any]) -> None:
    base = {"source": "pretrain", "data": "digits", "steps": 100}
    assert text(base | one) == text(base | two)


SECTIONS = (Sgd, Adam, AdamW, ConvArchitecture, ResNet18Architecture, MlpArchitecture, LinearArchitecture,
            VitArchitecture, TransformerArchitecture, SoundArchitecture, ScheduleTable, Augmentation, Evaluation,
            TextTokens, SoundSpectra)  # fmt: skip


@pytest.mark.parametrize("section", SECTIONS)
def test_defaults_are_left_out_but_for_the_kind(section: type[BaseModel]) -> None:
    assert set(meaning(section())) <= {"name"}


def test_what_a_union_offers_is_known_here() -> None:
    kinds = {member.model_fields["name"].default for member in get_args(Pretrain.model_fields["optimizer"].annotation)}
    assert kinds == {value["name"] for value in OTHERS["optimizer"]}
