"""Laws of tables: the facts agree with the data, every kind of column survives, missing things are named."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from limen.data.digits import digits
from limen.data.images import decode_images
from limen.data.tables import TableFacts, builtin, describe, read_table
from limen.records.errors import BadInput

Image = pytest.importorskip("PIL.Image")
PIXELS = np.random.default_rng(0).integers(0, 256, size=(3, 4, 5, 3), dtype=np.uint8)


def png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_kind_of_column_survives_parquet(tmp_path: Path) -> None:
    content = [b"a", b"b\x00"]
    table = {
        "text": ["α", "b"],
        "bytes": content,
        "file": [{"bytes": content[0], "path": "x"}, {"bytes": content[1], "path": "y"}],
        "vector": [[1.0, 2.0], [3.0, 4.0]],
        "label": [3, 4],
        "flag": [True, False],
        "day": pa.array([1, 2], pa.date32()),
    }
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    kinds = ["text", "bytes", "bytes", "vector", "number", "boolean", "other"]
    assert describe(tmp_path / "t.parquet") == TableFacts(2, dict(zip(table, kinds, strict=True)))
    read = read_table(tmp_path / "t.parquet", list(table)[:6])
    assert len(read) == 2
    assert read.columns["text"].tolist() == ["α", "b"]
    assert read.columns["bytes"].tolist() == read.columns["file"].tolist() == content
    assert read.columns["vector"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert read.columns["label"].tolist() == [3, 4]
    assert read.columns["flag"].tolist() == [True, False]


def test_csv_and_npz_tables(tmp_path: Path) -> None:
    pyarrow.csv.write_csv(pa.table({"text": ["a,b\nc", "d"], "label": [1, 2]}), tmp_path / "t.csv")
    assert describe(tmp_path / "t.csv") == TableFacts(2, {"text": "text", "label": "number"})
    assert read_table(tmp_path / "t.csv", ["text"]).columns["text"].tolist() == ["a,b\nc", "d"]
    np.savez(tmp_path / "t.npz", X=np.eye(2), y=np.array(["a", "b"]))
    assert describe(tmp_path / "t.npz") == TableFacts(2, {"X": "vector", "y": "text"})
    assert read_table(tmp_path / "t.npz", ["X"]).columns["X"].tolist() == np.eye(2).tolist()


def test_digits_are_one_permutation_cut_in_two() -> None:
    (train, a), (test, b), (both, c) = digits("digits:train"), digits("digits:test"), digits("digits")
    assert np.array_equal(np.concatenate([train, test]), both)
    assert np.array_equal(np.concatenate([a, b]), c)
    assert both.min() == 0.0
    assert both.max() == 1.0
    assert describe("digits").rows == len(both) == 1797
    assert builtin("digits:test")
    assert np.array_equal(read_table("digits:test", ["label"]).columns["label"], b)
    assert np.bincount(b, minlength=10).min() > 20
    with pytest.raises(KeyError):
        digits("digits:validation")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", None], "label": [1, None]}), tmp_path / "t.parquet")
    with pytest.raises(BadInput) as caught:
        read_table(tmp_path / "t.parquet", ["text", "label"])
    assert [str(p).count("missing in 1 row (row 1)") for p in caught.value.problems] == [1, 1]
    with pytest.raises(BadInput, match="did you mean text") as caught:
        read_table(tmp_path / "t.parquet", ["txt", "lable"])
    assert len(caught.value.problems) == 2
    with pytest.raises(BadInput, match="did you mean digits:train"):
        describe("digits:trian")
    with pytest.raises(BadInput, match="no such file"):
        describe(tmp_path / "u.parquet")
    (tmp_path / "u.pkl").touch()
    with pytest.raises(BadInput, match=r"got \.pkl"):
        describe(tmp_path / "u.pkl")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "e.parquet")
    with pytest.raises(BadInput, match="without any"):
        read_table(tmp_path / "e.parquet", ["text"])


def test_png_is_decoded_exactly_grey_or_colour() -> None:
    assert np.array_equal(decode_images([png(p) for p in PIXELS]), PIXELS)
    grey = PIXELS[..., 0]
    assert np.array_equal(decode_images([png(p) for p in grey]), grey[..., None])
    mixed = decode_images([png(PIXELS[0]), png(grey[1])])
    assert np.array_equal(mixed[1], np.repeat(grey[1][..., None], 3, axis=2))
    assert decode_images([]).shape[0] == 0


def test_resizing_gives_the_size_asked_for_and_keeps_a_flat_image_flat() -> None:
    flat = np.full((6, 8, 3), 77, dtype=np.uint8)
    assert np.array_equal(decode_images([png(flat)], (3, 5)), np.full((1, 3, 5, 3), 77))


def test_images_that_cannot_be_used_are_named() -> None:
    whole = png(PIXELS[0])
    with pytest.raises(BadInput, match=r"3 rows \(rows 1, 2, 3\) cannot be decoded"):
        decode_images([whole, whole[:40], b"", b"GIF89a"])
    with pytest.raises(BadInput, match="images of one size, got 4×5, 5×4"):
        decode_images([whole, png(PIXELS[0].transpose(1, 0, 2))])


def test_a_claim_of_too_many_pixels_is_refused_unread() -> None:
    head = bytearray(png(PIXELS[0]))
    head[16:24] = (60_000).to_bytes(4, "big") * 2
    head[29:33] = zlib.crc32(bytes(head[12:29])).to_bytes(4, "big")
    with pytest.raises(BadInput, match="pixels"):
        decode_images([bytes(head)])


def test_real_photographs(shared_data: Path) -> None:
    facts = describe(shared_data / "cifar10" / "test.parquet")
    assert facts == TableFacts(10000, {"image": "bytes", "label": "text"})
    table = read_table(shared_data / "cifar10" / "test.parquet", ["image", "label"])
    images = decode_images(table.columns["image"][:64])
    assert images.shape == (64, 32, 32, 3)
    assert 50 < images.mean() < 200
