"""A recorded run: bit-identical training, rows that are the run's, and every misuse named."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recorder_cases import Modes, batches, network, numbers, train, update  # noqa: E402

from limen.measure.recorder.read import read_run  # noqa: E402
from limen.measure.recorder.recorder import Recorder, record  # noqa: E402
from limen.pretrain.loop import Training  # noqa: E402
from limen.pretrain.loop import train as train_loop  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402
from limen.records.trajectory import NOT_FINITE, SKIPPED  # noqa: E402

pytestmark = pytest.mark.torch
HEAVY_BALL = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}


def _sgd(net, **options):
    return torch.optim.SGD(net.parameters(), **(options or HEAVY_BALL))


def _recorded(tmp_path, steps=60, net=None, **options):
    net = net or network()
    with record(net, _sgd(net), tmp_path / "run", **options) as run:
        train(net, run._start.optimizer, batches(steps), run.step)
    return net, read_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", HEAVY_BALL),
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "foreach": True}),
        ("SGD", {"lr": 0.05, "momentum": 0.9, "fused": True}),
        ("AdamW", {"lr": 0.01}),
    ],
)
def test_training_is_bit_identical_with_and_without(tmp_path, name, options):
    plain, seen = network(), network()
    data = batches(80)
    train(plain, getattr(torch.optim, name)(plain.parameters(), **options), data)
    optimizer = getattr(torch.optim, name)(seen.parameters(), **options)
    random = torch.random.get_rng_state()
    with record(seen, optimizer, tmp_path / "run", modes=Modes(seen), every=7) as run:
        train(seen, optimizer, data, run.step)
    assert torch.equal(torch.random.get_rng_state(), random)
    for a, b in zip(plain.parameters(), seen.parameters(), strict=True):
        assert torch.equal(a, b)
    assert run.done == run.durable == 80


def test_rows_are_those_of_the_run(tmp_path):
    """Against weights, gradients and buffers kept at every update (the slow way)."""
    net = network(dtype=torch.float64)
    optimizer = _sgd(net)
    modes = Modes(net)
    kept = {"weights": [numbers(net)], "gradient": [], "buffer": [], "loss": []}
    with record(net, optimizer, tmp_path / "run", modes=modes, every=25) as run:
        for batch in batches(90):
            loss = update(net, optimizer, batch)
            run.step(loss)
            kept["loss"].append(float(loss.detach()))
            kept["gradient"].append(torch.cat([p.grad.reshape(-1) for p in net.parameters()]).numpy().copy())
            kept["weights"].append(numbers(net))
            state = [optimizer.state[p]["momentum_buffer"].reshape(-1) for p in net.parameters()]
            kept["buffer"].append(torch.cat(state).numpy().copy())
    found = read_run(tmp_path / "run")
    weights, buffers = np.array(kept["weights"]), np.array(kept["buffer"])
    offset, velocity = weights - weights[0], -buffers
    gradient = np.array(kept["gradient"]) + 1e-3 * weights[:-1]
    assert found.step.tolist() == list(range(1, 91))
    for name, truth in {
        "loss": kept["loss"],
        "learning_rate": [0.05] * 90,
        "velocity_norm2": np.sum(velocity**2, 1),
        "gradient_norm2": np.sum(gradient**2, 1),
        "offset_dot_gradient": np.sum(offset[:-1] * gradient, 1),
        "offset_dot_velocity": np.sum(offset[1:] * velocity, 1),
        "offset_norm2": np.sum(offset[1:] ** 2, 1),
        "step_norm2": np.sum(np.diff(weights, axis=0) ** 2, 1),
    }.items():
        np.testing.assert_allclose(getattr(found, name), truth, rtol=1e-8, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(found.positions, offset[1:] @ modes.vectors.T, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(found.velocities, velocity @ modes.vectors.T, rtol=2e-4, atol=1e-5)
    exact = found.displacements
    assert set(exact.birth.tolist()) == {0, 64}
    for birth, lag, value in zip(exact.birth, exact.lag, exact.value, strict=True):
        assert value == pytest.approx(np.sum((weights[birth + lag] - weights[birth]) ** 2), rel=1e-10)
    assert found.info.eigenvalues == (3.0, 2.0, 1.0)
    assert {test.name for test in found.info.self_tests} == {"sketch", "recursion", "drift"}
    assert all(test.passed for test in found.info.self_tests)


@pytest.mark.parametrize(
    ("name", "options"), [("SGD", {"momentum": 0.9, "nesterov": True}), ("SGD", {}), ("AdamW", {})]
)
def test_positions_and_sketch_follow_every_rule(tmp_path, name, options):
    net = network()
    optimizer = getattr(torch.optim, name)(net.parameters(), lr=0.02, weight_decay=0.1, **options)
    start = numbers(net)
    modes = Modes(net)
    with record(net, optimizer, tmp_path / "run", modes=modes, every=50) as run:
        train(net, optimizer, batches(73), run.step)
        offset = [p.detach().numpy().ravel() for p in net.parameters()]
        reference = run._observation.tools.reference
        anew = run._observation.tools.sketch.of([a - b for a, b in zip(offset, reference, strict=True)])
        np.testing.assert_allclose(run._observation.track.position, anew, atol=2e-5)
    found = read_run(tmp_path / "run")
    np.testing.assert_allclose(found.positions[-1], modes.vectors @ (numbers(net) - start), atol=2e-5)
    assert bool(found.info.approximate) == (name == "AdamW")


def test_the_correlator_is_the_sketched_run(tmp_path):
    """One-step displacement over all origins is η²⟨‖v‖²⟩ (plain heavy ball), within the sketch's error."""
    _, found = _recorded(tmp_path, 400)
    result = found.correlator
    assert result.displacement[0] == pytest.approx(np.mean(found.step_norm2[16:]), rel=3 * found.sketch_error)
    assert result.displacement[0] == pytest.approx(
        0.05**2 * np.mean(np.sum(found.sketch[16:].astype(float) ** 2, 1)), rel=1e-4
    )
    assert found.sketch_step.tolist() == found.step.tolist()


