"""The recipes of SGD's dynamics in miniature: each runs through, goes on after a cut, and says what its numbers say."""

from __future__ import annotations

import doctest
import json
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # studies is no part of the package

from studies.sgd import toy_current
from studies.sgd.common import Place, Report, cell, plain

SMALL = 480


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder in which eight by eight pixels stand for CIFAR-10."""
    into = tmp_path_factory.mktemp("sgd")
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 256, size=(10, 8, 8, 3))
    for split, count in (("train", SMALL), ("test", 64)):
        labels = rng.integers(10, size=count)
        noise = rng.integers(0, 256, size=(count, 8, 8, 3))
        images = ((patterns[labels] + noise) // 2).astype(np.uint8)
        names = np.array([f"class{i}" for i in range(10)])
        np.savez(into / f"cifar10-{split}-{count}.npz", images=images, labels=labels, classes=names)
    return Place(into)


def test_a_finished_part_is_read_back_and_other_settings_are_another_part(tmp_path: Path) -> None:
    place, calls = Place(tmp_path), []

    def compute() -> dict[str, Any]:
        calls.append(1)
        return {"x": np.float64(2.0), "y": np.array([1.0, np.nan])}

    assert place.part("one", {"a": 1}, compute) == {"x": 2.0, "y": [1.0, None]}
    assert place.part("one", {"a": 1}, compute) == {"x": 2.0, "y": [1.0, None]}
    assert len(calls) == 1
    place.part("one", {"a": 2}, compute)
    assert len(calls) == 2


def test_a_part_that_fails_leaves_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)

    def cut() -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.part("one", {}, cut)
    assert list(tmp_path.iterdir()) == []


def test_tables_are_markdown_without_nan() -> None:
    report = Report("t")
    report.table(["a", "b"], [[float("nan"), (1.0, 2.0)]])
    assert "| – | 1 … 2 |" in report.text()
    assert cell(float("inf")) == "–"
    assert plain(toy_current.Settings())["Settings"]["seed"] == 0


@pytest.mark.torch
def test_examples_in_the_recipes_run() -> None:
    pytest.importorskip("torch")
    from studies.sgd import common, contours, dense, network, oscillation, sweeps

    for module in (common, contours, dense, network, oscillation, sweeps):
        found = doctest.testmod(module)
        assert found.failed == 0
        assert found.attempted > 0


SHORT = toy_current.Settings(steps_of_time=(0.1,), replicas=400, settle=5.0, time=10.0)


def test_the_toy_process_has_its_chain_s_law_and_not_the_continuous_one(tmp_path: Path) -> None:
    text = toy_current.recipe(Place(tmp_path), SHORT).text()
    assert "law holds at every step size" in text
    assert "is refuted at dt = 0.1" in text
    found = json.loads(next(tmp_path.glob("toy_current-*.json")).read_text())["result"]
    rows, z = toy_current.compared(found, toy_current.continuous(_flow()), toy_current.chain(0.1))
    assert np.abs(z).max() < 4
    current = next(row for row in rows if row[0] == "Q₁₂")
    assert current[1] / current[2] > 20  # the current is there
    _, z = toy_current.compared(found, toy_current.continuous(_flow()), toy_current.chain(0.2))
    assert np.abs(z).max() > 5


def _flow() -> Any:
    return toy_current.PhaseSpace(toy_current.A, toy_current.D, 1.0)


@pytest.fixture(scope="module")
def settings() -> Any:
    pytest.importorskip("torch")
    from studies.sgd import network

    return network.Settings(
        width=2, examples=SMALL, test=64, train_steps=12, train_batch=32, batch_size=12, steps=160, learning_rate=0.005,
        curvature_examples=24, modes=2, probes=2, probe_steps=5,
    )  # fmt: skip


@pytest.mark.torch
def test_spirals_turn_as_the_exact_law_says(place: Place) -> None:
    pytest.importorskip("torch")
    from studies.sgd import spirals

    small = spirals.Settings(
        pairs=((1e-3, 0.9), (1e-2, 0.9)), batch_size=48, replicas=3, steps=400, examples=SMALL, modes=4, offset=100.0
    )
    text = spirals.recipe(place, small).text()
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| 0.")]
    motion, spread = rows[:2], rows[2:]
    for row in motion:
        assert abs(float(row[5])) < 4  # frequency against the exact law
        assert abs(float(row[10])) < 4  # envelope
    assert float(motion[1][2]) > 0.1  # ηρ: there the Langevin law is seen to be another one
    assert float(spread[1][2]) < 2.5 * float(spread[1][4])  # the mean path against the exact law
    assert float(spread[1][3]) > 2.5 * float(spread[1][2])
    assert all(0.6 < float(row[7]) < 1.6 for row in spread)
    before = {file: file.stat().st_mtime_ns for file in place.into.rglob("*") if file.is_file()}
    assert spirals.recipe(place, small).text() == text
    assert before == {file: file.stat().st_mtime_ns for file in place.into.rglob("*") if file.is_file()}


@pytest.mark.torch
def test_diffusion_sets_three_orders_beside_their_laws_and_goes_on_after_a_cut(place: Place, settings: Any) -> None:
    from studies.sgd import diffusion
    from studies.sgd.network import Network

    network = Network(place, settings)
    run = settings.run(sampling="reshuffle")
    folder = network.continued(run)
    (folder / "finished").unlink()  # as a kill leaves it
    text = diffusion.recipe(place, settings).text()
    assert (folder / "finished").exists()
    for sampling in diffusion.SAMPLINGS:
        assert f"**{sampling}**: 160 steps, 0 of them left out, 40 an epoch" in text
    found = diffusion.analysed(network, run)
    assert found["law"] == "epoch"
    ladder = found["units"]["whole"][0]
    assert all(after > before > 0 for before, after in pairwise(ladder))
    whole = diffusion.from_checkpoint(diffusion.read_run(folder), np.array([1, 16]))
    assert 0 < whole[0] < whole[1]
    assert all(value > 0 for value in found["fixed"])


@pytest.fixture(scope="module")
def still() -> Any:
    """Twelve inputs (2×2 pixels) and three units: a network at rest in a minimum."""
    pytest.importorskip("torch")
    from studies.sgd import network

    return network.Settings(
        architecture="mlp", width=3, pool=4, examples=SMALL, test=64, train_steps=300, train_batch=48, train_rate=0.2,
        learning_rate=0.02, batch_size=48, weight_decay=0.05, steps=900, settle_steps=600, settle_batch=SMALL,
        settle_rate=0.2, burn=150, curvature_examples=SMALL, modes=3, probes=2, probe_steps=10, seeds=3,
    )  # fmt: skip


@pytest.mark.torch
@pytest.mark.slow
def test_a_small_network_at_rest_diffuses_as_the_law_of_its_sampling_says(place: Place, still: Any) -> None:
    from studies.sgd import diffusion
    from studies.sgd.network import Network

    network = Network(place, still)
    assert network.exact is not None
    for sampling in diffusion.SAMPLINGS:
        runs = [still.run(sampling=sampling, seed=seed) for seed in range(3)]
        found = diffusion._continued(network, runs)
        own = found["law"]
        for i, lag in enumerate(found["lags"][:4]):
            assert found["displacement"][i][0] / found["laws"][own][i] == pytest.approx(1, abs=0.2), (sampling, lag)
            others = [found["laws"][name][i] for name in ("discrete", "epoch", "same-order") if name != own]
            if lag >= 64:  # by then the laws are far apart
                assert min(abs(np.log(found["displacement"][i][0] / other)) for other in others) > 0.3
    assert network.exact["checkpoint"].curvature.sum() != network.exact["path"].curvature.sum()


@pytest.mark.torch
@pytest.mark.slow
def test_the_grid_has_a_row_for_each_combination_and_keeps_no_recording(place: Place, still: Any) -> None:
    from studies.sgd import grid

    small = grid.Settings(network=still, learning_rates=(0.01, 0.02, 0.04), batch_sizes=(24, 48), momenta=(0.8, 0.9),
                          window=60, seeds=2)  # fmt: skip
    text = grid.recipe(place, small).text()
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| 0.")]
    assert len(rows) == 12
    middle = next(row for row in rows if row[:3] == ["0.02", "48", "0.9"])
    assert middle[6] == "1"  # calibrated on itself
    assert all(0.6 < float(row[7]) < 1.4 for row in rows)  # the step, without a free constant
    assert not list(place.into.glob("grid-run*"))


def test_displacement_of_a_random_walk_is_its_law_in_blocks_and_in_all() -> None:
    pytest.importorskip("torch")
    from studies.sgd import diffusion

    rng = np.random.default_rng(0)
    path = np.cumsum(rng.standard_normal((8000, 10)), axis=0)
    lags = np.array([1, 16, 1024])
    found = diffusion.in_blocks(path, lags)
    displacement, slopes = found["whole"]
    assert displacement[:2] == pytest.approx(10 * lags[:2], rel=0.1)
    assert slopes[:2] == pytest.approx(1, abs=0.1)
    assert np.isnan(found["blocks"][0][:, 2]).all()  # 1,024 steps are more than half a block of 1,000
    assert found["blocks"][0][:, 1].mean() == pytest.approx(160, rel=0.1)
    assert found["blocks"][1].shape == (8, 3)


def test_errors_are_over_seeds_where_there_are_three_and_over_blocks_of_one_run() -> None:
    pytest.importorskip("torch")
    from studies.sgd import diffusion

    def one(value: float) -> dict[str, Any]:
        blocks = [np.array([[v], [v]]) for v in (value - 1, value + 1)]
        units = {"whole": [np.array([value]), np.array([1.0])], "blocks": [np.concatenate(blocks), np.ones((4, 1))]}
        return {
            "units": units,
            "from_checkpoint": [value], "drift": [0.0], "virial": [1.0, 0.1], "verdict": "stationary", "heat": [],
            "p": None, "sketch_tests": [1, 0], "losses": [1, 1], "gradients": [1, 1],
        }  # fmt: skip

    seeds = diffusion.joined([one(1.0), one(2.0), one(3.0)])
    assert seeds["displacement"][0][0] == 2.0
    assert seeds["displacement_error"][0] == pytest.approx(1 / np.sqrt(3))
    assert diffusion.joined([one(2.0)])["displacement_error"][0] == pytest.approx(np.std([1, 1, 3, 3], ddof=1) / 2)


@pytest.mark.parametrize("sampling", ["iid", "reshuffle", "same-order"])
def test_from_rest_the_law_is_that_of_the_sampling(sampling: str) -> None:
    pytest.importorskip("torch")
    from studies.sgd import diffusion

    from limen.theory.sgd import Modes, simulate

    modes = Modes(np.array([1.0, 0.01]), np.ones(2), learning_rate=0.05, momentum=0.9)
    lags = np.array([4, 10, 30])
    law = diffusion.Predicted(modes, 10).from_rest(diffusion.OWN[sampling], lags)
    run = simulate(modes, lags, replicas=4000, sampling=sampling, steps_per_epoch=10, seed=1)  # type: ignore[arg-type]
    for value, measured in zip(law, (run.positions**2).mean(axis=1).sum(axis=1), strict=True):
        assert value is None or measured == pytest.approx(value, rel=0.1)
    assert (law[-1] is None) == (sampling == "same-order")


def test_drift_is_found_and_diffusion_is_none() -> None:
    pytest.importorskip("torch")
    from studies.sgd import diffusion

    rng = np.random.default_rng(0)
    pure = rng.standard_normal((20_000, 8))
    info = SimpleNamespace(learning_rate=0.1)
    walk = diffusion.drift(SimpleNamespace(sketch=pure, info=info), np.array([100]))
    pushed = diffusion.drift(SimpleNamespace(sketch=pure + 1.0, info=info), np.array([100]))
    assert abs(walk[0]) < 1
    assert pushed[0] == pytest.approx(100**2 * 0.1**2 * 8, rel=0.05)


@pytest.mark.torch
def test_contours_and_oscillation_read_the_run_of_diffusion(place: Place, settings: Any) -> None:
    from studies.sgd import contours, oscillation

    text = contours.recipe(place, settings).text()
    assert "nearest is" in text
    spread = contours.spreads(contours.Network(place, settings))
    first, weak = spread["modes"]
    assert spread["by_loss"] == pytest.approx(np.sqrt(weak["curvature"] / first["curvature"]), rel=0.01)
    assert 0.9 < spread["by_modified"] <= 1.1
    assert first["window"] < first["law"]  # a window shows less than the whole variance
    text = oscillation.recipe(place, settings).text()
    assert "autocorrelations of velocity" in text


def test_errors_of_autocorrelations_are_those_of_a_simulated_process() -> None:
    pytest.importorskip("torch")
    from studies.sgd import oscillation

    rng = np.random.default_rng(0)
    x = np.zeros((400, 2001))
    for k in range(2000):
        x[:, k + 1] = 0.8 * x[:, k] + rng.standard_normal(400)
    lags = [1, 5, 20]
    measured = np.array([oscillation.autocorrelation(row[200:], lags) for row in x])
    predicted = oscillation.bartlett(0.8 ** np.arange(1801), lags, 1801)
    assert measured.std(axis=0) == pytest.approx(predicted, rel=0.12)


@pytest.mark.torch
def test_sweeps_calibrate_on_the_default_run(place: Place, settings: Any) -> None:
    from studies.sgd import sweeps

    small = sweeps.Settings(network=settings, learning_rates=(0.0025, 0.005), batch_sizes=(6, 12), momenta=(0.8, 0.9),
                            window=16, seeds=1)  # fmt: skip
    text = sweeps.recipe(place, small).text()
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    default = [row for row in rows if row[0] in ("0.005", "12", "0.9")]
    assert len(default) == 3
    assert all(row[4] == "1" for row in default)
    half = next(row for row in rows if row[0] == "0.0025")
    assert float(half[3]) == pytest.approx(float(default[0][3]) / 4, rel=1e-3)
    assert float(half[1]) < float(default[0][1])


@pytest.mark.parametrize(
    ("values", "way"),
    [([3, 2, 1], "falls"), ([1, 2, 3], "rises"), ([3, 1, 3], "is least in the middle"),
     ([1, 3, 1], "is most in the middle"), ([1, 1.05, 1.1], "has no clear trend")],
)  # fmt: skip
def test_trends_need_two_standard_errors(values: list[float], way: str) -> None:
    pytest.importorskip("torch")
    from studies.sgd import sweeps

    assert sweeps._way(values, [0.1] * len(values)) == way


def test_a_simulated_mode_turns_as_predicted() -> None:
    pytest.importorskip("torch")
    from studies.sgd import oscillation

    from limen.theory.sgd import Modes, discrete, simulate

    modes = Modes([2.0], [1.0], learning_rate=0.05, momentum=0.9)
    run = simulate(modes, np.arange(200, 6200), replicas=1, seed=3)
    value, error = oscillation.turn(run.positions[:, 0, 0], run.velocities[:, 0, 0])
    assert 0 < error < 0.02
    assert value == pytest.approx(oscillation.predicted_turn(discrete(modes)), abs=4 * error)
    assert abs(value) > 10 * error


@pytest.mark.parametrize("momentum", [0.9, 0.999])
def test_errors_of_frequency_and_envelope_are_those_of_simulated_paths(momentum: float) -> None:
    pytest.importorskip("torch")
    from studies.sgd import spirals

    from limen.theory.sgd import Modes, simulate

    a = 0.009
    modes = Modes(np.array([1.0]), np.array([1.0]), learning_rate=a, momentum=momentum, offset=np.array([4.0]))
    run = simulate(modes, np.arange(801), replicas=800, seed=2)
    z = []
    for group in run.positions[:, :, 0].T.reshape(200, 4, -1):
        phi, b, covariance = spirals._recursion(group)
        root, exact = spirals._root(phi, b), spirals._root(1 + momentum - a, momentum)
        errors = spirals._root_errors(phi, b, covariance)
        z.append([(np.abs(root) - np.abs(exact)) / errors[0], (np.angle(root) - np.angle(exact)) / errors[1]])
    assert np.abs(np.mean(z, axis=0)).max() < 0.4
    assert np.std(z, axis=0) == pytest.approx(1, abs=0.15)


def test_a_slope_of_noise_over_less_than_a_decade_is_not_carried_over() -> None:
    pytest.importorskip("torch")
    from dataclasses import dataclass

    from studies.sgd import diffusion

    @dataclass(frozen=True)
    class Noise:
        eigenvalues: np.ndarray
        slope: Any = "measured"

    assert diffusion.proportional(Noise(np.array([20.0, 1.0, -3.0]))).slope == "measured"  # type: ignore[arg-type]
    assert diffusion.proportional(Noise(np.array([9.0, 8.0]))).slope.value is None  # type: ignore[arg-type]
