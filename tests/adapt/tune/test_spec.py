"""The spec as plain data: round trips, every wrong key and value is named, defaults by method."""

from __future__ import annotations

import json

import pytest

from limen.adapt.tune.spec import HEAD_RATE, METHODS, RATES, TuneSpec
from limen.records.errors import BadInput


@pytest.mark.parametrize(
    "spec",
    [
        TuneSpec(),
        TuneSpec("lora", rank=4, alpha=4.0, targets=("query", "value"), seed=3),
        TuneSpec("partial", layers=("blocks.1", "*.bias"), patience=None, clip=None, dropout=True),
        TuneSpec("prompt", prompt_tokens=4, learning_rate=0.1, head="random", loss="squared"),
    ],
)
def test_plain_data_make_the_spec_again(spec: TuneSpec) -> None:
    assert TuneSpec.parse(json.loads(json.dumps(spec.plain()))) == spec


def test_defaults_are_left_out_and_depend_on_the_method() -> None:
    assert TuneSpec("lora", seed=0).plain() == {"method": "lora"}
    assert [TuneSpec(method).rate for method in METHODS] == [RATES[method] for method in METHODS]  # type: ignore[arg-type]
    assert TuneSpec("lp-ft").head_rate < TuneSpec("fine-tune").head_rate == HEAD_RATE
    assert (TuneSpec("lp-ft").first_head, TuneSpec("lora").first_head) == ("probe", "zero")


def test_every_problem_is_named_at_once() -> None:
    wrong = {
        "methd": "lora", "epochs": -1, "batch_size": True, "warmup": 2, "learning_rate": 0, "decay": "cosin",
        "layers": "blocks", "weight_decay": -1, "dropout": 1, "patience": 0,
    }  # fmt: skip
    with pytest.raises(BadInput) as found:
        TuneSpec.parse(wrong)
    named = {problem.where for problem in found.value.problems}
    assert named == set(wrong)
    assert "did you mean method?" in str(found.value)
    assert "did you mean cosine?" in str(found.value)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"method": "partial"}, "partial needs the layers that move"),
        ({"method": "lora", "layers": ["a"]}, "lora reads no layers"),
        ({"method": "prompt", "targets": ["query"]}, "prompt reads no targets"),
        ({"method": "lp-ft", "loss": "squared"}, "the probe that the head starts as is logistic"),
    ],
)
def test_contradictions_are_named(plain: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        TuneSpec.parse(plain)