def test_gradients_may_be_cleared_before_the_row_is_closed(tmp_path):
    """Everything is read inside optimizer.step(), so that the order of the two does not change a row."""
    rows = []
    for index, early in enumerate((True, False)):
        net = network()
        optimizer = _sgd(net)
        with record(net, optimizer, tmp_path / str(index)) as run:
            for batch in batches(20):
                loss = update(net, optimizer, batch)
                if early:
                    optimizer.zero_grad()
                run.step(loss.item())
        rows.append(read_run(tmp_path / str(index)).gradient_norm2)
    np.testing.assert_array_equal(rows[0], rows[1])


def test_a_missing_update_is_refused_and_accumulation_works(tmp_path):
    net = network()
    optimizer = _sgd(net)
    with record(net, optimizer, tmp_path / "run") as run:
        for pair in (batches(2), batches(2, seed=5)):
            optimizer.zero_grad()
            for x, y in pair:
                loss = torch.nn.functional.cross_entropy(net(x), y) / 2
                loss.backward()
            if pair[0] is not None and run.done == 0:
                with pytest.raises(BadInput, match=r"expected optimizer\.step\(\) before run\.step"):
                    run.step(loss)
            optimizer.step()
            run.step(loss)
    found = read_run(tmp_path / "run")
    assert found.info.steps == 2


def test_two_updates_for_one_row_are_refused(tmp_path):
    net = network()
    optimizer = _sgd(net)
    with record(net, optimizer, tmp_path / "run") as run:
        loss = [update(net, optimizer, batch) for batch in batches(2)][-1]
        with pytest.raises(BadInput, match=r"after every optimizer\.step\(\), got a second"):
            run.step(loss)


