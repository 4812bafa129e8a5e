"""What a study says of architectures is what they are: kinds of input, options with their defaults, layers."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from limen.study.architectures import (
    DEFAULT,
    Architecture,
    ConvArchitecture,
    ImageArchitecture,
    LinearArchitecture,
    MlpArchitecture,
    ResNet18Architecture,
    SoundArchitecture,
    TransformerArchitecture,
    VitArchitecture,
    named,
)
from limen.study.types import Section

MEMBERS: tuple[type[Section], ...] = get_args(get_args(Architecture)[0])
FROM_DATA: dict[str, set[str]] = {
    "image": {"in_channels", "image_size"}, "text": {"vocabulary", "length"}, "audio": {"bands", "frames"},
}  # fmt: skip
LAYERS: list[tuple[Any, str]] = [
    (ConvArchitecture(), "stem, stage1, stage2, …"),
    (ResNet18Architecture(), "stem, stage1, stage2, stage3, stage4"),
    (MlpArchitecture(hidden=(3, 4, 5)), "hidden1, hidden2, hidden3"),
    (LinearArchitecture(), "input"),
    (VitArchitecture(depth=2), "patches, block1, block2"),
    (TransformerArchitecture(depth=5), "embedding, block1, …, block5"),
    (SoundArchitecture(stages=2), "stem, stage1, stage2"),
]


def test_a_table_without_a_name_is_the_default_of_its_input() -> None:
    assert [named({}, kind)["name"] for kind in ("image", "text", "audio", "?", 3)] == [
        *DEFAULT.values(),
        "conv",
        "conv",
    ]
    assert named({"name": "vit"}, "text") == {"name": "vit"}
    assert named("vit", "text") == "vit"


@pytest.mark.parametrize(("architecture", "said"), LAYERS, ids=lambda value: getattr(value, "name", ""))
def test_layers_in_words(architecture: Any, said: str) -> None:
    assert architecture.layers() == said
    assert not architecture.has("nothing")
    assert not architecture.has("block01")


def test_weights_of_images_alone_have_files() -> None:
    found = {member.model_fields["name"].default for member in get_args(get_args(ImageArchitecture)[0])}
    assert found == {"conv", "resnet18", "mlp", "linear", "vit"}


@pytest.mark.torch
@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.model_fields["name"].default)
def test_they_are_those_that_can_be_built(member: type[Section]) -> None:
    from limen.models.architectures.registry import ARCHITECTURES, TAKES, build

    names = {each.model_fields["name"].default for each in MEMBERS}
    assert names == set(ARCHITECTURES)
    section: Any = member()
    assert section.takes == TAKES[section.name]
    plain = section.model_dump(exclude_none=True)
    encoder = build(plain)
    built = dict(encoder.architecture)
    for key in FROM_DATA[section.takes]:
        built.pop(key, None)
    assert {key: tuple(v) if isinstance(v, list) else v for key, v in built.items()} == {
        key: tuple(v) if isinstance(v, list) else v for key, v in plain.items()
    }
    assert all(section.has(layer) for layer in encoder.layers)
    if section.last is not None:
        word = section.numbered
        assert sum(layer.startswith(word) for layer in encoder.layers) == section.last
        assert not section.has(f"{word}{section.last + 1}")
