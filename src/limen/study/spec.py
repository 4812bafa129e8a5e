"""The whole study as one frozen value: what a study file says, or what a Python program builds.

    study.toml → Study → canonical JSON → Study     is the identity (a property test).

No default is filled in from data: `labels = None` stays None until the fit stage sees the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from limen.records.cell import canonical_json
from limen.study.adapt import Adapt
from limen.study.encoders import Encoder
from limen.study.types import AsTuple, Column, Fraction, InputKind, Name, PathText, Positive, Section

Reference = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*(#\d+)?(:[^@:#\s]+)?(@\d+)?$")]


class Task(Section):
    """One labelled task: a population to adapt on and further populations that are only scored."""

    train: PathText
    test: PathText | None = None
    input: InputKind
    column: Column | None = None
    """Column of the input; None = the column named like `input`."""
    on_bad: Literal["stop", "skip"] = "stop"
    """What becomes of inputs that cannot be read or hold nothing: the task fails and names them, or leaves them out."""
    label: Column = "label"
    group: Column | None = None
    slices: Annotated[tuple[Column, ...], AsTuple] = ()
    id: Column | None = None
    encoders: Annotated[tuple[Reference, ...], AsTuple, Field(min_length=1)] | None = None
    same_population: bool = False
    shift: Mapping[Name, PathText] = Field(default_factory=dict)


class Target(Section):
    """What would be good enough: a loss or an error rate, not both."""

    loss: Positive | None = None
    error: Fraction | None = None


class Advice(Section):
    """What the advice is asked for. Not part of any identity."""

    target: Target = Target()
    margin: Positive = 0.01


class Study(Section):
    """A study. Build it in Python, or read it with `limen.study.parse.read_study`.

    >>> Study.model_validate({"name": "s", "encoder": {"bow": {"source": "bag-of-words"}},
    ...     "task": {"t": {"train": "t.csv", "input": "text"}}}).encoder["bow"].dimension
    4096
    """

    name: Name
    seed: Annotated[int, Field(ge=0)] = 0
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    encoder: Annotated[Mapping[Name, Encoder], Field(min_length=1)]
    task: Annotated[Mapping[Name, Task], Field(min_length=1)]
    adapt: Adapt = Adapt()
    advice: Advice = Advice()

    def to_plain(self) -> dict[str, Any]:
        """Plain data: what TOML would hold, with every default written out and absent values left away."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_json(self) -> str:
        """Canonical JSON: equal studies give equal text."""
        return canonical_json(self.to_plain())

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """A study built in Python, the inverse of `to_plain`; files go through `limen.study.parse`.

        Raises pydantic's ValidationError.
        """
        return cls.model_validate(dict(plain))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a study file, for completion and checks in an editor.

    >>> json_schema()["title"]
    'Limen study'
    """
    schema = Study.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Limen study"}
