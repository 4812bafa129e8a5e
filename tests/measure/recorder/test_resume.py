"""A recording that was cut goes on as if it had not been; what is damaged is set aside and counted."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recorder_cases import Modes, batches, network, train, update  # noqa: E402

from limen.measure.recorder import rows  # noqa: E402
from limen.measure.recorder.read import read_run  # noqa: E402
from limen.measure.recorder.recorder import record  # noqa: E402
from limen.measure.recorder.shards import QUARANTINE, states  # noqa: E402
from limen.pretrain.optimizers import DecoupledSGD  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch
OPTIONS = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}
ROWS = ("loss", "velocity_norm2", "gradient_norm2", "offset_dot_gradient", "offset_dot_velocity", "offset_norm2")


def _made(options=OPTIONS):
    net, given = network(), {key: value for key, value in options.items() if key != "decoupled"}
    return net, (DecoupledSGD if options.get("decoupled") else torch.optim.SGD)(net.parameters(), **given)


def _saved(net, optimizer):
    return {"net": _cloned(net.state_dict()), "optimizer": _cloned(optimizer.state_dict())}


def _cloned(state):
    import copy

    return copy.deepcopy(state)


def _restored(saved, options=OPTIONS):
    net, optimizer = _made(options)
    net.load_state_dict(saved["net"])
    optimizer.load_state_dict(saved["optimizer"])
    return net, optimizer


def _cut(folder, save_at, cut_at, options=OPTIONS, **asked):
    """A run whose process is gone after `cut_at` updates (no end), and its checkpoint after `save_at`."""
    net, optimizer = _made(options)
    run = record(net, optimizer, folder, modes=Modes(net), every=20, **asked).__enter__()
    train(net, optimizer, batches(save_at), run.step)
    saved = _saved(net, optimizer)
    train(net, optimizer, batches(cut_at - save_at, start=save_at), run.step)
    for hook in run._hooks:
        hook.remove()
    return saved


def _whole(folder, steps, options=OPTIONS):
    net, optimizer = _made(options)
    with record(net, optimizer, folder, modes=Modes(net), every=20) as run:
        train(net, optimizer, batches(steps), run.step)
    return read_run(folder)


def _displacements(found, until=np.inf):
    """By birth and lag, of what was taken up to an update."""
    taken = found.displacements
    rows = zip(taken.birth.tolist(), taken.lag.tolist(), taken.value.tolist(), strict=True)
    return {(birth, lag): value for birth, lag, value in rows if birth + lag <= until}


@pytest.mark.parametrize("save_at", [0, 40, 53, 75])
@pytest.mark.parametrize(
    "options",
    [OPTIONS, {"lr": 0.1}, {**OPTIONS, "nesterov": True}, {**OPTIONS, "decoupled": True, "weight_decay": 0.3}],
)
def test_a_resumed_recording_is_the_uninterrupted_one(tmp_path, save_at, options):
    saved = _cut(tmp_path / "cut", save_at, 95, options)
    net, optimizer = _restored(saved, options)
    with record(net, optimizer, tmp_path / "cut", modes=Modes(net), every=20, resume=True) as run:
        assert run.done == save_at
        before = read_run(tmp_path / "cut")
        train(net, optimizer, batches(130 - save_at, start=save_at), run.step)
    found, truth = read_run(tmp_path / "cut"), _whole(tmp_path / "whole", 130, options)
    assert found.info.resumed == (save_at,)
    assert len(before.correlations) == (save_at > 16)
    assert _displacements(before) == pytest.approx(_displacements(truth, until=save_at), rel=2e-5)
    expected = _displacements(truth)
    if save_at > 64:  # the copy taken then is gone with the process
        expected = {(b, lag): value for (b, lag), value in expected.items() if b != 64 or b + lag <= save_at}
    assert _displacements(found) == pytest.approx(expected, rel=2e-5)
    assert found.step.tolist() == truth.step.tolist() == list(range(1, 131))
    for name in ROWS:
        np.testing.assert_allclose(getattr(found, name), getattr(truth, name), rtol=2e-5, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(found.positions, truth.positions, atol=1e-5)
    np.testing.assert_allclose(found.sketch, truth.sketch, atol=1e-5)
    np.testing.assert_allclose(found.correlator.displacement, truth.correlator.displacement, rtol=1e-4)
    np.testing.assert_array_equal(found.correlator.origins, truth.correlator.origins)
    assert [(s.start, s.stop) for s in found.info.segments] == [(1, 130)]
    assert all(test.passed for test in found.info.self_tests)


def test_weights_of_no_recorded_update_are_refused_and_may_be_numbered(tmp_path):
    saved = _cut(tmp_path / "run", 67, 70)  # shards end at 60: update 67 was lost with the process
    net, optimizer = _restored(saved)
    with pytest.raises(BadInput, match=r"0 of 60 recorded updates fit") as caught:
        record(net, optimizer, tmp_path / "run", modes=Modes(net), resume=True).__enter__()
    assert "resume=<updates already made>" in str(caught.value)
    with record(net, optimizer, tmp_path / "run", modes=Modes(net), every=20, resume=67) as run:
        train(net, optimizer, batches(30, start=67), run.step)
    found = read_run(tmp_path / "run")
    assert found.step.tolist() == [*range(1, 61), *range(68, 98)]
    truth = _whole(tmp_path / "whole", 97)
    np.testing.assert_allclose(found.offset_norm2[60:], truth.offset_norm2[67:], rtol=2e-5)
    assert [(c.start, int(c.origins[0])) for c in found.correlations] == [(0, 60 - 16), (67, 30 - 16)]
    with pytest.raises(BadInput, match="not those recorded after 30 updates"):
        record(*_restored(saved), tmp_path / "run", modes=Modes(net), resume=30).__enter__()


def test_a_number_out_of_reach_is_refused(tmp_path):
    """Between two shards of 20 at most 20 updates are lost with the process."""
    saved = _cut(tmp_path / "run", 67, 70)
    net, optimizer = _restored(saved)
    options = {"modes": Modes(net), "every": 20}
    for far in (81, 10**7):
        with pytest.raises(BadInput, match=f"resume says that {far:,} were made") as caught:
            record(net, optimizer, tmp_path / "run", resume=far, **options).__enter__()
        assert "at most 20 updates" in str(caught.value)
    assert read_run(tmp_path / "run").info.resumed == ()
    with record(net, optimizer, tmp_path / "run", resume=80, **options) as run:
        run.step(update(net, optimizer, batches(1)[0]))
    assert read_run(tmp_path / "run").info.resumed == (80,)
    assert read_run(tmp_path / "run").step.tolist() == [*range(1, 61), 81]


def test_rows_that_are_superseded_are_counted_no_more(tmp_path):
    net, optimizer = _made()
    run = record(net, optimizer, tmp_path / "run", every=10).__enter__()
    train(net, optimizer, batches(20), run.step)
    saved = _saved(net, optimizer)
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    train(net, optimizer, batches(10, start=20), run.step)
    run.end()
    assert read_run(tmp_path / "run").info.not_finite == 10
    with pytest.raises(BadInput, match="has ended"):
        run.begin(net, optimizer)
    net, optimizer = _restored(saved)
    with record(net, optimizer, tmp_path / "run", every=10, resume=True) as run:
        train(net, optimizer, batches(5, start=20), run.step)
    found = read_run(tmp_path / "run")
    assert (found.info.not_finite, found.info.steps, found.excluded.sum()) == (0, 25, 0)


def test_rows_written_just_before_a_kill_have_their_segment(tmp_path):
    saved = _cut(tmp_path / "run", 60, 60)
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    document.update(steps=0, segments=[])
    (tmp_path / "run" / "run.json").write_text(json.dumps(document))
    assert [(s.start, s.stop) for s in read_run(tmp_path / "run").info.segments] == [(1, 60)]
    for _, _, path in states(tmp_path / "run"):
        path.unlink()
    net, optimizer = _restored(saved)
    with record(net, optimizer, tmp_path / "run", modes=Modes(net), resume=True) as run:
        train(net, optimizer, batches(20, start=60), run.step)
    found = read_run(tmp_path / "run")
    assert [(s.start, s.stop) for s in found.info.segments] == [(1, 80)]
    assert found.correlator.origins[0] == 80 - 16


def test_a_flush_before_a_checkpoint_makes_it_resumable(tmp_path):
    net, optimizer = _made()
    run = record(net, optimizer, tmp_path / "run", every=1000).__enter__()
    train(net, optimizer, batches(33), run.step)
    assert run.durable == 0
    run.flush()
    assert run.durable == 33
    saved = _saved(net, optimizer)
    for hook in run._hooks:
        hook.remove()
    with record(*_restored(saved), tmp_path / "run", resume=True) as again:
        assert again.done == 33


def test_a_truncated_shard_is_counted_and_on_resume_set_aside(tmp_path):
    saved = _cut(tmp_path / "run", 80, 95)
    victim = sorted((tmp_path / "run").glob("steps-*"))[1]
    victim.write_bytes(victim.read_bytes()[:-100])
    flipped = sorted((tmp_path / "run").glob("fine-*"))[0]
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 0xFF
    flipped.write_bytes(bytes(content))
    found = read_run(tmp_path / "run")
    assert found.info.damaged == 2
    assert found.step.tolist() == [*range(1, 21), *range(41, 81)]
    assert victim.exists()
    net, optimizer = _restored(saved)
    with record(net, optimizer, tmp_path / "run", modes=Modes(net), every=20, resume=True) as run:
        train(net, optimizer, batches(20, start=80), run.step)
    assert not victim.exists()
    assert victim.with_name(victim.name + QUARANTINE).exists()
    found = read_run(tmp_path / "run")
    assert found.info.damaged == 2
    assert found.step[-1] == 100
    truth = _whole(tmp_path / "whole", 100)
    np.testing.assert_allclose(found.correlator.displacement, truth.correlator.displacement, rtol=1e-4)


def test_a_deleted_shard_and_a_damaged_state_are_counted(tmp_path):
    _cut(tmp_path / "run", 0, 80)
    sorted((tmp_path / "run").glob("steps-*"))[1].unlink()
    newest = sorted((tmp_path / "run").glob("state-*"))[-1]
    newest.write_bytes(newest.read_bytes()[:5000])
    found = read_run(tmp_path / "run")
    assert found.info.damaged == 2
    assert found.correlator.origins[0] == 60 - 16  # of the state before


@pytest.mark.parametrize("gone", [0, 1, -1])
def test_a_shard_gone_from_either_end_is_counted(tmp_path, gone):
    saved = _cut(tmp_path / "run", 80, 80)
    sorted((tmp_path / "run").glob("steps-*"))[gone].unlink()
    assert read_run(tmp_path / "run").info.damaged == 1
    if gone == 0:
        net, optimizer = _restored(saved)
        with record(net, optimizer, tmp_path / "run", modes=Modes(net), every=20, resume=True) as run:
            train(net, optimizer, batches(40, start=80), run.step)
        sorted((tmp_path / "run").glob("steps-001-*"))[0].unlink()
        assert read_run(tmp_path / "run").info.damaged == 2


def test_an_update_whose_loss_was_no_number_is_replayed(tmp_path):
    """The correlator goes over it, live and when rows are replayed."""
    saved = {}
    for folder in ("whole", "cut"):
        net, optimizer = _made()
        run = record(net, optimizer, tmp_path / folder, every=20).__enter__()
        for index, batch in enumerate(batches(60)):
            loss = update(net, optimizer, batch)
            run.step(float("nan") if index == 30 else loss)
            if index == 39:
                saved[folder] = _saved(net, optimizer)
        run.end()
    for _, _, path in states(tmp_path / "cut"):
        path.unlink()
    net, optimizer = _restored(saved["cut"])
    with record(net, optimizer, tmp_path / "cut", every=20, resume=True) as run:
        train(net, optimizer, batches(20, start=40), run.step)
    found, truth = read_run(tmp_path / "cut"), read_run(tmp_path / "whole")
    assert [test.passed for test in found.info.self_tests if test.name == "resume"] == [True]
    assert found.correlator.origins[0] == truth.correlator.origins[0] == 60 - 16
    np.testing.assert_allclose(found.correlator.displacement, truth.correlator.displacement, rtol=1e-4)
    path = np.cumsum(truth.sketch.astype(float), axis=0) * 0.05  # constant rate: S(θ − θ_ref)
    exact = np.mean(np.sum((path[16:] - path[15:-1]) ** 2, axis=1))
    assert found.correlator.displacement[0] == pytest.approx(exact, rel=1e-4)


def test_a_full_disk_loses_nothing_once_there_is_room(tmp_path, monkeypatch):
    truth = _whole(tmp_path / "whole", 60)
    net, optimizer = _made()
    with record(net, optimizer, tmp_path / "run", modes=Modes(net), every=20) as run:
        train(net, optimizer, batches(39), run.step)
        written = rows.write_rows

        def full(folder, shard, columns):
            if shard.kind == "steps":
                raise OSError(errno.ENOSPC, "No space left on device")
            written(folder, shard, columns)

        monkeypatch.setattr(rows, "write_rows", full)
        with pytest.raises(OSError, match="No space"):
            train(net, optimizer, batches(1, start=39), run.step)
        monkeypatch.undo()
        train(net, optimizer, batches(20, start=40), run.step)
    found = read_run(tmp_path / "run")
    assert found.step.tolist() == found.sketch_step.tolist() == list(range(1, 61))
    np.testing.assert_allclose(found.positions, truth.positions, atol=1e-5)
    np.testing.assert_allclose(found.sketch, truth.sketch, atol=1e-5)


def test_another_model_or_sketch_is_refused_with_every_difference(tmp_path):
    _cut(tmp_path / "run", 0, 20)
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    with pytest.raises(BadInput) as caught:
        record(net, optimizer, tmp_path / "run", sketch=512, resume=True).__enter__()
    assert [problem.where for problem in caught.value.problems] == ["parameters", "optimizer", "sketch", "modes"]


def test_what_is_not_said_again_is_as_it_was_and_what_differs_is_refused(tmp_path):
    facts = {"batch_size": 16, "sampling": "iid", "examples": 1000}
    saved = _cut(tmp_path / "run", 40, 40, **facts)
    other = {"batch_size": 8, "sampling": "reshuffle", "examples": 999}
    net, optimizer = _restored(saved)
    with pytest.raises(BadInput) as caught:
        record(net, optimizer, tmp_path / "run", modes=Modes(net), resume=True, **other).__enter__()
    assert [problem.where for problem in caught.value.problems] == list(facts)
    with record(net, optimizer, tmp_path / "run", modes=Modes(net), every=20, resume=True) as run:
        train(net, optimizer, batches(20, start=40), run.step)
    found = read_run(tmp_path / "run")
    assert [(s.start, s.stop, s.batch_size) for s in found.info.segments] == [(1, 60, 16)]
    assert found.correlator.origins[0] == 60 - 16
    assert {name: getattr(found.info, name) for name in facts} == facts
    with record(net, optimizer, tmp_path / "run", modes=Modes(net), resume=True, **facts) as run:
        assert run.done == 60


@pytest.mark.parametrize("resume", [-5, 15.5, "x", None])
def test_a_resume_is_yes_no_or_a_whole_number(tmp_path, resume):
    saved = _cut(tmp_path / "run", 20, 20)
    net, optimizer = _restored(saved)
    with pytest.raises(BadInput, match="expected True, False or a number of updates"):
        record(net, optimizer, tmp_path / "run", modes=Modes(net), resume=resume)


@pytest.mark.parametrize("made", [_made, lambda: _adam()])
@pytest.mark.parametrize("resume", [True, 20, 23])
def test_an_optimizer_that_was_not_restored_is_refused(tmp_path, made, resume):
    net, optimizer = made()
    run = record(net, optimizer, tmp_path / "run", every=20).__enter__()
    train(net, optimizer, batches(20), run.step)
    saved = _saved(net, optimizer)
    for hook in run._hooks:
        hook.remove()
    net, optimizer = made()
    net.load_state_dict(saved["net"])
    with pytest.raises(BadInput, match="got one without its buffers"):
        record(net, optimizer, tmp_path / "run", resume=resume).__enter__()
    assert read_run(tmp_path / "run").info.resumed == ()
    optimizer.load_state_dict(saved["optimizer"])
    with record(net, optimizer, tmp_path / "run", resume=resume) as run:
        assert run.done == max(20, int(resume))


def _adam():
    net = network()
    return net, torch.optim.Adam(net.parameters())


@pytest.mark.parametrize("changed", ["vectors", "eigenvalues"])
def test_other_modes_of_the_same_number_are_refused(tmp_path, changed):
    saved = _cut(tmp_path / "run", 20, 20)
    net, optimizer = _restored(saved)
    modes = Modes(net)
    setattr(modes, changed, getattr(modes, changed)[::-1].copy())
    with pytest.raises(BadInput, match="got others of the same number"):
        record(net, optimizer, tmp_path / "run", modes=modes, resume=True).__enter__()


KILLED = """
import sys
sys.path.insert(0, {here!r})
import torch
from recorder_cases import batches, network, update
from limen.measure.recorder.recorder import record
torch.set_num_threads(1)
net = network()
optimizer = torch.optim.SGD(net.parameters(), **{options!r})
with record(net, optimizer, {folder!r}, every=5) as run:
    for batch in batches(100_000):
        run.step(update(net, optimizer, batch))
        print(run.durable, flush=True)
"""


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path):
    """Killed at an arbitrary moment: every acknowledged update reads back whole."""
    here, folder = str(Path(__file__).parent), str(tmp_path / "run")
    code = KILLED.format(here=here, folder=folder, options=OPTIONS).replace("batches(100_000)", "batches(2_000)")
    acknowledged = 0
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        while acknowledged < 60:
            acknowledged = int(child.stdout.readline())
        time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().split()
    acknowledged = int(rest[-1]) if rest else acknowledged
    found = read_run(folder)
    assert not found.info.ended
    assert found.info.damaged == 0
    assert found.info.steps >= acknowledged >= 60
    assert found.step.tolist() == list(range(1, found.info.steps + 1))
    net, optimizer = _made()
    train(net, optimizer, batches(found.info.steps))
    with record(net, optimizer, folder, resume=True, every=5) as run:
        assert run.done == found.info.steps
    assert not list(Path(folder).glob(".*.part"))
