"""Identity: what is not meant does not change a key, what is meant changes it. Cells come after those they need."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limen.pretrain.options import OBJECTIVES
from limen.pretrain.spec import PretrainSpec
from limen.pretrain.views.strengths import Augmentation
from limen.records.cell import canonical_json
from limen.study.files import Files
from limen.study.forecast import forecast
from limen.study.plan import Plan, canonical, plan, references
from limen.study.reference import parse_reference
from limen.study.spec import Study

PLAIN: dict[str, Any] = {
    "name": "one",
    "encoder": {
        "bow": {"source": "bag-of-words", "dimension": 64},
        "random": {"source": "random-features", "input": "image", "dimension": 32},
        "scratch": {"source": "pretrain", "data": "digits:train", "steps": 20, "batch_size": 32,
                    "checkpoints": [0, 20]},
    },
    "task": {
        "notes": {"train": "train.csv", "test": "test.csv", "input": "text", "slices": ["who", "when"],
                  "shift": {"typos": "typos.csv"}},
        "digits": {"train": "digits:train", "test": "digits:test", "input": "image", "same_population": True},
    },
    "adapt": {"methods": ["linear-probe", "knn"], "labels": [10, 20, "all"], "seeds": 2,
              "linear-probe": {"radius": [4.0, 16.0]}},
    "advice": {"target": {"loss": 0.3}},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train", "test", "typos"):
        rows = "".join(f"word{i} {name},{i % 2},a,b\n" for i in range(20))
        (tmp_path / f"{name}.csv").write_text(f"text,label,who,when\n{rows}")
    return tmp_path


def planned(plain: dict[str, Any], folder: Path) -> Plan:
    return plan(Study.from_plain(plain), Files(folder))


def keys(plain: dict[str, Any], folder: Path) -> set[str]:
    return set(planned(plain, folder).cells)


def changed(path: str, value: Any) -> dict[str, Any]:
    plain = copy.deepcopy(PLAIN)
    node = plain
    *parents, last = path.split(".")
    for part in parents:
        node = node.setdefault(part, {})
    node[last] = value
    return plain


def renamed(section: str, old: str, new: str) -> dict[str, Any]:
    plain = copy.deepcopy(PLAIN)
    plain[section][new] = plain[section].pop(old)
    return plain


def test_every_cell_comes_after_what_it_needs(folder: Path) -> None:
    found = planned(PLAIN, folder)
    seen: set[str] = set()
    for key, cell in found.cells.items():
        assert key == cell.key
        assert set(cell.needs.values()) <= seen
        seen.add(key)
        canonical_json(cell.identity)
        canonical_json(cell.spec)
    stages = [cell.stage for cell in found.cells.values()]
    # 1 run; bag of words on 3 tables, random and 2 checkpoints on 2; (1 + 1 + 2) encoders × (2 radii + knn)
    assert (stages.count("pretrain"), stages.count("features"), stages.count("fit")) == (1, 9, 12)
    assert [(str(f.encoder), f.task) for f in found.fits if f.method == "knn"] == [
        ("bow", "notes"), ("random", "digits"), ("scratch@0", "digits"), ("scratch", "digits"),
    ]  # fmt: skip
    assert found.skipped == 3  # scratch and random on notes, bow on digits


def test_names_confidence_and_questions_are_not_meant(folder: Path) -> None:
    expected = keys(PLAIN, folder)
    for plain in (
        changed("name", "two"),
        changed("confidence", 0.9),
        changed("advice.target", {"error": 0.1}),
        changed("advice.margin", 0.2),
        renamed("encoder", "bow", "words"),
        renamed("encoder", "scratch", "own"),
        renamed("task", "notes", "letters"),
        changed("adapt.labels", ["all", 20, 10, 20]),
        changed("adapt.methods", ["knn", "linear-probe", "knn"]),
        changed("adapt.linear-probe.radius", [16.0, 4.0]),
        changed("task.notes.slices", ["when", "who", "who"]),
        changed("encoder.bow.input", "text"),
        changed("encoder.scratch.temperature", 0.5),
        changed("adapt.knn", {"k": 10}),
        changed("encoder.scratch.checkpoints", [20, 0, 20]),
    ):
        assert keys(plain, folder) == expected


def test_moving_files_keeps_keys(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for name in ("train", "test", "typos"):
        shutil.copy(folder / f"{name}.csv", other / f"new-{name}.csv")
    plain = changed("task.notes.train", "new-train.csv")
    plain["task"]["notes"] |= {"test": "new-test.csv", "shift": {"typos": "new-typos.csv"}}
    assert keys(plain, other) == keys(PLAIN, folder)


@pytest.mark.parametrize(
    ("path", "value", "stages"),
    [
        ("seed", 1, {"pretrain": 1, "features": 4, "fit": 12}),
        ("encoder.bow.dimension", 65, {"features": 3, "fit": 3}),
        ("encoder.random.dimension", 33, {"features": 2, "fit": 3}),
        ("encoder.random.seed", 1, {"features": 2, "fit": 3}),
        *(
            (f"encoder.scratch.{key}", value, {"pretrain": 1, "features": 4, "fit": 6})
            for key, value in {
                "data": "digits", "heldout": 0.1, "temperature": 0.2, "projection": 8, "batch_size": 16,
                "sampling": "iid", "optimizer": {"name": "sgd", "learning_rate": 0.2}, "schedule": "cosine",
                "architecture": {"name": "conv", "width": 8}, "threads": 2, "augmentation": {"noise": 0.1},
                "evaluation": {"draws": 3}, "objective": "supervised", "record": "dynamics",
            }.items()
        ),
        ("task.notes.test", "typos.csv", {"fit": 3}),
        ("task.notes.label", "who", {"fit": 3}),
        ("task.notes.group", "who", {"fit": 3}),
        ("task.notes.id", "who", {"fit": 3}),
        ("task.notes.slices", ["who"], {"fit": 3}),
        ("task.notes.column", "who", {"features": 3, "fit": 3}),
        ("task.notes.same_population", True, {"fit": 3}),
        ("task.notes.shift", {}, {"fit": 3}),
        ("adapt.labels", [10, "all"], {"fit": 12}),
        ("adapt.seeds", 3, {"fit": 12}),
        ("adapt.loss", "squared", {"fit": 12}),
        ("adapt.subsets", "stratified", {"fit": 12}),
        ("adapt.linear-probe.radius", [4.0, 8.0], {"fit": 4}),
        ("adapt.linear-probe.rich_head", False, {"fit": 8}),
        ("adapt.knn", {"k": 3}, {"fit": 4}),
    ],
)  # fmt: skip
def test_what_is_meant_changes_the_cells_it_concerns(
    folder: Path, path: str, value: Any, stages: dict[str, int]
) -> None:
    before, after = planned(PLAIN, folder).cells, planned(changed(path, value), folder).cells
    new = [cell.stage for key, cell in after.items() if key not in before]
    assert {stage: new.count(stage) for stage in dict.fromkeys(new)} == stages


def test_other_data_are_other_cells(folder: Path) -> None:
    before = keys(PLAIN, folder)
    (folder / "test.csv").write_text((folder / "test.csv").read_text().replace("word3 ", "word4 "))
    new = [cell.stage for key, cell in planned(PLAIN, folder).cells.items() if key not in before]
    assert sorted(new) == ["features", "fit", "fit", "fit"]


def test_weights_are_known_by_content(folder: Path) -> None:
    plain = changed("encoder.bow", {"source": "transformers", "path": "model"})
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    before = keys(plain, folder)
    shutil.copytree(folder / "model", folder / "elsewhere")
    assert keys(changed("encoder.bow", {"source": "transformers", "path": "elsewhere"}), folder) == before
    (folder / "model" / "config.json").write_text("[]")
    assert len(keys(plain, folder) - before) == 6
    for extra, new in ({"pooling": "cls"}, 6), ({"layer": 2}, 6), ({"max_length": 9}, 6), ({"batch_size": 8}, 0):
        other = changed("encoder.bow", {"source": "transformers", "path": "elsewhere", **extra})
        assert len(keys(other, folder) - before) == new


def test_equal_encoders_share_their_cells(folder: Path) -> None:
    found = planned(changed("encoder.twin", PLAIN["encoder"]["bow"]), folder)
    assert set(found.cells) == keys(PLAIN, folder)
    assert len(found.fits) == 15


def test_references_of_a_task() -> None:
    study = Study.from_plain(changed("encoder.scratch.seeds", 2))
    encoder, task = study.encoder["scratch"], study.task["digits"]
    every = [str(reference) for reference in references("scratch", encoder, task)]
    assert every == ["scratch@0", "scratch", "scratch#1@0", "scratch#1"]
    chosen = task.model_copy(update={"encoders": ("scratch#1:stem@20", "scratch#0@0", "scratch@0")})
    assert [str(r) for r in references("scratch", encoder, chosen)] == ["scratch#1:stem", "scratch@0"]
    assert str(canonical(parse_reference("scratch@20"), encoder)) == "scratch"


def test_keys_stay_what_they_were() -> None:
    """A change here makes every stored result stale: it needs a new VERSION of a stage, or is a mistake."""
    plain = {
        "name": "golden",
        "encoder": {"pixels": {"source": "pixels"}, "own": PLAIN["encoder"]["scratch"]},
        "task": {"digits": {"train": "digits:train", "input": "image", "encoders": ["pixels", "own@0"]}},
        "adapt": {"labels": [10, "all"]},
    }
    found = plan(Study.from_plain(plain), Files(Path("nowhere")))
    assert [(cell.stage, key[:12]) for key, cell in found.cells.items()] == GOLDEN


GOLDEN = [
    ("features", "c0151f2d61b7"),
    ("fit", "94fcee582dca"),
    ("pretrain", "b93f38633037"),
    ("features", "d52cf24eef03"),
    ("fit", "dc24d3b95bed"),
]


def started(**change: Any) -> dict[str, Any]:
    plain = changed("encoder.more", {**PLAIN["encoder"]["scratch"], "start": "scratch@0", "seeds": 2} | change)
    plain["task"]["digits"]["encoders"] = ["more"]
    del plain["encoder"]["random"]
    return plain


def test_a_run_comes_after_the_one_it_starts_from(folder: Path) -> None:
    found = planned(started(), folder)
    cells = [(cell.label, cell.needs) for cell in found.cells.values() if cell.stage == "pretrain"]
    assert [label for label, _ in cells] == ["scratch", "more", "more#1"]
    base = found.pretrained[parse_reference("scratch")]
    assert [needs for _, needs in cells] == [{}, {"start": base}, {"start": base}]
    assert base in keys(PLAIN, folder)
    run = found.cells[found.pretrained[parse_reference("more#1")]]
    assert (run.spec["start"], run.identity["start"]) == (0, {"run": base, "step": 0})


def test_where_a_run_starts_is_meant_and_what_that_is_called_is_not(folder: Path) -> None:
    expected = keys(started(), folder)
    renamed_base = started(start="own@0")
    renamed_base["encoder"]["own"] = renamed_base["encoder"].pop("scratch")
    assert keys(renamed_base, folder) == expected
    assert keys(started(start="scratch#0@0"), folder) == expected
    assert keys(started(start="scratch"), folder) == keys(started(start="scratch@20"), folder) != expected


def test_every_cell_of_a_started_run_is_forecast(folder: Path) -> None:
    for plain in (started(), PLAIN):
        study = Study.from_plain(plain)
        assert forecast(study, Files(folder)).cells == len(planned(plain, folder).cells)


def test_what_a_supervised_run_is_given(folder: Path) -> None:
    supervised = {"objective": "supervised", "loss": "squared", "augmentation": "none", "record": "dynamics",
                  "architecture": {"name": "mlp", "hidden": [8]}}  # fmt: skip
    plain = changed("encoder.scratch", PLAIN["encoder"]["scratch"] | supervised)
    (spec,) = (cell.spec for cell in planned(plain, folder).cells.values() if cell.stage == "pretrain")
    run = PretrainSpec.parse({key: value for key, value in spec.items() if key != "files"})
    assert Augmentation(**run.objective["augmentation"]) == Augmentation()
    named = {key: value for key, value in run.objective.items() if key != "augmentation"}
    assert named == {"name": "supervised", "label": "label", "loss": "squared"}
    assert (run.architecture, run.record) == ({"name": "mlp", "hidden": [8], "activation": "gelu"}, "dynamics")


def run_of(own: dict[str, Any], folder: Path) -> PretrainSpec:
    """The specification that the run of one encoder gets."""
    kind = own.get("input", "image")
    task = {
        "train": "digits:train" if kind == "image" else "clips.npz" if kind == "audio" else "train.csv",
        "input": kind,
    }
    encoder = {"source": "pretrain", "data": task["train"], "steps": 20, "batch_size": 4, "heldout": 0.5, **own}
    found = planned({"name": "one", "encoder": {"own": encoder}, "task": {"t": task}}, folder)
    (spec,) = (cell.spec for cell in found.cells.values() if cell.stage == "pretrain")
    return PretrainSpec.parse({key: value for key, value in spec.items() if key != "files"})


@pytest.mark.parametrize(
    "own",
    [
        {"temperature": 0.2, "projection": 8},
        {"objective": "contrastive", "pairs": "label", "negatives": 2, "block": 3, "surrogate": "hinge", "radius": 2.0},
        {"objective": "spectral", "projection": 0},
        {"objective": "masked", "share": 0.25},
        {"objective": "autoencoder", "noise": 0.25},
        {"objective": "supervised", "loss": "squared"},
    ],
    ids=lambda own: own.get("objective", "nt-xent"),
)
@pytest.mark.parametrize("kind", ["image", "text", "audio"])
def test_every_option_of_an_objective_reaches_the_run(kind: str, own: dict[str, Any], folder: Path) -> None:
    np.savez(folder / "clips.npz", audio=np.arange(20), label=np.arange(20) % 2)
    run = run_of({**own, "input": kind}, folder)
    assert (run.input, run.objective["name"]) == (kind, own.get("objective", "nt-xent"))
    options = {key: value for key, value in own.items() if key != "objective"}
    assert {key: run.objective[key] for key in options} == options
    assert ("label" in run.objective) == ("label" in OBJECTIVES[run.objective["name"]])
    assert run.architecture["name"] == {"image": "conv", "text": "transformer", "audio": "sound"}[kind]


def test_what_runs_on_texts_and_sounds_are_given(folder: Path) -> None:
    np.savez(folder / "clips.npz", audio=np.arange(20), label=np.arange(20) % 2, who=np.arange(20) % 2)
    text = {"input": "text", "column": "who", "objective": "next-token", "tokens": {"length": 9},
            "augmentation": {"drop": 0.25}, "architecture": {"width": 8, "heads": 2}}  # fmt: skip
    run = run_of(text, folder)
    assert (run.column, run.preprocessing) == ("who", {"vocabulary": 4096, "length": 9})
    assert run.objective == {"name": "next-token", "augmentation": {"crop": 1.0, "drop": 0.25, "mask": 0.0}}
    assert run.architecture == {"name": "transformer", "width": 8, "depth": 4, "heads": 2, "causal": False}
    sound = {"input": "audio", "sound": {"rate": 16000, "bands": 20}, "augmentation": {"bands": 4, "gain": 1.0}}
    run = run_of(sound, folder)
    assert (run.column, run.preprocessing) == (None, {"rate": 16000, "seconds": 1.0, "bands": 20})
    assert run.objective["augmentation"] == {"shift": 0.0, "gain": 1.0, "noise": 0.0, "bands": 4, "frames": 0.0}
    assert run_of({}, folder).preprocessing == {}
    assert [run_of(own, folder).on_bad for own in ({}, {"on_bad": "skip"})] == ["stop", "skip"]


def test_the_column_of_a_run_is_none_of_its_tasks(folder: Path) -> None:
    (folder / "corpus.csv").write_text("said\n" + "".join(f"word{i}\n" for i in range(40)))
    own = {"source": "pretrain", "input": "text", "data": "corpus.csv", "column": "said", "steps": 9, "batch_size": 4}
    plain = {"name": "one", "encoder": {"own": own}, "task": {"t": {"train": "train.csv", "input": "text"}}}
    cells = planned(plain, folder).cells.values()
    assert {cell.spec["column"] for cell in cells if cell.stage == "features"} == {"text"}
    assert {cell.spec["column"] for cell in cells if cell.stage == "pretrain"} == {"said"}


def test_each_radius_has_a_label_of_its_own(folder: Path) -> None:
    labels = [cell.label for cell in planned(PLAIN, folder).cells.values() if cell.stage == "fit"]
    assert len(set(labels)) == len(labels)
    assert "bow · notes · linear-probe · radius 4" in labels
    one = planned(changed("adapt.linear-probe", {"radius": 4.0}), folder)
    assert "bow · notes · linear-probe" in [cell.label for cell in one.cells.values()]
