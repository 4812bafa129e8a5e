"""Blocks are the rows; those of a file do not stay resident; changes of a private map are not lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from limen.arrays.row_blocks import in_file, row_blocks, taken


def resident_file_pages() -> int:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssFile"].split()[0]) * 1024


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.arange(32_000 * 256, dtype=np.float32).reshape(32_000, 256))  # 33 MB
    return path


@pytest.mark.parametrize("view", [slice(None), slice(5, 20_001), slice(None, None, 3)])
def test_blocks_and_taken_rows_are_those_of_the_matrix(file, view):
    whole, mapped = np.load(file)[view], np.load(file, mmap_mode="r")[view]
    assert in_file(mapped)
    assert not in_file(whole)
    seen = np.concatenate([block.copy() for _, block in row_blocks(mapped, 1000)])
    assert np.array_equal(seen, whole)
    rows = np.random.default_rng(0).permutation(len(whole))[:9000]
    assert np.array_equal(taken(mapped, rows), whole[rows])
    assert np.array_equal(taken(whole, rows), whole[rows])


def test_pages_of_a_file_are_handed_back(file):
    mapped = np.asarray(np.load(file, mmap_mode="r"))  # a view: its class says nothing of the file
    before = resident_file_pages()
    assert float(mapped.sum()) > 0
    assert resident_file_pages() - before > 30_000_000
    total = sum(float(block.sum()) for _, block in row_blocks(mapped, 1000))
    assert total > 0
    assert resident_file_pages() - before < 5_000_000
    taken(mapped, np.arange(0, len(mapped), 2))
    assert resident_file_pages() - before < 5_000_000


def test_what_was_written_to_a_private_map_is_kept(file):
    private = np.load(file, mmap_mode="c")
    private[7] = -1
    list(row_blocks(private, 1000))
    assert not in_file(private)
    assert (private[7] == -1).all()
    shared = np.load(file, mmap_mode="r+")
    shared[7] = -2
    list(row_blocks(shared, 1000))
    assert (shared[7] == -2).all()
