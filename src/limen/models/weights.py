"""Whether a weights file may be opened: safetensors by content, whole, and no pickle. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from limen.data.files import NAMES, content_kind, present_file
from limen.models.folder import PICKLES, check_safetensors, only_pickle
from limen.records.errors import BadInput, Problem


def check_weights(path: Path) -> None:
    """Raise BadInput unless `path` is a whole safetensors file; pickles are named and never opened."""
    present_file(path)
    kind = content_kind(path)
    if path.suffix.lower() in PICKLES or kind in ("pickle", "zip"):  # torch.save writes a pickle into a zip archive
        raise BadInput(only_pickle(path))
    if path.suffix.lower() != ".safetensors":
        what = f"expected a .safetensors file, got {path.suffix or 'no suffix'} ({NAMES.get(kind, 'an empty file')})"
        raise BadInput(Problem(str(path), what, fix="save the weights with safetensors.torch.save_file"))
    problems = check_safetensors(path)
    if problems:
        raise BadInput(problems)
