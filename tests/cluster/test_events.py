"""The event log survives a crash: one torn last line is counted and cut off; damage elsewhere is named."""

from __future__ import annotations

import errno
import io
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from limen.cluster import Event, EventLog, Progress, read_events
from limen.records.errors import StoreError

EVENT = Event("finished", "ab" * 32, "fit", "minilm · banking77", 1, 2.5, "", 1, 4, 0.25, "2026-01-01T00:00:00+00:00")


def test_events_come_back(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    events = (EVENT, replace(EVENT, kind="failed", seconds=None, reason="two\nlines"))
    for event in events:
        log(event)
    log.close()
    assert read_events(log.path).events == events
    assert read_events(log.path).torn == 0
    assert read_events(tmp_path / "missing.jsonl").events == ()


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_torn_tail_is_counted_and_cut_off_by_the_next_writer(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log(EVENT)
    whole = path.stat().st_size
    log(EVENT)
    log.close()
    size = whole + kept if kept > 0 else 2 * whole + kept
    os.truncate(path, size)
    assert read_events(path).events == (EVENT,)
    assert read_events(path).torn == size - whole
    again = EventLog(path)
    assert again.cut == size - whole
    again(EVENT)
    again.close()
    assert read_events(path).events == (EVENT, EVENT)
    assert read_events(path).torn == 0


@pytest.mark.parametrize("damage", [b"{broken\n", b"[]\n", b'{"kind": "started"}\n'])
def test_damage_in_the_middle_is_named_by_its_line(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log(EVENT)
    log.close()
    path.write_bytes(path.read_bytes() + damage + path.read_bytes())
    with pytest.raises(StoreError, match=r"events\.jsonl:2"):
        read_events(path)


@pytest.mark.parametrize("damage", [b"{broken\n", b"[]\n", b'{"kind": "started"}\n', b"\xff\x00\n"])
def test_damage_stops_no_writer(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log(EVENT)
    log.close()
    whole = path.read_bytes()
    path.write_bytes(whole + damage + whole + b"{torn")
    middle = EventLog(path)  # what lies before the last line is not read
    assert (middle.aside, middle.cut) == (None, 5)
    middle(EVENT)
    middle.close()
    assert path.read_bytes() == whole + damage + whole + whole
    for number in (1, 2):
        path.write_bytes(whole + damage)
        end = EventLog(path)
        end(EVENT)
        end.close()
        assert end.aside == tmp_path / f"events.jsonl.damaged-{number}"
        assert end.aside.read_bytes() == whole + damage
        assert read_events(path).events == (EVENT,)


def test_a_long_log_is_opened_by_its_end(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    EventLog(path).close()
    whole = (json.dumps(asdict(replace(EVENT, reason="x" * 5000))) + "\n").encode()
    path.write_bytes(whole * 400)
    log = EventLog(path)
    log(EVENT)
    log.close()
    assert log.aside is None
    assert len(read_events(path).events) == 401
    path.write_bytes(b"0" * (1 << 21))  # no line at all
    log = EventLog(path)
    log.close()
    assert log.aside is not None


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log._file)
    os.close(full)
    with pytest.raises(StoreError, match=rf"events\.jsonl.*Errno {errno.ENOSPC}"):
        log(EVENT)
    log.close()


def test_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with Progress(4, stream) as progress:
        progress(replace(EVENT, kind="started", done=0, share=0.0))
        progress(EVENT)
        progress(replace(EVENT, kind="failed", reason="out of rows\nTraceback", done=2, share=0.5))
    first, second = stream.getvalue().splitlines()
    assert first.startswith("[1/4] finished fit minilm · banking77 (2.5 s)")
    assert "cells/min" in first
    assert "failed fit minilm · banking77 (2.5 s): out of rows" in second
    assert "Traceback" not in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal_shows_counts_and_failures() -> None:
    stream = Terminal()
    with Progress(4, stream) as progress:
        progress(replace(EVENT, kind="started", done=0, share=0.0, label="[bold] is a name"))
        progress(replace(EVENT, kind="failed", reason="out of [red]rows[/red]", done=3, share=0.75))
    assert "3/4" in stream.getvalue()
    assert "out of [red]rows[/red]" in stream.getvalue().replace("\n", "")


def test_quiet_prints_nothing() -> None:
    stream = Terminal()
    with Progress(4, stream, quiet=True) as progress:
        progress(EVENT)
    assert stream.getvalue() == ""
