"""Laws of the golden embedding: recorded once, compared ever after, loud when features change."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limen.models.golden import TOLERANCE, check_golden, fixed_inputs
from limen.models.load import load_encoder
from limen.records.errors import BadInput


@dataclass
class Drifting:
    """A text encoder whose output can be changed without changing its fingerprint, as a library update would."""

    factor: float = 1.0
    columns: int = 3
    input: str = "text"
    fingerprint: str = "ab" * 32
    dimension: int = 3
    preprocessing: Any = None

    def encode(self, inputs: Any) -> Any:
        rows = np.array([[len(text), text.count("o") - 5, 1.0, 2.0] for text in inputs], dtype=np.float32)
        rows[:, 0] *= self.factor
        return rows[:, : self.columns]


def test_recorded_first_then_compared(tmp_path: Path) -> None:
    assert check_golden(Drifting(), tmp_path)
    assert not check_golden(Drifting(), tmp_path)
    assert not check_golden(Drifting(1 + TOLERANCE / 4), tmp_path)


@pytest.mark.parametrize(
    "drifted", [Drifting(1 + 4 * TOLERANCE), Drifting(-1), Drifting(float("nan")), Drifting(columns=2)]
)
def test_a_change_is_loud(tmp_path: Path, drifted: Drifting) -> None:
    check_golden(Drifting(), tmp_path)
    with pytest.raises(BadInput) as caught:
        check_golden(drifted, tmp_path)
    text = str(caught.value)
    assert "changed since this encoder was first loaded" in text
    assert "versions are the same" in text
    assert str(tmp_path) in text


def test_the_library_that_changed_is_named(tmp_path: Path) -> None:
    check_golden(Drifting(), tmp_path)
    (file,) = tmp_path.iterdir()
    with np.load(file) as saved:
        rows, then = saved["rows"], json.loads(str(saved["versions"]))
    np.savez(file, rows=rows, versions=np.array(json.dumps(then | {"numpy": "1.0"})))
    with pytest.raises(BadInput, match=r"numpy 1\.0 →"):
        check_golden(Drifting(2), tmp_path)


def test_a_damaged_record_is_not_taken_for_none(tmp_path: Path) -> None:
    check_golden(Drifting(), tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(BadInput, match=f"delete {file}"):
        check_golden(Drifting(), tmp_path)


def test_another_fingerprint_is_another_record(tmp_path: Path) -> None:
    check_golden(Drifting(), tmp_path)
    assert check_golden(Drifting(2, fingerprint="cd" * 32), tmp_path)


def test_fixed_inputs_are_fixed_and_tell_images_apart() -> None:
    pixels = load_encoder({"source": "pixels"})
    one, two = fixed_inputs(pixels), fixed_inputs(pixels)
    assert np.array_equal(one, two)
    assert one.shape == (2, 32, 32, 3)
    assert not np.array_equal(pixels.encode(one)[0], pixels.encode(one)[1])
    words = load_encoder({"source": "bag-of-words"}).encode(fixed_inputs(load_encoder({"source": "bag-of-words"})))
    assert len(np.unique(words, axis=0)) == 4