def test_a_run_that_diverges_is_kept_marked_and_counted(tmp_path):
    net = network()
    optimizer = _sgd(net)
    with record(net, optimizer, tmp_path / "run", modes=Modes(net), every=8) as run:
        for index, batch in enumerate(batches(40)):
            if index == 30:
                with torch.no_grad():
                    next(net.parameters()).fill_(float("nan"))
            run.step(update(net, optimizer, batch))
    found = read_run(tmp_path / "run")
    assert found.info.steps == len(found.step) == 40
    assert found.info.not_finite == found.info.excluded == 10
    assert np.flatnonzero(found.excluded == NOT_FINITE).tolist() == list(range(30, 40))
    assert np.isnan(found.loss[30:]).all()
    assert np.isnan(found.positions[30:]).all()
    assert np.isfinite(found.positions[:30]).all()
    assert found.sketch_step.max() == 30
    assert np.isfinite(found.correlator.displacement).all()
    assert np.isfinite(found.displacements.value).all()


def test_only_a_loss_that_is_no_number_marks_its_row_alone(tmp_path):
    net = network()
    optimizer = _sgd(net)
    with record(net, optimizer, tmp_path / "run") as run:
        for index, batch in enumerate(batches(10)):
            loss = update(net, optimizer, batch)
            run.step(float("inf") if index == 4 else loss)
    found = read_run(tmp_path / "run")
    assert np.flatnonzero(found.excluded).tolist() == [4]
    assert len(found.sketch) == 10


def test_a_learning_rate_changed_mid_run_begins_a_segment(tmp_path):
    net = network()
    optimizer = _sgd(net)
    with record(net, optimizer, tmp_path / "run", batch_size=16) as run:
        train(net, optimizer, batches(60), run.step)
        optimizer.param_groups[0]["lr"] = 0.01
        train(net, optimizer, batches(60, start=60), run.step)
        for batch in batches(3):
            run.step(update(net, optimizer, batch), batch_size=8)
    found = read_run(tmp_path / "run")
    assert [(s.start, s.stop, s.settings.learning_rate, s.batch_size) for s in found.info.segments] == [
        (1, 60, 0.05, 16),
        (61, 120, 0.01, 16),
        (121, 123, 0.01, 8),
    ]
    assert [c.start for c in found.correlations] == [0, 60]
    assert found.learning_rate[[59, 60]].tolist() == [0.05, 0.01]
    assert found.correlations[1].displacement[0] < found.correlations[0].displacement[0]


def test_frozen_parameters_are_left_out_and_counted(tmp_path):
    net = network()
    for parameter in net[0].parameters():
        parameter.requires_grad = False
    _, found = _recorded(tmp_path, 5, net)
    assert (found.info.parameters, found.info.left_out) == (30 * 5 + 5, 20 * 30 + 30)


def test_unused_and_sparse_parameters_are_named(tmp_path):
    net = network()
    net.unused = torch.nn.Linear(2, 2)
    net.forward = lambda x: net[2](net[1](net[0](x)))
    optimizer = _sgd(net)
    with record(net, optimizer, tmp_path / "one") as run, pytest.raises(BadInput, match=r"no gradient: unused\.weight"):
        run.step(update(net, optimizer, batches(1)[0]))
    table = torch.nn.Embedding(9, 4, sparse=True)
    optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
    with record(table, optimizer, tmp_path / "two") as run:
        table(torch.tensor([1, 2])).sum().backward()
        optimizer.step()
        with pytest.raises(BadInput, match="dense gradients, got sparse ones of weight"):
            run.step(0.0)


