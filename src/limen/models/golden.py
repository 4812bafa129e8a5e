"""The golden embedding: what an encoder made of a fixed input when it was first loaded, compared at every later load.

The record is keyed by the encoder's fingerprint (weights, preprocessing, readout), not by any library's version: when
a library changes a tokenizer, an image resize or a kernel, equal weights give other features, and features in the
cache no longer belong to those computed today. Tolerance: ‖a − b‖_max ≤ 10⁻⁴·‖b‖_max for every row.
"""

from __future__ import annotations

import io
import json
import tempfile
import wave
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from limen.arrays.random import stream
from limen.data.fingerprint import cache_folder
from limen.models.encoder import Encoder, Features
from limen.models.offline import versions
from limen.records.errors import BadInput, Problem

TOLERANCE = 1e-4
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Why was I charged twice for 1,299.00 €?",
    "naïve café — 東京 🙂",
    "word " * 80,
)
LIBRARIES = (
    "numpy", "torch", "transformers", "sentence-transformers", "tokenizers", "pillow", "scikit-learn", "torchvision",
    "timm", "open-clip-torch",
)  # fmt: skip


def fixed_inputs(encoder: Any) -> Any:
    """Inputs of the encoder's kind that never change: sentences, patterns of pixels, a tone, rows of numbers."""
    if encoder.input == "text":
        return list(TEXTS)
    if encoder.input == "audio":
        return [_tone()]
    if encoder.input == "features":
        return stream("golden features").standard_normal((4, 16)).astype(np.float32)
    shape = encoder.preprocessing.get("architecture", {})
    side, channels = int(shape.get("image_size", 32)), int(shape.get("in_channels", 3))
    noise = stream("golden image", side, channels).integers(0, 256, (2, side, side, channels))
    noise[0] = np.linspace(0, 255, side).astype(int)[None, :, None]
    return noise.astype(np.uint8)


def check_golden(encoder: Encoder, folder: Path | None = None) -> bool:
    """Record the golden embedding at the first load (True), compare it at later ones (False).

    `folder` is that of the feature cache by default. Raises BadInput when it differs.
    """
    file = (folder or cache_folder() / "golden") / f"{encoder.fingerprint}.npz"
    rows = encoder.encode(fixed_inputs(encoder))
    recorded = _recall(file)
    if recorded is None:
        _record(file, rows)
        return True
    golden, then = recorded
    worst = _difference(rows, golden)
    if worst <= TOLERANCE:
        return False
    raise BadInput(
        Problem(
            str(file),
            f"the embedding of a fixed input changed since this encoder was first loaded: by {worst:.2g} relative to "
            f"its largest entry, tolerance {TOLERANCE:g}",
            cause=_cause(then, versions(*LIBRARIES)),
            fix=f"go back to those versions; or delete {file} and the cached features of encoder "
            f"{encoder.fingerprint[:12]}, and compute everything again",
        )
    )


def _difference(rows: Features, golden: Features) -> float:
    if rows.shape != golden.shape or not np.isfinite(rows).all():
        return float("inf")
    scale = np.maximum(np.abs(golden).max(axis=1), np.finfo(np.float32).tiny)
    return float((np.abs(rows - golden).max(axis=1) / scale).max())


def _cause(then: dict[str, str], now: dict[str, str]) -> str:
    changed = [f"{name} {then[name]} → {now.get(name, 'none')}" for name in then if now.get(name) != then[name]]
    if changed:
        return f"a library changed preprocessing or arithmetic: {', '.join(changed)}"
    return "the versions are the same: another machine or BLAS, or the record was made by a broken installation"


def _record(file: Path, rows: Features) -> None:
    # A cache that cannot be written is said by `limen doctor`; the embedding is recorded at the next load.
    content = io.BytesIO()
    np.savez(content, rows=rows, versions=np.array(json.dumps(versions(*LIBRARIES))))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("wb", dir=file.parent, delete=False) as draft:
            draft.write(content.getvalue())
        Path(draft.name).replace(file)
    except OSError:
        return


def _recall(file: Path) -> tuple[Features, dict[str, str]] | None:
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as saved:
            return np.asarray(saved["rows"], dtype=np.float32), dict(json.loads(str(saved["versions"])))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        what = f"expected the golden embedding of an encoder; reading it failed: {type(error).__name__}"
        raise BadInput(Problem(str(file), what, "a damaged disk or an interrupted copy", f"delete {file}")) from None


def _tone(rate: int = 16_000) -> bytes:
    times = np.arange(rate // 2) / rate
    samples = (8000 * np.sin(2 * np.pi * 440 * times) * np.linspace(0, 1, len(times))).astype("<i2")
    content = io.BytesIO()
    with wave.open(content, "wb") as clip:
        clip.setparams((1, 2, rate, 0, "NONE", ""))
        clip.writeframes(samples.tobytes())
    return content.getvalue()
