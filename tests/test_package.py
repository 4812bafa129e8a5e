"""The package as a whole: every module imports, every public name is there and explained, nothing heavy comes early."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import limen

VERBS = sorted(name for name, module in limen.NAMES.items() if module.startswith("limen.verbs."))
CALLED_ONLY = {"learning_curve"}  # functions without a command
HEAVY = {"numpy", "scipy", "sklearn", "pyarrow", "torch", "pydantic", "pandas", "jinja2"}
LOADED = """
finally:
    import json
    print(json.dumps([m for m in sys.modules if '.' not in m]), file=sys.stderr)
"""


def loaded_by(*words: object) -> set[str]:
    """Top-level modules that are loaded when the command has ended."""
    code = (
        f"import sys\nsys.argv = {['limen', *map(str, words)]!r}\nfrom limen.cli import main\ntry:\n    main(){LOADED}"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stderr.splitlines()[-1]))


def modules() -> list[str]:
    return sorted(m.name for m in pkgutil.walk_packages(limen.__path__, "limen.") if m.name != "limen.__main__")


def test_every_module_imports_and_says_what_it_is_about_and_names_stay_what_they_are() -> None:
    for name in modules():
        module = importlib.import_module(name)
        source = Path(str(module.__file__)).read_text()
        assert module.__doc__ or not source.strip(), f"{name} has no docstring"
    for name in limen.NAMES:
        found = getattr(limen, name)
        assert not isinstance(found, types.ModuleType), f"limen.{name} became a folder"
        assert callable(found)
        assert getattr(limen, name) is found


@pytest.mark.parametrize("name", limen.NAMES)
def test_public_names_are_explained(name: str) -> None:
    found = getattr(limen, name)
    explained = inspect.getdoc(found) or ""
    assert explained, f"limen.{name} has no docstring"
    assert not explained.startswith(f"{found.__name__}("), "dataclasses write no docstring for us"
    for member, value in vars(found).items() if isinstance(found, type) else ():
        if not member.startswith("_") and inspect.isfunction(value):
            assert value.__doc__, f"limen.{name}.{member} has no docstring"
    if inspect.isfunction(found):
        assert "Raise" in explained, f"limen.{name} does not say what it raises"


def test_the_stub_and_the_name_table_agree() -> None:
    stub = ast.parse(Path(str(limen.__file__)).with_suffix(".pyi").read_text())
    typed = {
        alias.asname: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if node.module.startswith("limen.")
    }
    assert typed == limen.NAMES
    assert set(limen.__all__) == {*limen.NAMES, "__version__"}
    assert set(dir(limen)) == set(limen.__all__)
    with pytest.raises(AttributeError, match="no attribute 'budgets'"):
        _ = limen.budgets  # type: ignore[attr-defined]


def test_public_names_live_where_the_table_says() -> None:
    for name, module in limen.NAMES.items():
        assert name in vars(importlib.import_module(module))


def test_importing_and_helping_load_nothing_heavy() -> None:
    code = f"import json, sys\nimport limen\nlimen.__version__\nprint(sorted({HEAVY!r} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
    assert not loaded_by("--help") & HEAVY
    for words in (("--version",), ("budget", "--help")):
        assert not loaded_by(*words) & (HEAVY - {"pydantic"})  # typer itself validates options with pydantic


def recording(folder: Path) -> Path:
    """The folder of a recorded run, made in a process of its own: recording needs torch, reading it does not."""
    code = f"""
import torch, limen
net = torch.nn.Linear(2, 1)
sgd = torch.optim.SGD(net.parameters(), lr=0.1)
with limen.record(net, sgd, {str(folder)!r}, batch_size=4) as run:
    for _ in range(20):
        sgd.zero_grad()
        loss = net(torch.ones(4, 2)).square().mean()
        loss.backward()
        sgd.step()
        run.step(loss)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    return folder


def test_no_verb_that_does_not_train_imports_torch(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    for name, columns in (("a", 3), ("b", 4)):
        np.savez(tmp_path / f"{name}.npz", X=rng.normal(size=(200, columns)) + y[:, None], y=y)
    a, b, study = tmp_path / "a.npz", tmp_path / "b.npz", tmp_path / "study" / "study.toml"
    page = tmp_path / "page.html"
    calls: list[tuple[object, ...]] = [
        ("budget", a, "--labels", "64", "--seeds", 1, "-o", page),
        ("compare", a, b, "-o", page),
        ("init", study.parent),
        ("predict", "sgd", "--curvature", 1, "--noise", 1, "--learning-rate", 0.1),
    ]
    calls.append(("dynamics", recording(tmp_path / "run")))
    for words in calls:
        assert "torch" not in loaded_by(*words, "--json"), words
    text = study.read_text()
    text = text[: text.index("[encoder.random]")] + text[text.index("[task.digits]") :]
    start = text.index("methods =")
    study.write_text(f'{text[:start]}methods = ["mean-classifier"]\nlabels = [64]\nseeds = 1\n')
    verbs = ("check", "run", "report", "status", "verify", "gc")
    later: list[tuple[object, ...]] = [(verb, study) for verb in verbs]
    later += [
        ("explain", study, "pixels · digits · mean-classifier"),
        ("doctor", "--store", study.with_suffix(".limen")),
    ]
    for words in later:
        assert "torch" not in loaded_by(*words, "--json"), words
    assert {str(words[0]) for words in calls + later} == set(VERBS) - {"demo"} - CALLED_ONLY
