"""Cells run in the order of their needs; a mistake costs what rests on it, a dead worker costs a retry."""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from cells_for_tests import cell, contents, grid, publish_and_die, publish_on_a_full_disk, publish_slowly, run_stage

from limen.cluster import Attempt, Pool, Work
from limen.records.cell import Cell
from limen.records.errors import StoreError


def test_needs_come_first_and_results_are_listed_before_they_are_told(study) -> None:
    cells = grid(18)
    listed = []
    study.hear = lambda event: listed.append((event.kind == "finished") <= (event.key in keys(study)))
    summary = study.run(cells)
    assert summary.exit_code == 0
    assert [outcome.outcome for outcome in summary.outcomes] == ["run"] * 18
    assert [outcome.key for outcome in summary.outcomes] == [each.key for each in cells]
    assert all(listed)
    position = {(event.kind, event.key): at for at, event in enumerate(study.events)}
    for each in cells:
        for need in each.needs.values():
            assert position["finished", need] < position["started", each.key]
    assert [event.done for event in study.told("finished")] == list(range(1, 19))
    assert study.events[-1].share == pytest.approx(1.0)


def keys(study) -> set[str]:
    return {row.key for row in study.store.rows()}


def test_workers_count_and_order_change_no_byte(study, tmp_path: Path) -> None:
    cells = grid(12)
    study.run(cells)
    first = contents(study.root)
    study.root = tmp_path / "other.limen"
    study.run(list(reversed(cells)), Pool(workers=1))
    assert contents(study.root) == first
    assert len(first) == 12


class InThisProcess:
    """The slow obvious executor: runs each cell where it is, one after the other."""

    def __init__(self, work: Work, pool: Pool) -> None:
        self.work, self.ended = work, []

    def capacity(self) -> int:
        return 1 - len(self.ended)

    def submit(self, cell: Cell) -> None:
        inputs = {name: self.work.load(key) for name, key in cell.needs.items()}
        self.work.publish(cell, run_stage(cell.stage, cell.spec, inputs), 0.5)
        self.ended.append(Attempt(cell, "published", 0.5))

    def poll(self, timeout: float) -> list[Attempt]:
        ended, self.ended = self.ended, []
        return ended

    def told(self) -> list[tuple[Cell, str]]:
        return []

    def cancel(self) -> None:
        raise AssertionError("nothing interrupts this test")

    def close(self) -> None:
        pass


def test_processes_agree_with_the_slow_obvious_executor(study, tmp_path: Path) -> None:
    cells = grid(12)
    study.run(cells)
    processes, study.root, study.executor = contents(study.root), tmp_path / "other.limen", InThisProcess
    assert study.run(cells).exit_code == 0
    assert contents(study.root) == processes


def test_a_cell_says_how_far_it_is_while_it_is_computed(study) -> None:
    summary = study.run([cell("tell", 1), cell("tell", 2)])
    assert [outcome.outcome for outcome in summary.outcomes] == ["run", "run"]
    for label in ("tell 1", "tell 2"):
        kinds = [(event.kind, event.reason) for event in study.events if event.label == label]
        assert kinds == [("started", ""), ("told", "a third"), ("told", "two thirds"), ("finished", "")]


def test_a_second_run_has_nothing_to_do(study) -> None:
    cells = grid(6)
    study.run(cells)
    assert study.run(cells).outcomes == ()


def test_a_mistake_skips_only_what_rests_on_it(study) -> None:
    bad, crash, nan = cell("bad"), cell("crash"), cell("nan")
    above = cell("draw", 1, {"x": bad.key})
    top = cell("draw", 2, {"x": above.key})
    apart = cell("draw", 3)
    summary = study.run([top, above, bad, crash, nan, apart], Pool(workers=1))
    assert summary.exit_code == 1
    outcomes = {outcome.label: outcome for outcome in summary.outcomes}
    assert [o.outcome for o in summary.outcomes] == ["skipped", "skipped", "failed", "failed", "failed", "run"]
    assert outcomes["bad 0"].reason.startswith("adapt.labels: error: expected at most 10 rows, got 12\n")
    assert outcomes["crash 0"].reason == "ZeroDivisionError: an unforeseen mistake"
    assert not [outcome for outcome in summary.outcomes if "Traceback" in outcome.reason]
    assert "data.curve[0].loss is nan" in outcomes["nan 0"].reason.splitlines()[0]
    assert "needs bad 0 (bad), which failed: adapt.labels" in outcomes["draw 1"].reason
    assert {failure.label: failure.attempts for failure in study.store.failures()} == {
        "bad 0": 1,
        "crash 0": 1,
        "nan 0": 1,
    }
    assert study.store.has(apart.key)


def test_a_stage_that_does_not_exist_fails_its_cells(study) -> None:
    summary = study.run([cell("draw")], stage_function="no_such_module:run_stage")
    assert summary.outcomes[0].reason.startswith("ModuleNotFoundError: No module named 'no_such_module'")


def test_a_killed_worker_is_told_retried_and_the_others_go_on(study, tmp_path: Path) -> None:
    dying = cell("die", journal=str(tmp_path / "journal"), times=2)
    summary = study.run([dying, *grid(6)], Pool(workers=2, retries=2))
    assert summary.exit_code == 0
    assert [event.reason.split(",")[0] for event in study.told("lost")] == ["lost (signal 9"] * 2
    assert [event.attempt for event in study.told("retried")] == [1, 2]
    assert study.store.load(dying.key).data == {"attempts": 3}
    assert study.store.failures() == ()