def test_a_scaler_that_skips_is_seen_and_its_gradients_are_unscaled(tmp_path):
    scaled, plain = network(), network()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    optimizer, bare = _sgd(scaled), _sgd(plain)
    with record(scaled, optimizer, tmp_path / "scaled") as run, record(plain, bare, tmp_path / "plain") as other:
        for index, batch in enumerate(batches(12)):
            loss = torch.nn.functional.cross_entropy(scaled(batch[0]), batch[1])
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            if index == 5:
                next(scaled.parameters()).grad.fill_(float("inf"))
            scaler.step(optimizer)
            scaler.update()
            run.step(loss)
            if index != 5:
                other.step(update(plain, bare, batch))
    found, truth = read_run(tmp_path / "scaled"), read_run(tmp_path / "plain")
    assert np.flatnonzero(found.excluded == SKIPPED).tolist() == [5]
    assert found.info.skipped == 1
    kept = found.excluded == 0
    np.testing.assert_allclose(found.gradient_norm2[kept], truth.gradient_norm2, rtol=1e-4)
    np.testing.assert_allclose(found.offset_norm2[kept], truth.offset_norm2, rtol=1e-4)


def test_a_fused_optimizer_that_skips_inside_is_seen(tmp_path):
    net = network()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    optimizer = _sgd(net, **HEAVY_BALL, fused=True)
    with record(net, optimizer, tmp_path / "run") as run:
        for index, batch in enumerate(batches(6)):
            loss = torch.nn.functional.cross_entropy(net(batch[0]), batch[1])
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            if index == 3:
                next(net.parameters()).grad.fill_(float("inf"))
            scaler.step(optimizer)
            scaler.update()
            run.step(loss)
    found = read_run(tmp_path / "run")
    assert np.flatnonzero(found.excluded == SKIPPED).tolist() == [3]
    assert found.gradient_norm2[0] < 100


def test_shared_and_recreated_parameters_are_refused(tmp_path):
    net = network()
    net.twin = torch.nn.Linear(20, 30)
    net.twin.weight.data = net[0].weight.data
    with pytest.raises(BadInput, match="two parameters over the same memory"):
        record(net, _sgd(net), tmp_path / "run")
    with pytest.raises(BadInput, match=r"4 of the optimizer's 4 parameters are not the model's"):
        record(copy.deepcopy(network()), _sgd(network()), tmp_path / "run")
    net = network()
    optimizer = _sgd(net)
    with record(net, optimizer, tmp_path / "run") as run:
        run.step(update(net, optimizer, batches(1)[0]))
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))]})
        with pytest.raises(BadInput, match="not those that recording began with"):
            run.step(update(net, optimizer, batches(1)[0]))


def test_every_problem_of_a_start_is_named_at_once(tmp_path):
    net = network()
    with pytest.raises(BadInput) as caught:
        record(
            net,
            torch.optim.RMSprop(net.parameters()),
            tmp_path / "run",
            modes=Modes(net, 6),
            mode="lean",
            sketch=8,
            every=0,
            sampling="shuffled",
        )
    assert [problem.where for problem in caught.value.problems] == ["modes", "sketch", "sampling", "every", "optimizer"]
    assert not (tmp_path / "run").exists()


def test_memory_is_foretold_and_refused(tmp_path):
    net = network()
    run = record(net, _sgd(net), tmp_path / "run")
    assert "MB of memory" in str(run.forecast)
    with pytest.raises(BadInput, match="allowed are 1 MB"):
        record(net, _sgd(net), tmp_path / "run", memory=1_000_000)
    with pytest.raises(BadInput, match="expected a prepared recording"):
        _ = Recorder(tmp_path / "other").forecast


def test_modes_of_another_model_are_refused_and_named_parts_are_spread(tmp_path):
    net = network()
    with pytest.raises(BadInput, match=r"expected vectors of 785 numbers .* got 155"):
        record(net, _sgd(net), tmp_path / "run", modes=Modes(net[2]))
    with pytest.raises(BadInput, match="over recorded parameters, got nothing"):
        record(net, _sgd(net), tmp_path / "run", modes=Modes(net, names=("2.weight",)).__class__(net, 1, ("nothing",)))
    part = Modes(net, 2, names=("2.weight",))
    start = net[2].weight.detach().numpy().ravel().copy()
    _, found = _recorded(tmp_path, 12, net, modes=part)
    offset = net[2].weight.detach().numpy().ravel() - start
    np.testing.assert_allclose(found.positions[-1], part.vectors @ offset, atol=1e-5)


