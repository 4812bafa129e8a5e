"""How a study names one encoder out of a run: `NAME[#seed][:layer][@step]`.

`scratch#2:layer3@1000` is seed 2 of the encoder `scratch`, its layer `layer3`, after 1000 steps.
Seed 0, the last layer and the last step are omitted: equal encoders have equal text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_REFERENCE = re.compile(r"(?P<name>[a-z][a-z0-9-]*)(?:#(?P<seed>\d+))?(?::(?P<layer>[^@:#\s]+))?(?:@(?P<step>\d+))?")


@dataclass(frozen=True, slots=True)
class EncoderReference:
    """One encoder: `layer` and `step` None mean the last."""

    name: str
    seed: int = 0
    layer: str | None = None
    step: int | None = None

    def __str__(self) -> str:
        seed = f"#{self.seed}" if self.seed else ""
        layer = f":{self.layer}" if self.layer is not None else ""
        return self.name + seed + layer + (f"@{self.step}" if self.step is not None else "")


def parse_reference(text: str) -> EncoderReference:
    """The encoder that `text` names. Raises ValueError for text of another form.

    >>> parse_reference("scratch#2:layer3@1000")
    EncoderReference(name='scratch', seed=2, layer='layer3', step=1000)
    >>> str(parse_reference("minilm#0"))
    'minilm'
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise ValueError(f'expected NAME[#seed][:layer][@step] such as "scratch#2@1000", got "{text}"')
    step = match["step"]
    return EncoderReference(
        match["name"], int(match["seed"] or 0), match["layer"], int(step) if step is not None else None
    )
