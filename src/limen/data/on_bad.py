"""What a row does whose input is bad (`limen.data.inputs`): `stop` names every one, `skip` leaves up to half out."""

from __future__ import annotations

from typing import Literal, get_args

OnBad = Literal["stop", "skip"]
ON_BAD: tuple[str, ...] = get_args(OnBad)
