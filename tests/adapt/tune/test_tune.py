"""Laws of tuning: step 0, determinism, what moves and what stays, the choice on design, divergence, memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from limen.adapt.feature_map import design_map  # noqa: E402
from limen.adapt.losses import per_example_loss  # noqa: E402
from limen.adapt.probe_path import probe_path  # noqa: E402
from limen.adapt.tune import memory  # noqa: E402
from limen.adapt.tune.head import probe_start  # noqa: E402
from limen.adapt.tune.memory import Forecast, out_of_memory  # noqa: E402
from limen.adapt.tune.rows import RawRows, TuneRows  # noqa: E402
from limen.adapt.tune.spec import TuneSpec  # noqa: E402
from limen.adapt.tune.tune import Tuned, tune, tuned_record  # noqa: E402
from limen.models.trainable.trainable import Trainable, trainable  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

from .cases import CLASSES, frozen, images  # noqa: E402

pytestmark = pytest.mark.torch
FAST = {"epochs": 3, "batch_size": 16}


@pytest.fixture(scope="module")
def rows() -> TuneRows:
    parts = [RawRows(*images(n, seed)) for n, seed in ((60, 0), (80, 1), (200, 2))]
    return TuneRows(*parts, CLASSES, {"shifted": RawRows(*images(50, 3, shift=0.3))})


def spec(method: str, **more: Any) -> TuneSpec:
    chosen = {"partial": {"layers": ("stage1",)}}.get(method, {})
    return TuneSpec.parse({"method": method, **FAST, **chosen, **more})


def weights(tuned: Tuned) -> dict[str, Any]:
    return {name: p.detach().clone() for name, p in tuned.model.encoder.module.named_parameters()}


@pytest.mark.parametrize("method", ["fine-tune", "lp-ft", "partial", "lora"])
def test_every_method_lowers_the_design_loss_and_names_its_numbers(
    encoder: Trainable, rows: TuneRows, method: str
) -> None:
    tuned = tune(encoder, rows, spec(method, learning_rate=3e-3))
    course = tuned.course
    assert course.design_loss[course.epoch] == min(course.design_loss)
    assert course.epoch > 0
    assert min(course.design_loss) < course.design_loss[0]
    assert tuned.holdout.error < 0.4 < 1 - 1 / CLASSES
    assert np.isfinite(tuned.holdout.loss).all()
    assert tuned.holdout.loss.shape == (200,)
    assert tuned.populations["shifted"].loss.shape == (50,)
    assert tuned.n == 60
    assert course.steps <= course.planned == 3 * 4
    assert tuned.parameters["head"] == (encoder.dimension + 1) * CLASSES


def test_equal_arguments_give_equal_bits_and_seeds_differ(encoder: Trainable, rows: TuneRows) -> None:
    for method in ("fine-tune", "lora"):
        first, again, other = (tune(encoder, rows, spec(method, seed=seed)) for seed in (0, 0, 1))
        assert first.holdout.loss.tobytes() == again.holdout.loss.tobytes()
        assert first.course.training_loss == again.course.training_loss
        assert first.holdout.loss.tobytes() != other.holdout.loss.tobytes()


def test_the_given_encoder_and_the_global_generator_stay(encoder: Trainable, rows: TuneRows) -> None:
    before = {name: p.detach().clone() for name, p in encoder.module.named_parameters()}
    state = torch.random.get_rng_state()
    tune(encoder, rows, spec("fine-tune", dropout=True))
    assert all(torch.equal(p, before[name]) for name, p in encoder.module.named_parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_lp_ft_without_updates_is_the_penalised_probe(encoder: Trainable, rows: TuneRows) -> None:
    tuned = tune(encoder, rows, TuneSpec("lp-ft", epochs=0))
    encode = frozen().encode
    phi = design_map(encode(rows.design.inputs))
    u = {
        name: (encode(part.inputs).astype(np.float64) - phi.centre) / phi.scale
        for name, part in (("train", rows.train), ("design", rows.design), ("holdout", rows.holdout))
    }
    start = probe_start((u["train"], rows.train.labels), (u["design"], rows.design.labels), CLASSES)
    probe = probe_path(u["train"], rows.train.labels, penalties=[start.fit.penalty], tolerance=1e-9)[0]
    expected = per_example_loss(u["holdout"] @ probe.coef_.T + probe.intercept_, rows.holdout.labels, "log")
    assert tuned.head_gap is not None
    assert tuned.head_gap <= 1e-4
    # F is λ-strongly convex: a gap g leaves the weights within √(2g/λ) of the minimiser
    reach = (
        np.sqrt(2 * tuned.head_gap / start.fit.penalty) * np.sqrt(2) * np.hypot(1, np.linalg.norm(u["holdout"], axis=1))
    )
    assert (np.abs(tuned.holdout.loss - expected) <= reach + 1e-4).all()
    assert np.abs(tuned.holdout.loss - expected).max() < 0.2
    assert tuned.course.design_loss == [pytest.approx(start.design_loss, abs=1e-5)]
    assert tuned.course.steps == 0


def test_only_named_layers_move(encoder: Trainable, rows: TuneRows) -> None:
    tuned = tune(encoder, rows, spec("partial", learning_rate=1e-2))
    before, after = dict(encoder.module.named_parameters()), weights(tuned)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("stage1.") for name in moved)
    assert tuned.parameters["moved"] == sum(p.numel() for n, p in before.items() if n.startswith("stage1."))
    biases = tune(encoder, rows, replace(spec("partial"), layers=("*.bias",)))
    assert biases.parameters["moved"] == sum(p.numel() for n, p in before.items() if n.endswith(".bias"))


def test_low_rank_updates_start_at_0_and_leave_the_weights(rows: TuneRows) -> None:
    image = trainable(frozen("vit"))
    still = tune(image, rows, TuneSpec("lora", epochs=0, head="random"))
    plain = tune(image, rows, TuneSpec("fine-tune", epochs=0, head="random"))
    assert np.abs(still.holdout.loss - plain.holdout.loss).max() < 1e-6
    tuned = tune(image, rows, spec("lora", rank=2, alpha=4.0, targets=["qkv"]))
    before, after = dict(image.module.named_parameters()), weights(tuned)
    for name, parameter in before.items():
        kept = name if name in after else name.replace("qkv.", "qkv.base_layer.")
        assert torch.equal(parameter, after[kept])
    assert tuned.parameters["moved"] == 2 * 2 * (8 + 24)  # two blocks, rank 2, maps of 8 to 24


def test_batch_norms_keep_their_statistics(rows: TuneRows) -> None:
    image = trainable(frozen("resnet18"))
    tuned = tune(image, rows, TuneSpec("fine-tune", epochs=1, batch_size=16, dropout=True))
    before, after = dict(image.module.named_buffers()), dict(tuned.model.encoder.module.named_buffers())
    assert any("running_mean" in name for name in before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_holdout_chooses_nothing(encoder: Trainable, rows: TuneRows) -> None:
    other = replace(rows, holdout=RawRows(rows.holdout.inputs, (rows.holdout.labels + 1) % CLASSES))
    one, two = tune(encoder, rows, spec("fine-tune")), tune(encoder, other, spec("fine-tune"))
    assert one.course.design_loss == two.course.design_loss
    assert np.array_equal(one.holdout.prediction, two.holdout.prediction)
    turned = replace(rows, design=RawRows(rows.design.inputs, (rows.design.labels + 1) % CLASSES))
    assert tune(encoder, turned, spec("fine-tune", learning_rate=3e-3)).course.epoch == 0


def test_patience_ends_training(encoder: Trainable, rows: TuneRows) -> None:
    turned = replace(rows, design=RawRows(rows.design.inputs, (rows.design.labels + 1) % CLASSES))
    short = tune(encoder, turned, spec("fine-tune", epochs=9, patience=2))
    assert (len(short.course.design_loss) - 1, short.course.steps) == (2, 2 * 4)
    assert len(tune(encoder, turned, spec("fine-tune", epochs=9, patience=None)).course.design_loss) == 10


def test_divergence_is_a_value(encoder: Trainable, rows: TuneRows) -> None:
    wild = tune(encoder, rows, spec("fine-tune", learning_rate=1e30, epochs=4, warmup=0.0, clip=None))
    course = wild.course
    assert course.diverged is not None
    assert course.epoch < 4
    assert np.isfinite(wild.holdout.loss).all()
    assert tuned_record(wild).data["diverged"]["reason"].startswith("the loss was")


def test_every_switch_changes_the_result(encoder: Trainable, rows: TuneRows) -> None:
    base = spec("fine-tune", learning_rate=3e-3)
    found = [tune(encoder, rows, base).holdout.loss]
    changes: list[dict[str, Any]] = [
        {"loss": "squared"}, {"batch_size": 7}, {"learning_rate": 1e-3}, {"head_learning_rate": 1e-3},
        {"decay": "linear"}, {"decay": "constant"}, {"warmup": 0.5}, {"clip": 1e-3}, {"weight_decay": 5.0},
        {"head": "random"}, {"head": "probe"}, {"epochs": 1},
    ]  # fmt: skip
    found += [tune(encoder, rows, replace(base, **change)).holdout.loss for change in changes]
    found.append(tune(encoder, rows, spec("lora", learning_rate=3e-3)).holdout.loss)
    found += [
        tune(encoder, rows, spec("lora", learning_rate=3e-3, **c)).holdout.loss for c in ({"rank": 2}, {"alpha": 4.0})
    ]
    assert len({loss.tobytes() for loss in found}) == len(found)


def test_patterns_that_match_nothing_and_encoders_that_take_no_prompt_are_named(
    encoder: Trainable, rows: TuneRows
) -> None:
    with pytest.raises(BadInput, match="layers: stage9") as found:
        tune(encoder, rows, replace(spec("partial"), layers=("stage9", "*.nothing")))
    assert len(found.value.problems) == 2
    with pytest.raises(BadInput, match="targets: query"):
        tune(encoder, rows, TuneSpec("lora", targets=("query",)))
    with pytest.raises(BadInput, match="model of text"):
        tune(encoder, rows, TuneSpec("prompt"))


def test_rows_that_cannot_be_used_are_named() -> None:
    x, y = images(6, 0)
    with pytest.raises(BadInput) as found:
        TuneRows(RawRows(x, y[:5]), RawRows(x[:0], y[:0]), RawRows(x, y + 5), CLASSES)
    assert {problem.where for problem in found.value.problems} == {"train", "design", "holdout"}


def test_more_memory_than_there_is_names_a_batch_size(
    encoder: Trainable, rows: TuneRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = tune(encoder, rows, spec("fine-tune", epochs=0)).memory
    assert need.batch_size == 16
    assert need.row > 4 * 8 * 8 * 4  # at least the stem's own output
    at_hand = (need.fixed + 5.5 * need.row) / memory.SPARE
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: type("Free", (), {"available": at_hand}))
    with pytest.raises(BadInput, match="batch_size = 5"):
        tune(encoder, rows, spec("fine-tune"))
    tune(encoder, rows, spec("fine-tune", batch_size=5, epochs=0))


def test_memory_that_runs_out_is_named_and_other_errors_are_not() -> None:
    need = Forecast(fixed=100, row=10, batch_size=50)
    named = out_of_memory(
        need, RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    )
    assert isinstance(named, BadInput)
    assert "batch_size = 20" in str(named)
    other = RuntimeError("shapes differ")
    assert out_of_memory(need, other) is other


def test_a_low_rank_update_needs_less_memory_than_all_weights(rows: TuneRows) -> None:
    image = trainable(frozen("vit"))
    full, low = (tune(image, rows, TuneSpec(method, epochs=0, rank=1)).memory for method in ("fine-tune", "lora"))
    assert low.fixed < full.fixed
