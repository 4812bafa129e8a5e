"""What a study says of a run is what runs take: every objective with its options, every strength, all defaults."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from limen.models.preprocessing.options import OPTIONS
from limen.pretrain.options import CHOICES, OBJECTIVES
from limen.pretrain.spec import PretrainSpec
from limen.pretrain.views.strengths import KINDS
from limen.study.encoders import Augmentation, Pretrain, SoundSpectra, TextTokens
from limen.study.run_contradictions import run_contradictions

OTHER: dict[str, Any] = {
    "temperature": 0.1, "projection": 7, "label": "y", "loss": "squared", "pairs": "label", "negatives": 2, "block": 3,
    "surrogate": "hinge", "radius": 2.0, "share": 0.25, "noise": 0.25, "augmentation": {"crop": 0.5},
}  # fmt: skip


def run(**fields: Any) -> Pretrain:
    return Pretrain.model_validate({"data": "d.parquet", "steps": 20, **fields})


def test_objectives_are_those_of_runs_with_their_options_and_defaults() -> None:
    fields = Pretrain.model_fields
    assert set(get_args(fields["objective"].annotation)) == set(OBJECTIVES)
    for options in OBJECTIVES.values():
        assert {key: fields[key].default for key in options} == dict(options)
    assert set(OTHER) == {key for options in OBJECTIVES.values() for key in options}
    for key, choices in CHOICES.items():
        assert get_args(fields[key].annotation) == choices


def test_strengths_are_those_of_every_kind_of_input() -> None:
    views = [view() for view in KINDS.values()]
    assert Augmentation().model_dump() == {key: value for view in views for key, value in asdict(view).items()}


def test_preprocessing_is_that_of_every_kind_of_input() -> None:
    assert TextTokens().model_dump() == OPTIONS["text"]
    assert SoundSpectra().model_dump() == OPTIONS["audio"]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("key", OTHER)
def test_an_option_of_another_objective_is_refused_and_its_own_is_taken(objective: str, key: str) -> None:
    fields: dict[str, Any] = {"objective": objective, "input": "text", key: OTHER[key]}
    if key == "label" and "pairs" in OBJECTIVES[objective]:
        fields["pairs"] = "label"
    if key in OBJECTIVES[objective]:
        assert run(**fields).objective == objective
        return
    with pytest.raises(ValidationError) as caught:
        run(**fields)
    assert f'{key} says nothing to objective = "{objective}"' in str(caught.value)


@pytest.mark.parametrize("kind", ["image", "text", "audio"])
@pytest.mark.parametrize("key", list(Augmentation.model_fields))
def test_a_strength_of_another_input_is_refused_and_its_own_reaches_the_run(kind: str, key: str) -> None:
    value: Any = {"flip": True, "bands": 3}.get(key, 0.5)
    own = key in asdict(KINDS[kind]())  # type: ignore[index]
    given = run(input=kind) if own else run(input="image" if kind != "image" else "text")
    changed = given.model_copy(update={"input": kind, "augmentation": Augmentation.model_validate({key: value})})
    found = [what for what, *_ in run_contradictions(changed) if what.startswith("augmentation")]
    assert found == ([] if own else [f'augmentation.{key} says nothing to input = "{kind}"'])
    if own:
        spec = {"data": "d", "steps": 9, "batch_size": 2, "checkpoints": 2, "input": kind}
        parsed = PretrainSpec.parse(spec | {"objective": {"name": "masked", "augmentation": {key: value}}})
        assert parsed.objective["augmentation"] == {key: value}


def test_defaults_written_out_contradict_nothing() -> None:
    for objective in OBJECTIVES:
        plain = run(objective=objective, input="text").model_dump(exclude_none=True)
        assert run(**plain).model_dump(exclude_none=True) == plain
