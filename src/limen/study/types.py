"""The kinds of value that a study file holds, and how a wrong one is described.

Strict: an integer is never made from text or from a float, a sequence is a tuple made from a list, nothing is NaN.
Each `oneof` type says in one sentence what it takes, instead of one sentence per alternative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

NAME = r"^[a-z][a-z0-9-]{0,63}$"


class Section(BaseModel):
    """A table of the study file: frozen, strict, no unknown key, no NaN."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False, validate_default=True)


def oneof(expected: str) -> WrapValidator:
    """A validator that replaces the messages of all alternatives by "expected …, got …"."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError(
                "expected", "{message}", {"message": f"expected {expected}, got {shown(value)}"}
            ) from None

    return WrapValidator(check)


Contradiction = tuple[str, tuple[str, ...], tuple[str, ...]]
"""What is wrong, and the two keys of one table that it is about, the subject first."""


def contradiction(found: Sequence[Contradiction]) -> PydanticCustomError:
    """The error of fields that cannot all be meant: everything in it is told (`limen.study.explain`)."""
    what = "; ".join(text for text, *_ in found)
    return PydanticCustomError("contradiction", "{what}", {"what": what, "found": tuple(found)})


def shown(value: object) -> str:
    """A value as a person wrote it, with its type where the type is the trouble.

    >>> shown("3"), shown(0.5), shown(True)
    ('the text "3"', '0.5', 'true')
    """
    if isinstance(value, str):
        return f'the text "{value[:60]}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    return str(value)[:60]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _printable(value: str) -> str:
    if not value or not value.isprintable():
        raise PydanticCustomError(
            "expected", "expected a path of printable characters, got {got}", {"got": repr(value)}
        )
    return value


AsTuple: BeforeValidator = BeforeValidator(_tuple)
Name = Annotated[str, Field(pattern=NAME)]
PathText = Annotated[str, Field(max_length=1024), BeforeValidator(lambda v: _printable(v) if isinstance(v, str) else v)]
Column = Annotated[str, Field(min_length=1, max_length=255)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
InputKind = Literal["text", "image", "audio", "features"]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
