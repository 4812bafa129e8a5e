"""`limen predict sgd`: keys, units, bad words, and that every switch changes the answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import limen
from limen.records.errors import BadInput
from limen.theory.sgd import Modes, discrete

WORDS = ["--curvature", "0.01,0.1,1,10", "--noise", "0.01,0.1,1,10", "--learning-rate", "0.1", "--momentum", "0.9",
         "--batch-size", "32"]  # fmt: skip


def said(*words: str, code: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "limen", "predict", "sgd", *words, "--json"], capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    assert "Warning" not in done.stderr
    return json.loads(done.stdout)


def test_answers_have_the_stable_keys_and_are_those_of_the_law() -> None:
    found = said(*WORDS, "--steps", "1,10,100")
    law = discrete(Modes([0.01, 0.1, 1, 10], [0.01, 0.1, 1, 10], 0.1, 0.9, 32))
    assert found["schema"] == "limen.predict/1"
    assert found["law"] == "discrete"
    assert found["stable"] is True
    assert found["max_stable_learning_rate"] == pytest.approx(0.38)
    assert found["position_variance"] == pytest.approx(law.position_variance)
    assert found["velocity_variance"] == pytest.approx(law.velocity_variance)
    assert [at["step"] for at in found["displacement"]] == [1, 10, 100]
    assert [at["value"] for at in found["displacement"]] == pytest.approx(law.displacement([1, 10, 100]))
    assert found["autocorrelation"][1]["values"] == pytest.approx(law.position_autocorrelation([10])[0])
    assert found["temperature"] == pytest.approx(law.temperature)
    assert found["regime"] == ["overdamped", "underdamped", "underdamped", "underdamped"]
    assert found["excess_loss"] == pytest.approx(law.excess_loss)
    assert found["local_displacement"] == pytest.approx(law.local_displacement)
    assert len(found["exponent"]) == 3
    assert len(found["relaxation_steps"]) == 4


@pytest.mark.parametrize(
    "switch",
    [
        ["--weight-decay", "0.5"], ["--weight-decay", "0.5", "--decoupled"], ["--nesterov"], ["--dampening", "0.3"],
        ["--examples", "64"], ["--law", "langevin"], ["--law", "epoch", "--steps-per-epoch", "20"],
        ["--law", "epoch", "--steps-per-epoch", "20", "--white", "0.5"], ["--start", "fixed"],
        ["--start", "fixed", "--offset", "1"], ["--start", "fixed", "--offset", "0,0,0,1"],
    ],
)  # fmt: skip
def test_every_switch_changes_the_displacement(switch: list[str]) -> None:
    rest = WORDS
    base = limen.predict("sgd", [0.01, 0.1, 1, 10], [0.01, 0.1, 1, 10], learning_rate=0.1, momentum=0.9, batch_size=32)
    found = said(*rest, *switch)
    apart = [abs(a["value"] / b - 1) for a, b in zip(found["displacement"], base.displacement, strict=True) if b]
    assert max(apart) > 1e-3
    if switch[:2] == ["--weight-decay", "0.5"] and len(switch) == 3:
        coupled = said(*rest, *switch[:2])
        assert coupled["displacement"] != found["displacement"]


def test_a_flat_mode_has_no_variance_but_a_displacement() -> None:
    found = said("--curvature", "0,1", "--noise", "1,1", "--learning-rate", "0.1")
    assert found["position_variance"][0] is None
    assert found["relaxation_steps"][0] is None
    assert found["regime"][0] == "flat"
    assert found["excess_loss"] is None
    assert all(at["value"] > 0 for at in found["displacement"])


def test_an_unstable_rate_ends_with_two_and_names_the_limit() -> None:
    words = ["--curvature", "1,100", "--noise", "1,1", "--learning-rate", "0.1"]
    refused = said(*words, code=2)
    assert "at most 0.02" in refused["errors"][0]["what"]
    assert refused["errors"][0]["where"] == "--learning-rate"
    found = said(*words, "--allow-unstable", "--start", "fixed", "--steps", "1,3")
    assert found["stable"] is False
    assert found["displacement"][1]["value"] > 10 * found["displacement"][0]["value"]
    assert said(*words, "--allow-unstable")["displacement"][0]["value"] is None


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_modes_come_from_a_table_too(tmp_path: Path, suffix: str) -> None:
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    table = pa.table({"curvature": [0.1, 1.0], "noise": [1, 2], "weight": [3.0, 1.0]})
    path = tmp_path / f"modes{suffix}"
    (pc.write_csv if suffix == ".csv" else pq.write_table)(table, path)
    found = said("--table", str(path), "--learning-rate", "0.1")
    law = discrete(Modes([0.1, 1.0], [1.0, 2.0], 0.1, weight=[3.0, 1.0]))
    assert [at["value"] for at in found["displacement"]] == pytest.approx(law.displacement([1, 10, 100, 1000, 10000]))


@pytest.mark.parametrize(
    ("words", "where", "what"),
    [
        (["--curvature", "1,x", "--noise", "1"], "--curvature", "got 'x'"),
        (["--curvature", "1"], "--noise", "expected noise of each mode, or a table"),
        ([], "--curvature", "curvature and noise"),
        (["--curvature", "1", "--noise", "1", "--law", "epoch"], "--steps-per-epoch", "batches in an epoch"),
        (["--curvature", "1", "--noise", "1", "--steps-per-epoch", "4"], "--steps-per-epoch", "only law epoch"),
        (["--curvature", "1", "--noise", "1", "--law", "brown"], "--law", "expected one of discrete"),
        (["--curvature", "1", "--noise", "1", "--start", "warm"], "--start", "stationary or fixed"),
        (["--curvature", "1", "--noise", "1", "--steps", "1.5"], "--steps", "whole numbers of steps"),
        (
            ["--curvature", "1", "--noise", "1,2,3", "--start", "fixed", "--offset", "1,2"],
            "--curvature",
            "lists of different",
        ),
        (["--curvature", "1", "--noise", "1", "--batch-size", "0"], "--batch-size", "whole number ≥ 1"),
        (["--curvature", "1", "--noise", "1", "--nesterov"], "--nesterov", "momentum above 0"),
        (["--table", "nowhere.csv"], "nowhere.csv", ""),
        (["--curvature", "1", "--noise", "1", "--offset", "1"], "--offset", "stationary start has no offset"),
        (["--curvature", "1", "--noise", "1", "--white", "0.5"], "--white", "all its noise is white"),
        (
            [
                "--curvature",
                "1",
                "--noise",
                "1",
                "--law",
                "epoch",
                "--steps-per-epoch",
                "50",
                "--examples",
                "100",
                "--batch-size",
                "32",
            ],
            "--steps-per-epoch",
            "more than the 100 examples",
        ),
    ],
)
def test_bad_words_are_named_by_their_option(words: list[str], where: str, what: str) -> None:
    errors = said(*words, "--learning-rate", "0.1", code=2)["errors"]
    assert any(
        e["where"] == where or (where == "--curvature" and e["where"] in ("--noise", "--offset")) for e in errors
    )
    assert any(what in e["what"] + e["cause"] for e in errors)


def test_python_and_the_command_line_give_one_result() -> None:
    found = limen.predict("sgd", [0.01, 0.1, 1, 10], [0.01, 0.1, 1, 10], learning_rate=0.1, momentum=0.9, batch_size=32)
    assert found.to_json() == said(*WORDS)
    with pytest.raises(BadInput, match="is no setting"):
        limen.predict("sgd", [1.0], [1.0], learning_rate=0.1, momentun=0.9)
    with pytest.raises(BadInput, match="expected sgd"):
        limen.predict("adam", [1.0], [1.0], learning_rate=0.1)  # type: ignore[arg-type]


def test_a_person_reads_modes_and_steps() -> None:
    done = subprocess.run([sys.executable, "-m", "limen", "predict", "sgd", *WORDS], capture_output=True, text=True)
    assert "underdamped" in done.stdout
    assert "one step moves the weights by 0.02419" in done.stdout
    assert np.count_nonzero([line.startswith("10,000") for line in done.stdout.splitlines()]) == 1


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["--curvature", "100", "--noise", "1"], "--allow-unstable"),
        (["--curvature", "-1", "--noise", "1"], "--allow-unstable"),
        (["--curvature", "1", "--noise", "1", "--offset", "1"], "--start fixed"),
        (["--curvature", "1", "--noise", "1", "--white", "0.5"], "--law epoch"),
        (["--curvature", "1", "--noise", "1", "--steps-per-epoch", "5"], "--law epoch"),
    ],
)
def test_what_to_do_is_said_in_flags(words: list[str], flag: str) -> None:
    assert flag in said(*words, "--learning-rate", "0.1", code=2)["errors"][0]["fix"]


def test_help_names_every_column_that_a_table_may_have() -> None:
    from limen.verbs.predict import COLUMNS

    words = [sys.executable, "-m", "limen", "predict", "sgd", "--help"]
    text = " ".join(subprocess.run(words, capture_output=True, text=True).stdout.split())
    said_of_tables = text[text.index("--table ") : text.index("--momentum ")]
    assert all(name in said_of_tables for name in COLUMNS)
    assert "dampens the first gradient" in text[text.index("--start ") : text.index("--offset ")]