def test_a_measured_curvature_gives_the_modes(tmp_path):
    from limen.measure.curvature.spectrum import curvature

    net = network()

    def loss(model, batch):
        return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])

    measured = curvature(net, loss, batches(2), modes=2)
    wrapped = torch.nn.ModuleDict({"module": net})  # names as DistributedDataParallel gives them
    optimizer = _sgd(net)
    start = numbers(net)
    with record(wrapped, optimizer, tmp_path / "run", modes=measured) as run:
        train(net, optimizer, batches(10), run.step)
    found = read_run(tmp_path / "run")
    assert found.info.eigenvalues == pytest.approx(measured.eigenvalues.tolist())
    np.testing.assert_allclose(found.positions[-1], measured.vectors @ (numbers(net) - start), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64])
def test_weights_in_half_precision_or_complex_are_refused_by_name(tmp_path, dtype):
    net = torch.nn.ParameterDict({"odd": torch.zeros(3, dtype=dtype), "plain": torch.zeros(3)})
    with pytest.raises(BadInput, match=rf"got {dtype} in 1 parameters: odd") as caught:
        record(net, _sgd(net), tmp_path / "run")
    assert "torch.autocast" in str(caught.value)


def test_autocast_over_float32_weights_is_recorded(tmp_path):
    net = network()
    optimizer = _sgd(net)
    start = numbers(net)
    with record(net, optimizer, tmp_path / "run", every=10) as run:
        for x, y in batches(30):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = torch.nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            before = numbers(net)
            optimizer.step()
            run.step(loss)
    found = read_run(tmp_path / "run")
    assert found.step_norm2[-1] == pytest.approx(np.sum((numbers(net) - before) ** 2), rel=1e-4)
    assert found.offset_norm2[-1] == pytest.approx(np.sum((numbers(net) - start) ** 2), rel=1e-5)
    assert all(test.passed for test in found.info.self_tests)


def test_a_run_that_an_exception_ended_did_not_end_in_order(tmp_path):
    net = network()
    optimizer = _sgd(net)

    def interrupted():
        with record(net, optimizer, tmp_path / "run") as run:
            train(net, optimizer, batches(5), run.step)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    found = read_run(tmp_path / "run").info
    assert (found.steps, found.ended) == (5, False)


def test_a_loop_that_only_calls_end_says_how_it_ended(tmp_path):
    """Limen's own loop ends its observers in a `finally`: an exception on its way is seen there."""
    net = network()
    optimizer = _sgd(net)

    def losses(last):
        for index, (x, y) in enumerate(batches(10)):
            if index == last:
                raise OSError("batch")
            yield [lambda x=x, y=y: torch.nn.functional.cross_entropy(net(x), y)]

    def ended(name, last):
        run = Recorder(tmp_path / name)
        train_loop(Training(net, optimizer, losses(last), lambda done: 0.01, 10), [run])

    with pytest.raises(OSError, match="batch"):
        ended("cut", 4)
    info = read_run(tmp_path / "cut").info
    assert (info.steps, info.ended) == (4, False)
    try:
        raise ValueError("an earlier run")
    except ValueError:  # trained again while that one is being handled: no sign against the second run
        ended("again", None)
    assert read_run(tmp_path / "again").info.ended


def test_what_is_said_of_the_end_holds(tmp_path):
    net = network()
    optimizer = _sgd(net)
    for index, in_order in enumerate((True, False)):
        run = record(net, optimizer, tmp_path / str(index)).__enter__()
        try:
            raise StopIteration
        except StopIteration:
            run.end(in_order=in_order)
        run.end()
        assert read_run(tmp_path / str(index)).info.ended is in_order


def test_an_update_without_its_row_did_not_end_in_order(tmp_path):
    net = network()
    optimizer = _sgd(net)
    with record(net, optimizer, tmp_path / "run") as run:
        train(net, optimizer, batches(3), run.step)
        update(net, optimizer, batches(1)[0])
    info = read_run(tmp_path / "run").info
    assert (info.steps, info.ended) == (3, False)


