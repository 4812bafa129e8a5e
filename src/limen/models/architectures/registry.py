"""Built-in architectures by name: the plain description `{name, …}` in a study or beside a weights file → a module.

Every module built here has `layers`, `dimension(layer)`, `architecture` and maps images [n, c, h, w] in [0, 1] to
representations [n, d] by `module(images, layer)`; its state dict holds weights and preprocessing.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from limen.models.architectures.conv import conv_encoder
from limen.models.architectures.mlp import linear, mlp
from limen.models.architectures.module import EncoderModule
from limen.models.architectures.resnet import resnet18
from limen.models.architectures.sound import sound_encoder
from limen.models.architectures.transformer import transformer
from limen.models.architectures.vit import vit
from limen.models.encoder import InputKind
from limen.records.errors import BadInput, Problem

ARCHITECTURES: Mapping[str, Callable[[Mapping[str, Any]], EncoderModule]] = {
    "conv": conv_encoder, "resnet18": resnet18, "mlp": mlp, "linear": linear, "vit": vit,
    "transformer": transformer, "sound": sound_encoder,
}  # fmt: skip
TAKES: Mapping[str, InputKind] = {
    **dict.fromkeys(("conv", "resnet18", "mlp", "linear", "vit"), "image"), "transformer": "text", "sound": "audio",
}  # fmt: skip
"""Name → the kind of input it takes."""


def taking(kind: InputKind) -> list[str]:
    """Names of the architectures that take a kind of input.

    >>> "conv" in taking("image")
    True
    """
    return sorted(name for name, takes in TAKES.items() if takes == kind)


def build(architecture: Mapping[str, Any]) -> EncoderModule:
    """The module described by `{name, …options}`, with freshly made (not yet drawn or loaded) weights.

    Raises BadInput for an unknown name, an unknown option, an option out of range.

    >>> encoder = build({"name": "conv", "width": 8, "in_channels": 1, "image_size": 8})
    >>> encoder.layers, encoder.dimension("stem")
    (('stem', 'stage1', 'stage2'), 8)
    """
    options = dict(architecture)
    name = options.pop("name", None)
    if name not in ARCHITECTURES:
        close = difflib.get_close_matches(str(name), ARCHITECTURES, n=1)
        what = f"expected the name of an architecture ({', '.join(sorted(ARCHITECTURES))}), got {name!r}"
        raise BadInput(Problem("architecture.name", what, fix=f"did you mean {close[0]!r}?" if close else ""))
    return ARCHITECTURES[name](options)
