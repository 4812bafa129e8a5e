"""TOML → spec → canonical JSON → spec is the identity; strictness; the schema accepts what the models accept."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from limen.pretrain.options import OBJECTIVES
from limen.study.architectures import SoundArchitecture, TransformerArchitecture, VitArchitecture
from limen.study.encoders import SOURCES, BagOfWords, Pretrain, SoundSpectra, TextTokens
from limen.study.reference import EncoderReference, parse_reference
from limen.study.spec import Study, json_schema

FLOATS = st.floats(0.01, 100).map(lambda x: round(x, 4))
ENCODERS = st.one_of(
    st.fixed_dictionaries({"source": st.just("bag-of-words")}, optional={"dimension": st.integers(1, 99)}),
    st.fixed_dictionaries(
        {"source": st.just("transformers"), "path": st.just("m")},
        optional={"pooling": st.sampled_from(["mean", "cls", "last"]), "layer": st.integers(-3, 3)},
    ),
    st.fixed_dictionaries(
        {"source": st.just("pretrain"), "data": st.just("digits"), "steps": st.integers(50, 60)},
        optional={
            "checkpoints": st.integers(2, 9) | st.lists(st.integers(0, 50), min_size=1, max_size=3),
            "heldout": st.just("held.parquet") | st.just(0.1),
            "optimizer": st.fixed_dictionaries({"name": st.sampled_from(["sgd", "adamw"]), "learning_rate": FLOATS}),
            "architecture": st.fixed_dictionaries({"name": st.just("conv"), "width": st.integers(1, 9)}),
        },
    ),
    st.fixed_dictionaries(
        {"source": st.just("pretrain"), "input": st.just("text"), "data": st.just("t.csv"), "steps": st.just(50)},
        optional={
            "column": st.sampled_from(["text", "said"]),
            "tokens": st.fixed_dictionaries({}, optional={"vocabulary": st.just(300), "length": st.integers(2, 9)}),
            "augmentation": st.just("none") | st.fixed_dictionaries({}, optional={"drop": st.just(0.5)}),
            "architecture": st.fixed_dictionaries({}, optional={"depth": st.integers(1, 9), "causal": st.booleans()}),
        },
    ),
    st.fixed_dictionaries(
        {
            "source": st.just("pretrain"),
            "input": st.just("audio"),
            "data": st.just("a.parquet"),
            "steps": st.just(50),
            "objective": st.just("contrastive"),
        },
        optional={
            "pairs": st.sampled_from(["views", "label"]),
            "negatives": st.integers(1, 9),
            "radius": FLOATS,
            "sound": st.fixed_dictionaries({}, optional={"seconds": FLOATS, "bands": st.integers(1, 99)}),
        },
    ),
)
TASKS = st.fixed_dictionaries(
    {"train": st.sampled_from(["a.csv", "ü/b.csv"]), "input": st.sampled_from(["text", "image", "features"])},
    optional={
        "test": st.just("t.csv"),
        "slices": st.lists(st.sampled_from(["u", "v"]), max_size=2),
        "encoders": st.lists(st.sampled_from(["a", "b#1:x@3"]), min_size=1, max_size=2),
        "shift": st.dictionaries(st.sampled_from(["typos", "dark"]), st.just("s.csv")),
        "same_population": st.booleans(),
    },
)
RADII = st.just("auto") | FLOATS | st.lists(FLOATS, min_size=1)
STUDIES = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b-2"]),
        "encoder": st.dictionaries(st.sampled_from(["a", "b", "c"]), ENCODERS, min_size=1),
        "task": st.dictionaries(st.sampled_from(["t", "u"]), TASKS, min_size=1),
    },
    optional={
        "seed": st.integers(0, 9),
        "confidence": st.sampled_from([0.9, 0.99]),
        "adapt": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.lists(st.integers(1, 500) | st.just("all"), min_size=1, max_size=4),
                "seeds": st.integers(1, 9),
                "loss": st.sampled_from(["log", "squared"]),
                "linear-probe": st.fixed_dictionaries(
                    {"radius": st.just("auto") | FLOATS | st.lists(FLOATS, min_size=1)}
                ),
            },
        ),
        "advice": st.fixed_dictionaries({}, optional={"margin": FLOATS, "target": st.just({"error": 0.05})}),
    },
)


@settings(max_examples=100, deadline=None)
@given(STUDIES)
def test_toml_spec_json_spec_is_the_identity(plain: dict[str, Any]) -> None:
    study = Study.from_plain(tomllib.loads(tomli_w.dumps(plain)))
    again = Study.from_plain(json.loads(study.to_json()))
    assert again == study
    assert again.to_json() == study.to_json()
    for section, value in plain.items():
        if not isinstance(value, dict):
            assert study.to_plain()[section] == value


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"seed": "0"}, ("seed",)),
        ({"seed": 1.0}, ("seed",)),
        ({"seed": True}, ("seed",)),
        ({"confidence": float("nan")}, ("confidence",)),
        ({"encoder": {}}, ("encoder",)),
        ({"surprise": 1}, ("surprise",)),
        ({"name": "x" * 300}, ("name",)),
        ({"name": "<script>"}, ("name",)),
        ({"name": "a\nb"}, ("name",)),
    ],
)
def test_nothing_is_coerced(changes: dict[str, Any], where: tuple[str, ...]) -> None:
    plain: dict[str, Any] = {
        "name": "s",
        "encoder": {"b": {"source": "bag-of-words"}},
        "task": {"t": {"train": "t.csv", "input": "text"}},
    }
    Study.from_plain(plain)
    with pytest.raises(ValidationError) as caught:
        Study.from_plain(plain | changes)
    assert [error["loc"] for error in caught.value.errors()] == [where]


def test_sequences_are_tuples_and_values_are_frozen() -> None:
    encoder = Pretrain.model_validate({"data": "digits", "steps": 9, "checkpoints": [1, 9]})
    assert encoder.checkpoints == (1, 9)
    with pytest.raises(ValidationError):
        encoder.steps = 3


def test_a_checkpoint_beyond_the_run_is_refused() -> None:
    with pytest.raises(ValidationError, match="checkpoint 10 lies beyond steps = 9"):
        Pretrain(data="digits", steps=9, checkpoints=(10,))


def test_the_schema_names_every_source_and_every_key() -> None:
    schema = json_schema()
    (encoders,) = schema["properties"]["encoder"]["patternProperties"].values()
    assert set(encoders["discriminator"]["mapping"]) == set(SOURCES)
    assert set(schema["$defs"]["BagOfWords"]["properties"]) == set(BagOfWords.model_fields)
    for section in (Pretrain, TransformerArchitecture, VitArchitecture, SoundArchitecture, TextTokens, SoundSpectra):
        assert set(schema["$defs"][section.__name__]["properties"]) == set(section.model_fields)
    named = schema["$defs"]["Pretrain"]["properties"]
    assert named["input"]["enum"] == ["image", "text", "audio"]
    assert named["objective"]["enum"] == list(OBJECTIVES)
    assert set(named["architecture"]["discriminator"]["mapping"]) == {
        "conv", "resnet18", "mlp", "linear", "vit", "transformer", "sound",
    }  # fmt: skip
    json.dumps(schema)


@given(st.integers(0, 5), st.none() | st.sampled_from(["layer3", "-2"]), st.none() | st.integers(0, 10**6))
def test_references_round_trip(seed: int, layer: str | None, step: int | None) -> None:
    reference = EncoderReference("scratch-1", seed, layer, step)
    assert parse_reference(str(reference)) == reference
    assert ("#" in str(reference)) == (seed > 0)


@pytest.mark.parametrize("text", ["", "A", "a#", "a@x", "a b", "a@1:2", "a##1"])
def test_other_references_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected NAME"):
        parse_reference(text)
