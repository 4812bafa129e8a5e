"""Laws of the command line: every verb is a function of the same name and result, one document, finite numbers."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import limen
from limen import cli
from limen.cli import app, main

COMMANDS = {c.callback.__name__: c.callback for c in app.registered_commands if c.callback is not None}
BUDGET_KEYS = {
    "schema", "encoder", "task", "method", "loss", "n_train", "n_holdout", "classes", "confidence", "radius", "terms",
    "sides", "floor_path", "identity_residual", "curve", "extrapolation", "advice", "population_checks", "environment",
}  # fmt: skip
TERMS = {
    "minimal_adaptation_loss", "optimism", "optimization_gap", "generalization_gap", "estimation_gap",
    "empirical_adaptation_loss", "adaptation_loss", "error", "balanced_error",
}  # fmt: skip
MORE_KEYS = {"slices", "controls", "closed_forms"}
MORE_TERMS = {"irreducible", "representation_gap", "class_gap", "shift"}
SHIFT = {"adaptation_loss", "error", "shift_gap"}
ESTIMATE = {"value", "low", "high", "confidence", "grade", "n", "method", "assumptions", "reference"}


@pytest.fixture
def document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def call(*words: object) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["limen", *map(str, words), "--json", "--quiet"])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        assert stopped.value.code == 0, said.err
        assert said.err == ""
        return json.loads(said.out, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    place = tmp_path_factory.mktemp("embeddings")
    y = rng.integers(0, 3, 700)
    x = rng.normal(size=(700, 4)) + np.eye(3, 4)[y] * 2
    np.savez(place / "train.npz", X=x[:500], y=y[:500])
    np.savez(place / "test.npz", X=x[500:], y=y[500:])
    np.savez(place / "weak.npz", X=rng.normal(size=(500, 4)) + 0.3 * np.eye(3, 4)[y[:500]], y=y[:500])
    return place


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(
        'name = "small"\n[encoder.pixels]\nsource = "pixels"\n'
        '[task.digits]\ntrain = "digits:train"\ninput = "image"\nlabel = "label"\n'
        '[adapt]\nmethods = ["mean-classifier", "knn"]\nlabels = [64, 128]\nseeds = 1\n'
    )
    assert limen.run(path).exit_code == 0
    return path


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    else:
        yield path, value


def test_verbs_and_functions_have_the_same_names_and_ways_to_speak() -> None:
    verbs = {name for name, module in limen.NAMES.items() if module.startswith("limen.verbs.")}
    groups = {str(group.name): group.typer_instance for group in app.registered_groups}
    assert {*COMMANDS, *groups} == verbs - {"learning_curve"}  # a part of a budget, for those who call
    inner = [command.callback for group in groups.values() for command in group.registered_commands]
    for command in [*COMMANDS.values(), *inner]:
        assert command is not None
        assert {"as_json", "quiet"} <= set(inspect.signature(command).parameters)
        assert inspect.getdoc(command)


def test_the_stable_keys_of_a_budget(document: Callable[..., dict[str, Any]], folder: Path) -> None:
    target = ("--target", "loss=0.3", "--labels", "40,80,120,160,240,all", "--seeds", 2)
    found = document("budget", folder / "train.npz", "--test", folder / "test.npz", *target)
    assert found["schema"] == "limen.budget/1"
    assert set(found) >= BUDGET_KEYS
    assert set(found) <= BUDGET_KEYS | MORE_KEYS, "new keys of limen.budget/1: document them and name them here"
    terms = found["terms"]
    assert set(terms) >= TERMS
    assert set(terms) <= TERMS | MORE_TERMS, "new terms of limen.budget/1: document them and name them here"
    assert SHIFT <= set(terms["shift"]["test"]) <= SHIFT | {"label_weighted_loss"}
    for estimate in (*(terms[name] for name in TERMS), *(terms["shift"]["test"][name] for name in SHIFT)):
        assert set(estimate) - {"state", "reason"} == ESTIMATE
        assert (estimate["value"] is None) == ("state" in estimate)
        assert ("reason" in estimate) == ("state" in estimate)
    assert {"certified", "statistical", "midpoint"} <= set(found["sides"])
    assert all(set(point) == {"radius", "low", "high"} for point in found["floor_path"])
    curve = {"n", "seed", "empirical_loss", "adaptation_loss", "error", "radius"}
    assert all(set(point) - {"state", "reason"} == curve for point in found["curve"])
    assert {"asymptote", "exponent", "labels_needed", "backtest"} <= set(found["extrapolation"])
    assert all({"rule", "action", "because", "grade", "gain"} <= set(advice) for advice in found["advice"])
    assert {"threads", "blas", "versions"} <= set(found["environment"])
    assert found["identity_residual"] <= 1e-9


def test_numbers_are_finite_and_never_text(document: Callable[..., dict[str, Any]], folder: Path) -> None:
    found = document("budget", folder / "weak.npz", "--labels", "64,128", "--seeds", 1, "--loss", "squared")
    for path, value in leaves(found):
        if isinstance(value, float):
            assert np.isfinite(value), path
        if isinstance(value, str):
            assert value.lower() not in ("nan", "inf", "-inf", "infinity"), path


def test_budget_and_compare_are_the_functions(document: Callable[..., dict[str, Any]], folder: Path) -> None:
    train, test, weak = (folder / f"{name}.npz" for name in ("train", "test", "weak"))
    words = ("--test", test, "--same-population", "--target", "error=0.05", "--margin", 0.02, "--confidence", 0.9)
    said = document("budget", train, *words, "--labels", "64,all", "--seeds", 2, "--radius", "8")
    called = limen.budget(
        train, test=test, same_population=True, target={"error": 0.05}, margin=0.02, confidence=0.9,
        labels=[64, "all"], seeds=2, radius=8.0,
    )  # fmt: skip
    assert said == json.loads(json.dumps(called.to_json()))
    pairs = document("compare", train, weak)
    report = limen.compare([train, weak])
    assert pairs["schema"] == "limen.compare/1"
    assert pairs["budgets"] == json.loads(json.dumps([b.to_json() for b in report.budgets]))
    assert pairs["comparisons"] == json.loads(json.dumps([c.to_json() for c in report.comparisons]))


@pytest.mark.parametrize("switch", ["--confidence 0.8", "--radius 2", "--method knn", "--loss squared",
                                    "--labels 64,96", "--seeds 2", "--target loss=0.2"])  # fmt: skip
def test_every_switch_changes_the_document(
    document: Callable[..., dict[str, Any]], folder: Path, switch: str, plain_budget: dict[str, Any]
) -> None:
    words = dict.fromkeys(("--labels", "--seeds")) | {"--labels": "64,128", "--seeds": "1"}
    option, value = switch.split()
    words[option] = value
    changed = document("budget", folder / "weak.npz", *[word for pair in words.items() for word in pair if word])
    assert changed != plain_budget


@pytest.fixture
def plain_budget(document: Callable[..., dict[str, Any]], folder: Path) -> dict[str, Any]:
    return document("budget", folder / "weak.npz", "--labels", "64,128", "--seeds", "1")


def test_study_verbs_are_the_functions(document: Callable[..., dict[str, Any]], study: Path) -> None:
    said = {verb: document(verb, study) for verb in ("check", "run", "report", "status", "verify", "gc")}
    for verb, found in said.items():
        assert found["schema"] == f"limen.{verb}/1"
    called = limen.run(study)
    assert (called.cached, called.run) == (said["run"]["cached"], said["run"]["run"]) == (3, 0)
    assert said["run"]["budgets"] == json.loads(json.dumps([b.to_json() for b in called.report.budgets]))
    assert said["report"]["budgets"] == said["run"]["budgets"]
    assert said["check"] == json.loads(json.dumps(limen.check(study).to_json()))
    assert said["status"] == json.loads(json.dumps(limen.status(study).to_json()))
    assert said["verify"] == json.loads(json.dumps(limen.verify(study).to_json()))
    assert said["verify"]["results"] == 3
    assert (said["gc"]["results"], limen.gc(study).results) == (0, 0)
    name = "pixels · digits · knn"
    explained = document("explain", study, name)
    assert explained["schema"] == "limen.explain/1"
    assert explained["state"] == limen.explain(study, name).state == "published"
    machine = document("doctor", "--store", study.with_suffix(".limen"))
    assert machine["schema"] == "limen.doctor/1"
    assert machine["store"]["results"] == limen.doctor(study.with_suffix(".limen")).store.results == 3  # type: ignore[union-attr]


def test_a_damaged_result_is_exit_3_and_the_next_run_redoes_it(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = next(p for p in sorted((study.with_suffix(".limen") / "runs").glob("*/*")) if p.stat().st_size > 100)
    raw = bytearray(victim.read_bytes())
    raw[-1] ^= 1
    victim.chmod(0o644)
    victim.write_bytes(raw)
    monkeypatch.setattr(sys, "argv", ["limen", "verify", str(study), "--json"])
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr()
    assert stopped.value.code == 3
    assert json.loads(said.out)["problems"][0]["where"]
    assert victim.parent.name[:12] in said.err
    assert limen.run(study).run == 1
    assert limen.verify(study).problems == ()


def test_gc_deletes_only_when_told_to(study: Path, tmp_path: Path) -> None:
    store = study.with_suffix(".limen")
    other = tmp_path / "other.toml"
    other.write_text(study.read_text().replace('"mean-classifier", "knn"', '"knn"'))
    counted = limen.gc(other, store=store)
    assert (counted.results, counted.kept, counted.deleted) == (1, 2, False)
    assert "nothing was deleted" in counted.text()
    assert "pixels · digits · mean-classifier" in counted.text()
    assert limen.verify(study).results == 3
    deleted = limen.gc(other, store=store, yes=True)
    assert (deleted.results, deleted.bytes, deleted.deleted) == (1, counted.bytes, True)
    assert limen.gc(other, store=store).results == 0
    assert limen.run(study).run == 1


def test_quiet_never_silences_an_answer(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cell = ("explain", study, "pixels · digits · knn")
    for words in (*((verb, study) for verb in ("check", "status", "verify", "gc")), cell, ("doctor",)):
        monkeypatch.setattr(sys, "argv", ["limen", *map(str, words), "--quiet"])
        with pytest.raises(SystemExit):
            main()
        said = capsys.readouterr()
        assert said.out, words
        assert said.err == ""
    monkeypatch.setattr(sys, "argv", ["limen", "init", str(tmp_path), "-q"])
    with pytest.raises(SystemExit):
        main()
    assert "wrote" in capsys.readouterr().out


def test_texts_fit_a_terminal(study: Path) -> None:
    store = study.with_suffix(".limen")
    for text in (limen.status(study).text(), limen.doctor(store).text(), limen.verify(study).text()):
        long = [line for line in text.splitlines() if len(line) > 80 and str(store.parent) not in line]
        assert not long, long
    assert "no errors" in limen.check(study).text()


def test_options_are_those_that_the_commands_declare() -> None:
    found = cli._options()
    assert found["slices"] == found["slice"] == "--slice"
    assert found["id"] == found["id_column"] == "--id"
    assert found["same_population"] == "--same-population"
    assert found["output"] == "--output"
    assert found["as_json"] == "--json"
    assert "threads" not in found, "an argument of a function without an option keeps its name"
    assert "file" not in found, "a word without dashes is no option"
