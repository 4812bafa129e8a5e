"""The callbacks record what limen.record records; the libraries are not needed to import them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recorder_cases import batches, network, train, update  # noqa: E402

from limen.measure.recorder.callbacks import lightning_callback, transformers_callback  # noqa: E402
from limen.measure.recorder.read import read_run  # noqa: E402
from limen.measure.recorder.recorder import record  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402
from limen.records.trajectory import SKIPPED  # noqa: E402

pytestmark = pytest.mark.torch
OPTIONS = {"lr": 0.05, "momentum": 0.9}
RIGHT = {"logging_strategy": "steps", "logging_steps": 1, "logging_nan_inf_filter": False}


def _truth(folder, steps):
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), **OPTIONS)
    with record(net, optimizer, folder) as run:
        train(net, optimizer, batches(steps), run.step)
    return read_run(folder)


def _same(found, truth):
    assert found.info.ended
    for name in ("loss", "gradient_norm2", "offset_norm2"):
        np.testing.assert_allclose(getattr(found, name), getattr(truth, name), rtol=1e-5)


def test_importing_them_imports_neither_library():
    code = (
        "import sys; import limen.measure.recorder.callbacks; "
        "assert not {'transformers', 'lightning', 'pytorch_lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_transformers_events_in_the_trainers_order(tmp_path):
    """Through transformers' own CallbackHandler, in the order of `Trainer._inner_training_loop`."""
    trainer_callback = pytest.importorskip("transformers.trainer_callback")
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), **OPTIONS)
    callback = transformers_callback(tmp_path / "run", sampling="reshuffle")
    handler = trainer_callback.CallbackHandler([callback], net, None, optimizer, None)
    args = SimpleNamespace(**RIGHT, train_batch_size=16, gradient_accumulation_steps=2, world_size=3)
    state, control = trainer_callback.TrainerState(), trainer_callback.TrainerControl()
    handler.on_train_begin(args, state, control)
    for batch in batches(12):
        loss = update(net, optimizer, batch)
        handler.on_optimizer_step(args, state, control)
        net.zero_grad()
        handler.on_step_end(args, state, control)
        handler.on_log(args, state, control, {"loss": float(loss.detach()), "learning_rate": 0.05})
        handler.on_log(args, state, control, {"eval_loss": 1.0})
    handler.on_save(args, state, control)
    assert read_run(tmp_path / "run").info.steps == 12
    handler.on_train_end(args, state, control)
    found = read_run(tmp_path / "run")
    _same(found, _truth(tmp_path / "truth", 12))
    assert (found.info.batch_size, found.info.sampling) == (96, "reshuffle")


def test_arguments_under_which_losses_do_not_arrive_are_named_at_once(tmp_path):
    pytest.importorskip("transformers")
    callback = transformers_callback(tmp_path / "run")
    args = SimpleNamespace(logging_strategy="epoch", logging_steps=500, logging_nan_inf_filter=True)
    with pytest.raises(BadInput) as caught:
        callback.on_train_begin(args, None, None, model=None, optimizer=None)
    assert [problem.where.removeprefix("TrainingArguments.") for problem in caught.value.problems] == list(RIGHT)
    assert "logging_nan_inf_filter=False" in str(caught.value)


if importlib.util.find_spec("accelerate") is not None:  # which the Trainer needs

    def test_a_real_trainer(tmp_path):
        from transformers import Trainer, TrainingArguments

        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = network()

            def forward(self, x, labels):
                return {"loss": torch.nn.functional.cross_entropy(self.inner(x), labels)}

        data = [{"x": x[i], "labels": y[i]} for x, y in batches(4) for i in range(16)]
        arguments = TrainingArguments(
            str(tmp_path / "out"),
            per_device_train_batch_size=8,
            gradient_accumulation_steps=2,
            num_train_epochs=3,
            learning_rate=0.01,
            weight_decay=0.1,
            max_grad_norm=1e9,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            **RIGHT,
        )
        trainer = Trainer(Net(), arguments, train_dataset=data, callbacks=[transformers_callback(tmp_path / "run")])
        trainer.train()
        found = read_run(tmp_path / "run")
        assert found.info.steps == 12
        assert found.info.ended
        assert found.info.batch_size == 16
        assert found.info.optimizer.name == "AdamW"
        assert "frozen" in found.info.approximate
        logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        assert found.loss.tolist() == pytest.approx(logged)
        assert found.learning_rate[0] == pytest.approx(0.01)
        assert all(test.passed for test in found.info.self_tests)


@pytest.fixture
def lightning(monkeypatch):
    """`Callback` is Lightning's, or a class of that name where Lightning is not installed."""
    if importlib.util.find_spec("lightning") is None:
        fake = types.ModuleType("lightning.pytorch")
        fake.Callback = object
        monkeypatch.setitem(sys.modules, "lightning.pytorch", fake)
        monkeypatch.setitem(sys.modules, "lightning", types.ModuleType("lightning"))