def test_a_loop_without_a_row_is_told_at_its_end(tmp_path):
    """`run.step` is never called: the failure of the second update comes at the end, unless something else does."""
    net = network()
    optimizer = _sgd(net)
    with pytest.raises(BadInput, match="got a second update"), record(net, optimizer, tmp_path / "run"):
        train(net, optimizer, batches(3))
    assert not read_run(tmp_path / "run").info.ended
    data = iter([*batches(3), None])  # `None` is no batch
    with pytest.raises(TypeError, match="unpack"), record(net, optimizer, tmp_path / "other"):
        train(net, optimizer, data)


def test_counts_below_one_and_losses_of_many_numbers_are_refused(tmp_path):
    net = network()
    optimizer = _sgd(net)
    with pytest.raises(BadInput) as caught:
        record(net, optimizer, tmp_path / "run", batch_size=-4, examples=0)
    assert [problem.where for problem in caught.value.problems] == ["batch_size", "examples"]
    with record(net, optimizer, tmp_path / "run") as run:
        loss = update(net, optimizer, batches(1)[0])
        with pytest.raises(BadInput, match=r"got shape \(2,\)"):
            run.step(torch.ones(2))
        with pytest.raises(BadInput, match="got NoneType"):
            run.step(None)
        with pytest.raises(BadInput, match="at least 1, got 0"):
            run.step(loss, batch_size=0)
        run.step(loss)
    assert read_run(tmp_path / "run").loss.tolist() == [float(loss.detach())]


def test_a_folder_in_use_is_not_overwritten(tmp_path):
    _recorded(tmp_path, 5)
    net = network()
    with pytest.raises(BadInput, match="found one"):
        record(net, _sgd(net), tmp_path / "run")
    with pytest.raises(BadInput, match="found none"):
        record(net, _sgd(net), tmp_path / "other", resume=True)


def test_a_run_too_short_reads_as_what_it_is(tmp_path):
    _, found = _recorded(tmp_path, 3)
    assert found.info.steps == 3
    assert found.correlator is None
    net = network()
    with record(net, _sgd(net), tmp_path / "empty"):
        assert read_run(tmp_path / "empty").info.steps == 0
    empty = read_run(tmp_path / "empty")
    assert (len(empty.step), len(empty.sketch), empty.info.ended) == (0, 0, True)


def _by_hand(tmp_path, change, options, steps=40, every=1000):
    """A run with `change(net, index)` between updates, and ‖θ_k − θ_ref‖² of every update as it was."""
    net = network()
    optimizer = _sgd(net, **options)
    reference, truth, modes = numbers(net).astype(np.float64), [], Modes(net)
    with record(net, optimizer, tmp_path / "run", modes=modes, every=every) as run:
        for index, batch in enumerate(batches(steps)):
            loss = update(net, optimizer, batch)
            offset = numbers(net) - reference
            truth.append((float(offset @ offset), *(modes.vectors @ offset)))
            run.step(loss)
            change(net, index)
    return read_run(tmp_path / "run"), np.array(truth)


RULES = [HEAVY_BALL, {"lr": 0.05}, {"lr": 0.05, "momentum": 0.9, "nesterov": True}]


@pytest.mark.parametrize("options", RULES)
def test_weights_changed_by_hand_fail_self_tests_at_once_and_rows_after_it_are_right(tmp_path, options):
    def change(net, index):
        if index == 25:
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.mul_(0.9)

    found, truth = _by_hand(tmp_path, change, options)
    failed = {(test.name, test.step) for test in found.info.self_tests if not test.passed}
    assert failed == {("drift", 26)} | ({("recursion", 26)} if "momentum" in options else set())
    np.testing.assert_allclose(found.offset_norm2, truth[:, 0], rtol=1e-4)
    np.testing.assert_allclose(found.positions, truth[:, 1:], atol=1e-4)


