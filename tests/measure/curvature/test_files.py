"""Curvature and noise come back from their files bit for bit, without torch; other files have named errors."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import curvature_cases as cases  # noqa: E402

from limen.arrays.spectral_density import Probing  # noqa: E402
from limen.measure.curvature.files import load_curvature, save_curvature  # noqa: E402
from limen.measure.curvature.secant import secant_curvature  # noqa: E402
from limen.measure.curvature.spectrum import curvature  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch


def same(a, b):
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()
    elif is_dataclass(a):
        for field in fields(a):
            same(getattr(a, field.name), getattr(b, field.name))
    else:
        assert a == b


@pytest.fixture(scope="module")
def measured():
    model, batches = cases.classifier().float(), cases.labelled(dtype=torch.float32)
    full = curvature(model, cases.cross_entropy, batches, modes=3, trace=4, density=Probing(3, 6))
    return (
        full,
        replace(full, trace=None, density=None),
        secant_curvature(model, cases.cross_entropy, batches, full, 0.1),
    )


@pytest.mark.parametrize("which", [0, 1, 2])
def test_round_trip_is_exact(measured, which, tmp_path):
    save_curvature(measured[which], tmp_path / "c.safetensors")
    same(measured[which], load_curvature(tmp_path / "c.safetensors"))
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_no_torch_is_imported(measured, tmp_path):
    save_curvature(measured[0], tmp_path / "c.safetensors")
    code = (
        "import sys; from limen.measure.curvature.files import load_curvature; import limen.measure.noise.files; "
        f"c = load_curvature({str(tmp_path / 'c.safetensors')!r}); assert len(c.eigenvalues) == 3; "
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_other_files_are_named(measured, tmp_path):
    with pytest.raises(BadInput, match="found none"):
        load_curvature(tmp_path / "missing")
    save_curvature(measured[0], tmp_path / "c")
    whole = (tmp_path / "c").read_bytes()
    (tmp_path / "c").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="safetensors file"):
        load_curvature(tmp_path / "c")
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(1)}, tmp_path / "other")
    with pytest.raises(BadInput, match="schema"):
        load_curvature(tmp_path / "other")