def test_lightning_events_in_its_order(tmp_path, lightning):
    """Two batches an update; the loss that comes back is divided by two (`ClosureResult.from_training_step_output`)."""
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), **OPTIONS)
    callback = lightning_callback(tmp_path / "run", batch_size=32)
    with pytest.raises(BadInput, match="expected one optimizer, got 2"):
        callback.on_train_start(SimpleNamespace(optimizers=[optimizer, optimizer]), net)
    callback.on_train_start(SimpleNamespace(optimizers=[optimizer]), net)
    data = batches(6)
    losses = []
    for index, (x, y) in enumerate(data):
        if index % 2 == 0:
            optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y)
        normalised = loss / 2
        normalised.backward()
        losses.append(float(loss.detach()))
        if index % 2:
            callback.on_before_optimizer_step(None, net, optimizer)
            optimizer.step()
        callback.on_train_batch_end(None, net, {"loss": normalised.detach()}, (x, y), index)
        if index == 3:
            callback.on_save_checkpoint(None, net, {})
            assert read_run(tmp_path / "run").info.steps == 2
    callback.on_exception(None, net, KeyboardInterrupt())
    found = read_run(tmp_path / "run")
    assert found.info.steps == 3
    assert not found.info.ended
    assert found.loss == pytest.approx(np.reshape(losses, (3, 2)).mean(1))


@pytest.mark.filterwarnings("ignore")  # Lightning's own
@pytest.mark.parametrize("accumulated", [1, 3])
def test_a_real_lightning_trainer(tmp_path, accumulated):
    """Validation, a schedule by the step, clipping, accumulation: rows are those of the same loop by hand."""
    lightning = pytest.importorskip("lightning", reason="Lightning is not installed: pip install lightning")

    class Net(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def training_step(self, batch, index):
            return torch.nn.functional.cross_entropy(self.inner(batch[0]), batch[1])

        def validation_step(self, batch, index):
            self.log("loss", self.training_step(batch, index))

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), **OPTIONS, weight_decay=1e-3)
            schedule = torch.optim.lr_scheduler.StepLR(optimizer, 60, 0.5)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    data = batches(30)
    trainer = lightning.Trainer(
        max_steps=120,
        accelerator="cpu",
        accumulate_grad_batches=accumulated,
        gradient_clip_val=0.5,
        callbacks=[lightning_callback(tmp_path / "run", batch_size=16 * accumulated)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(tmp_path),
    )
    loader = torch.utils.data.DataLoader
    trainer.fit(Net(), loader(data, batch_size=None), loader(data[:2], batch_size=None))
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), **OPTIONS, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 60, 0.5)
    with record(net, optimizer, tmp_path / "truth") as run:
        for step in range(120):
            optimizer.zero_grad()
            total = 0.0
            for index in range(accumulated):
                x, y = data[(step * accumulated + index) % len(data)]
                loss = torch.nn.functional.cross_entropy(net(x), y) / accumulated
                loss.backward()
                total += float(loss.detach())
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
            schedule.step()
            run.step(total)
    found = read_run(tmp_path / "run")
    _same(found, read_run(tmp_path / "truth"))
    rates = [(segment.start, segment.stop, segment.settings.learning_rate) for segment in found.info.segments]
    assert rates == [(1, 60, 0.05), (61, 120, 0.025)]
    assert all(test.passed for test in found.info.self_tests)


def test_an_update_that_lightnings_scaler_skips_has_its_row(tmp_path, lightning):
    """`MixedPrecision.optimizer_step`: on_before_optimizer_step comes, the optimizer's step does not."""
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), **OPTIONS)
    callback = lightning_callback(tmp_path / "run")
    callback.on_train_start(SimpleNamespace(optimizers=[optimizer]), net)
    losses = []
    for index, (x, y) in enumerate(batches(6)):
        loss = torch.nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        callback.on_before_optimizer_step(None, net, optimizer)
        if index != 2:
            optimizer.step()
        losses.append(float(loss.detach()))
        callback.on_train_batch_end(None, net, {"loss": loss.detach()}, (x, y), index)
    callback.on_train_end(None, net)
    found = read_run(tmp_path / "run")
    assert found.excluded.tolist() == [0, 0, SKIPPED, 0, 0, 0]
    assert found.loss == pytest.approx(losses)


def test_other_ranks_of_lightning_collect_nothing(tmp_path, lightning, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), **OPTIONS)
    callback = lightning_callback(tmp_path / "run")
    callback.on_train_start(SimpleNamespace(optimizers=[optimizer]), net)
    for index, batch in enumerate(batches(3)):
        callback.on_train_batch_end(None, net, {"loss": update(net, optimizer, batch)}, batch, index)
    assert callback.losses == []
    assert not (tmp_path / "run").exists()


def test_modules_that_step_themselves_are_refused(tmp_path, lightning):
    net = network()
    net.automatic_optimization = False
    with pytest.raises(BadInput, match="automatic optimization"):
        lightning_callback(tmp_path / "run").on_train_start(SimpleNamespace(optimizers=[None]), net)


def test_missing_libraries_are_named(tmp_path, monkeypatch):
    for name in ("transformers", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadInput, match="pip install transformers"):
        transformers_callback(tmp_path)
    with pytest.raises(BadInput, match="pip install lightning"):
        lightning_callback(tmp_path)