def test_a_change_that_marks_do_not_show_fails_a_self_test_at_the_end(tmp_path):
    def change(net, index):
        if index == 25:
            net[0].weight.data.view(-1)[5:90] += 0.3

    found, _ = _by_hand(tmp_path, change, HEAVY_BALL)
    failed = {(test.name, test.step) for test in found.info.self_tests if not test.passed}
    assert failed == {("drift", 40), ("recursion", 40)}


def test_weights_clamped_after_every_update_are_reported_once_a_shard(tmp_path):
    def change(net, index):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.clamp_(-0.05, 0.05)

    found, truth = _by_hand(tmp_path, change, HEAVY_BALL, every=20)
    failed = [test.step for test in found.info.self_tests if test.name == "recursion" and not test.passed]
    assert failed == [1, 20]  # once a shard
    np.testing.assert_allclose(found.offset_norm2, truth[:, 0], rtol=1e-4)


def test_other_weights_for_a_while_or_after_the_last_update_are_no_change(tmp_path):
    def change(net, index):
        kept = [parameter.detach().clone() for parameter in net.parameters()]
        for parameter in net.parameters():
            parameter.data.zero_()
        if index < 39:  # as for an evaluation of averaged weights, which stay after the last update
            for parameter, value in zip(net.parameters(), kept, strict=True):
                parameter.data.copy_(value)

    found, _ = _by_hand(tmp_path, change, HEAVY_BALL)
    assert all(test.passed for test in found.info.self_tests)


@pytest.mark.parametrize("options", [{"lr": 0.05}, HEAVY_BALL, {"lr": 0.05, "momentum": 0.9, "nesterov": True}])
def test_scalars_and_positions_are_taken_anew_when_a_recording_ends(tmp_path, options):
    _, found = _recorded_with(tmp_path, options)
    names = {(test.name, test.step) for test in found.info.self_tests if test.name != "sketch"}
    assert names == {("drift", 60)} | ({("recursion", 60)} if "momentum" in options else set())
    assert all(test.passed for test in found.info.self_tests)


def _recorded_with(tmp_path, options):
    net = network()
    optimizer = _sgd(net, **options)
    with record(net, optimizer, tmp_path / "run") as run:
        train(net, optimizer, batches(60), run.step)
    return net, read_run(tmp_path / "run")


@pytest.mark.parametrize("inside", ["_hold_to_anchors", "_scalars", "visit"])
def test_an_interrupt_inside_a_reading_leaves_no_half_of_a_row(tmp_path, monkeypatch, inside):
    """The update is made and has no row; what comes after it is recorded rightly."""
    net = network()
    optimizer = _sgd(net)
    data = batches(40)
    run = record(net, optimizer, tmp_path / "run", modes=Modes(net))
    run.begin(None, optimizer)
    seen = run._observation
    holder = seen.tools.projections if inside == "visit" else seen
    plain, calls = getattr(holder, inside), []

    def interrupted(*arguments):
        found = plain(*arguments)
        calls.append(0)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return found

    for index, batch in enumerate(data):
        before = torch.cat([p.detach().reshape(-1) for p in net.parameters()]).clone()
        monkeypatch.setattr(holder, inside, interrupted if index == 20 and inside == "visit" else plain)
        if index in (18, 19, 20) and inside != "visit":
            monkeypatch.setattr(holder, inside, interrupted)
        try:
            loss = update(net, optimizer, batch)
        except KeyboardInterrupt:
            continue
        run.step(loss)
        step = numbers(net) - before.numpy()
    run.end()
    found = read_run(tmp_path / "run")
    assert (len(found.step), found.info.ended) == (39, False)
    assert found.step_norm2[-1] == pytest.approx(float(step.astype(np.float64) @ step), rel=1e-4)
    v = -torch.cat([optimizer.state[p]["momentum_buffer"].reshape(-1) for p in net.parameters()]).numpy()
    np.testing.assert_allclose(found.velocities[-1], Modes(net).vectors @ v, atol=1e-5)
    norms = np.sum(found.sketch.astype(np.float64) ** 2, axis=1) / found.velocity_norm2
    assert np.abs(norms - 1).max() < 0.4
    assert {test.step for test in found.info.self_tests if not test.passed} == {20}


