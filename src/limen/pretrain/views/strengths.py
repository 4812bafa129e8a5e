"""Strengths of the random views of an input, as plain numbers: part of the name of a pretraining loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from limen.models.encoder import InputKind


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Views of an image (`limen.pretrain.views.image`); every transformation is off at its default.

    >>> Augmentation(crop=0.6, noise=0.05).text()
    'crop 0.6, noise 0.05'
    """

    crop: float = 1.0
    """Smallest side of the window, as a share of the image's side."""
    flip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    grayscale: float = 0.0
    noise: float = 0.0

    def text(self) -> str:
        """The transformations that are on, with their strengths."""
        return _text(self)


@dataclass(frozen=True, slots=True)
class TextViews:
    """Views of a text (`limen.pretrain.views.text`)."""

    crop: float = 1.0
    """Smallest share of the tokens that is left."""
    drop: float = 0.0
    mask: float = 0.0

    def text(self) -> str:
        """The transformations that are on, with their strengths."""
        return _text(self)


@dataclass(frozen=True, slots=True)
class SoundViews:
    """Views of a sound (`limen.pretrain.views.sound`)."""

    shift: float = 0.0
    """Largest shift, as a share of the frames."""
    gain: float = 0.0
    noise: float = 0.0
    bands: int = 0
    """Most neighbouring bands that are hidden."""
    frames: float = 0.0
    """Largest share of neighbouring frames that is hidden."""

    def text(self) -> str:
        """The transformations that are on, with their strengths."""
        return _text(self)


Views = Augmentation | TextViews | SoundViews
KINDS: Mapping[InputKind, type[Augmentation] | type[TextViews] | type[SoundViews]] = {
    "image": Augmentation, "text": TextViews, "audio": SoundViews,
}  # fmt: skip
"""Kind of input → its views."""


def usual_views(kind: InputKind, channels: int = 1) -> Views:
    """Strengths used when a study names none: photographs for 3 channels, written characters for 1.

    >>> usual_views("image", 3).text()
    'crop 0.5, flip, brightness 0.4, contrast 0.4, saturation 0.4, grayscale 0.2, noise 0.02'
    """
    if kind == "text":
        return TextViews(crop=0.6, drop=0.2)
    if kind == "audio":
        return SoundViews(shift=0.15, gain=1.0, noise=0.3, bands=8, frames=0.15)
    if channels == 3:
        return Augmentation(
            crop=0.5, flip=True, brightness=0.4, contrast=0.4, saturation=0.4, grayscale=0.2, noise=0.02
        )
    return Augmentation(crop=0.6, brightness=0.3, contrast=0.3, noise=0.1)


def _text(views: Views) -> str:
    parts = []
    for field in fields(views):
        value = getattr(views, field.name)
        if value != field.default:
            parts.append(field.name if value is True else f"{field.name} {value:g}")
    return ", ".join(parts) or "no augmentation"
