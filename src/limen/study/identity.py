"""What a table of the study file means, as plain data that is hashed: equal meanings give equal data, others do not.

kept      every field that is not at its default; always `name` and `source`, which say of which kind a table is
dropped   fields at their default, so that a field which a later version adds makes nothing stale
one form  `schedule = "cosine"` is `{name = "cosine"}`; −0.0 is 0.0; `augmentation = "none"` is what objectives do by
          default that compare no views; a column named like the input is the one read by default; under
          `objective = "next-token"` a transformer is causal, whatever it says
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from limen.pretrain.options import COMPARING
from limen.study.encoders import Encoder, Pretrain, ScheduleTable

KINDS = ("name", "source")
"""Fields that tell the members of a union apart. Two members may agree in all others: sgd and adam at one rate."""


def semantic(encoder: Encoder, *without: str) -> dict[str, Any]:
    """What an encoder means but for the fields `without`, always with its source and input.

    >>> from limen.study.encoders import Pixels
    >>> semantic(Pixels())
    {'source': 'pixels', 'input': 'image'}
    """
    kept = {key: value for key, value in meaning(encoder).items() if key not in without}
    if isinstance(encoder, Pretrain):
        if encoder.objective not in COMPARING and kept.get("augmentation") == {}:
            del kept["augmentation"]
        if kept.get("column") == encoder.input:
            del kept["column"]
        if encoder.objective == "next-token":
            kept["architecture"] = {key: value for key, value in kept["architecture"].items() if key != "causal"}
    return {**kept, "source": encoder.source, "input": encoder.input}


def meaning(section: BaseModel) -> dict[str, Any]:
    """The fields of one table that say something, tables in it by their own meaning.

    >>> from limen.study.encoders import Adam, Pretrain
    >>> meaning(Adam(learning_rate=0.1))
    {'name': 'adam', 'learning_rate': 0.1}
    >>> short = Pretrain(data="digits", steps=9, schedule="cosine")
    >>> meaning(short) == meaning(short.model_copy(update={"schedule": ScheduleTable(name="cosine")}))
    True
    """
    found: dict[str, Any] = {}
    for key, about in type(section).model_fields.items():
        value = _one_form(key, getattr(section, key))
        default = _one_form(key, _default(about))
        plain = meaning(value) if isinstance(value, BaseModel) else value
        kinds = isinstance(plain, dict) and any(kind in plain for kind in KINDS)
        if key in KINDS or kinds or value != default or type(value) is not type(default):
            found[key] = plain
    return found


def _one_form(key: str, value: Any) -> Any:
    if key == "schedule" and isinstance(value, str):
        return ScheduleTable.model_validate({"name": value})
    return value + 0.0 if isinstance(value, float) else value


def _default(about: FieldInfo) -> Any:
    """The default; for a required field an object that equals nothing."""
    return object() if about.is_required() else about.get_default(call_default_factory=True, validated_data={})