def test_a_failure_that_the_loop_passes_over_did_not_end_in_order(tmp_path):
    net = network()
    optimizer = _sgd(net)
    with record(net, optimizer, tmp_path / "run") as run:
        for index, batch in enumerate(batches(40)):
            if index == 10:
                optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(3))]})
            loss = update(net, optimizer, batch)
            try:
                run.step(loss)
            except BadInput:
                continue
    found = read_run(tmp_path / "run")
    assert (found.info.steps, found.info.ended) == (10, False)


def test_one_cycle_is_one_segment_and_its_rows_are_right(tmp_path):
    net = network()
    optimizer = _sgd(net, lr=0.05, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=201)
    reference, truth = numbers(net).astype(np.float64), []
    with record(net, optimizer, tmp_path / "run", modes=Modes(net), every=50) as run:
        for batch in batches(200):
            run.step(update(net, optimizer, batch))
            schedule.step()
            offset = numbers(net) - reference
            truth.append(float(offset @ offset))
        assert len(run._observation.stretchwise._tried) <= 1
    found = read_run(tmp_path / "run")
    assert found.info.segments[0].varying
    assert len(found.info.segments) <= 2
    np.testing.assert_allclose(found.offset_norm2, truth, rtol=1e-4)
    assert all(test.passed for test in found.info.self_tests)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, while it compiles
def test_a_compiled_step_compiles_nothing_of_the_recorder(tmp_path):
    frames = []
    for name in ("plain", "recorded"):
        net = network()
        optimizer = _sgd(net)
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        step = torch.compile(lambda optimizer=optimizer: optimizer.step(), backend="eager")
        run = record(net, optimizer, tmp_path / name) if name == "recorded" else None
        if run is not None:
            run.begin(None, optimizer)
        for batch in batches(3):
            loss = torch.nn.functional.cross_entropy(net(batch[0]), batch[1])
            optimizer.zero_grad()
            loss.backward()
            step()
            if run is not None:
                run.step(loss)
        if run is not None:
            run.end()
        frames.append(torch._dynamo.utils.counters["frames"]["total"])
    assert frames[1] <= frames[0] + 8
    assert read_run(tmp_path / "recorded").info.steps == 3


def test_the_recorder_observes_limens_own_loop(tmp_path):
    net = network()
    optimizer = _sgd(net, lr=1.0, momentum=0.9)
    data = iter(batches(30))

    def losses():
        while True:
            x, y = next(data)
            yield [lambda x=x, y=y: torch.nn.functional.cross_entropy(net(x), y)]

    run = Recorder(tmp_path / "run")
    outcome = train_loop(Training(net, optimizer, losses(), lambda done: 0.1 / (1 + done // 20), 30), [run])
    found = read_run(tmp_path / "run")
    assert found.loss.tolist() == list(outcome.losses)
    assert found.info.ended
    assert [segment.settings.learning_rate for segment in found.info.segments] == [0.1, 0.05]


def test_other_ranks_record_nothing(tmp_path, monkeypatch):
    net = network()
    optimizer = _sgd(net)
    with record(net, optimizer, tmp_path / "first") as run:  # the other ranks find rank 0's folder
        expected = run.forecast
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    with record(net, optimizer, tmp_path / "first") as run:
        assert run.forecast == expected
    with record(net, optimizer, tmp_path / "run") as run:
        train(net, optimizer, batches(3), run.step)
        run.flush()
    assert not (tmp_path / "run").exists()
    assert not optimizer._optimizer_step_post_hooks


def test_steps_before_the_start_are_refused(tmp_path):
    net = network()
    run = record(net, _sgd(net), tmp_path / "run")
    with pytest.raises(BadInput, match="expected a recording that has begun"):
        run.step(1.0)
    with pytest.raises(BadInput, match="expected a model"), Recorder(tmp_path / "other"):
        pass
