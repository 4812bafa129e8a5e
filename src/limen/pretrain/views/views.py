"""A random view of a batch, whatever its inputs are."""

from __future__ import annotations

from typing import Any

import numpy as np

from limen.pretrain.views.image import random_view
from limen.pretrain.views.sound import sound_view
from limen.pretrain.views.strengths import SoundViews, TextViews, Views
from limen.pretrain.views.text import text_view


def draw_view(inputs: Any, views: Views, rng: np.random.Generator) -> Any:
    """One random view of each input, like `inputs`; all randomness is from `rng`. Nothing on: the inputs themselves."""
    if views == type(views)():
        return inputs
    if isinstance(views, TextViews):
        return text_view(inputs, views, rng)
    if isinstance(views, SoundViews):
        return sound_view(inputs, views, rng)
    return random_view(inputs, views, rng)