def test_a_cell_that_keeps_killing_its_worker_fails(study, tmp_path: Path) -> None:
    dying = cell("die", journal=str(tmp_path / "journal"), times=99)
    summary = study.run([dying, cell("draw")], Pool(workers=2, retries=1))
    assert summary.exit_code == 1
    assert summary.outcomes[0].reason.startswith("lost (signal 9, SIGKILL)")
    assert summary.outcomes[0].reason.endswith("2 times")
    assert study.store.failures()[0].attempts == 2
    assert summary.outcomes[1].outcome == "run"


def test_a_worker_that_died_after_publishing_is_not_run_again(study, tmp_path: Path) -> None:
    cells = [cell("draw", seed, journal=str(tmp_path / "journal")) for seed in range(2)]
    summary = study.run(cells, Pool(workers=1), publish=partial(publish_and_die, study.store.writer))
    assert summary.exit_code == 0
    assert (tmp_path / "journal").read_text().split() == ["0", "1"]
    assert study.told("lost") == []


def test_threads_are_those_of_the_cell(study) -> None:
    one, two = cell("threads", 0), cell("threads", 1, threads=2)
    again = cell("threads", 2)
    study.run([one, two, again], Pool(workers=1))
    assert study.store.load(one.key).data["threads"] == 1
    assert study.store.load(two.key).data["threads"] == min(2, os.cpu_count() or 1)
    assert study.store.load(again.key).data["threads"] == 1


def test_a_worker_takes_many_cells_and_is_replaced_after_a_crash(study) -> None:
    cells = [cell("threads", 0), cell("threads", 1), cell("crash"), cell("threads", 2)]
    study.run(cells, Pool(workers=1))
    first, second, third = (study.store.load(cells[k].key).data["pid"] for k in (0, 1, 3))
    assert first == second != third


def test_cells_with_one_meaning_run_once(study) -> None:
    twin = cell("draw", 1)
    other = Cell(twin.stage, "another name", twin.identity, twin.spec)
    summary = study.run([twin, other])
    assert [outcome.outcome for outcome in summary.outcomes] == ["run", "run"]
    assert len(study.told("started")) == 1


def test_a_refusing_disk_stops_the_run_and_keeps_what_was_published(study) -> None:
    cells = [cell("draw", seed) for seed in range(40)]
    with pytest.raises(StoreError, match="ENOSPC") as caught:
        study.run(cells, Pool(workers=1), publish=partial(publish_on_a_full_disk, study.store.writer))
    assert caught.value.exit_code == 3
    assert len(study.told("started")) == 4
    assert len(keys(study)) == 3


def test_what_workers_print_goes_to_the_log(study, tmp_path: Path) -> None:
    study.run([cell("say", 7)], Pool(workers=1, log=tmp_path / "workers.log"))
    assert (tmp_path / "workers.log").read_text() == "said 7\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_lets_publishing_finish_and_stops_computing(study, number: signal.Signals) -> None:
    publishing, computing, later = cell("draw", 1), cell("draw", 2, sleep=60), cell("draw", 3)
    before = signal.getsignal(number)
    interrupt_when_publishing(study.root, [number])
    start = time.monotonic()
    summary = study.run([computing, publishing, later], publish=partial(publish_slowly, study.store.writer, 0.7))
    assert time.monotonic() - start < 10
    assert summary.exit_code == 130
    assert [outcome.outcome for outcome in summary.outcomes] == ["waiting", "run", "waiting"]
    assert study.store.has(publishing.key)
    assert signal.getsignal(number) == before


def test_a_second_interruption_is_immediate(study) -> None:
    interrupt_when_publishing(study.root, [signal.SIGINT, signal.SIGINT])
    start = time.monotonic()
    summary = study.run([cell("draw", 1)], publish=partial(publish_slowly, study.store.writer, 60))
    assert time.monotonic() - start < 10
    assert summary.interrupted
    assert keys(study) == set()


def interrupt_when_publishing(root: Path, numbers: list[signal.Signals]) -> None:
    def wait() -> None:
        while not (root / "publishing").exists():
            time.sleep(0.02)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.4)

    threading.Thread(target=wait, daemon=True).start()


def test_where_an_unforeseen_exception_was_raised_is_in_the_log_only(study, tmp_path: Path) -> None:
    log = tmp_path / "workers.log"
    summary = study.run([cell("crash"), cell("bad")], Pool(workers=1, log=log))
    crash, bad = (outcome.reason for outcome in summary.outcomes)
    assert (
        crash == "ZeroDivisionError: an unforeseen mistake\n  where: workers.log in the store says where it was raised"
    )
    assert "Traceback" not in bad
    said = log.read_text()
    assert said.count("Traceback") == 1
    assert "cells_for_tests.py" in said
    assert f"crash crash 0 ({cell('crash').key})" in said


def test_a_log_that_cannot_be_opened_is_a_refusal(study, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="refused the log of the workers"):
        study.run([cell("draw")], Pool(workers=1, log=tmp_path))
