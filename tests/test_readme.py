"""What README and docs show, runs: every fenced console, python and toml block, in order, in an empty folder a file.

A block that cannot run here carries `<!-- not run: why -->` right before or after it; its `limen` words are still
checked against the options there are. `make X` is checked against the Makefile's targets.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from limen.study.parse import read_study

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("CONTRIBUTING.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!--\s*not run:\s*(\S.*?)-->", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)|<img[^>]+src=\"([^\"]+)\"")


@dataclass(frozen=True)
class Block:
    """One fenced block, and why it is not run."""

    page: str
    line: int
    language: str
    text: str
    excuse: str


def blocks(text: str, page: str) -> list[Block]:
    found = []
    for match in FENCE.finditer(text):
        before = re.search(r"<!--(?:(?!-->).)*-->\s*\Z", text[: match.start()], re.DOTALL)
        after = re.match(r"\s*<!--.*?-->", text[match.end() :], re.DOTALL)
        excuses = [NOT_RUN.search(comment.group()) for comment in (before, after) if comment]
        excuse = next((said.group(1).strip() for said in excuses if said), "")
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, match.group(1), match.group(2), excuse))
    return found


def commands(block: Block) -> list[str]:
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ").split("  #")[0].strip() for line in lines if line.startswith("$ ")]


@cache
def help_of(*verb: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "limen", *verb, "--help"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"limen {' '.join(verb)}: {ended.stderr}"
    return ended.stdout


def check_words(command: str) -> None:
    """The verb exists and has every option that is shown."""
    words = shlex.split(command)
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets), command
    if words[0] == "limen" and len(words) > 1 and not words[1].startswith("-"):
        verb = words[1:3] if words[1] == "predict" else words[1:2]  # a group of verbs
        for option in (word.split("=")[0] for word in words[2:] if word.startswith("-")):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_of(*verb)), f"{command}: no {option}"


def run(code: list[str], folder: Path, block: Block) -> None:
    ended = subprocess.run(code, capture_output=True, text=True, cwd=folder, check=False)
    assert ended.returncode == 0, f"{block.page}:{block.line}: {' '.join(code)}\n{ended.stdout}{ended.stderr}"


def perform(block: Block, folder: Path) -> None:
    if block.language == "toml":
        tomllib.loads(block.text)
        if "[encoder" in block.text and "[task" in block.text:
            study = folder / "shown.toml"
            study.write_text(block.text, encoding="utf-8")
            read_study(study)
    for command in commands(block) if block.language == "console" else ():
        check_words(command)
        words = shlex.split(command)
        if not block.excuse and words[0] in ("limen", "python"):
            run([sys.executable, *(["-m", "limen"] if words[0] == "limen" else []), *words[1:]], folder, block)
        elif not block.excuse:
            assert words[0] == "make", f"{block.page}:{block.line}: say <!-- not run: why --> for {command!r}"
    if block.language == "python" and not block.excuse:
        run([sys.executable, "-W", "error", "-c", block.text], folder, block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_shown_runs(page: Path, tmp_path: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT))):
        perform(block, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [a or b for a, b in LINK.findall(text)]
    missing = [t for t in targets if "://" not in t and not t.startswith("mailto:") and not (page.parent / t).exists()]
    assert not missing, missing


def test_this_test_would_notice(tmp_path: Path) -> None:
    bad = (
        "```console\n$ limen budgt x.npz\n```\n",
        "```console\n$ limen budget x.npz --lables 3\n```\n",
        "```console\n$ limen check nothing.toml\n```\n",
        "```console\n$ make coffee\n```\n",
        "```console\n$ curl example.org\n```\n",
        "```python\nimport limen\nlimen.budgets\n```\n",
    )
    for text in bad:
        (block,) = blocks(text, "a page")
        with pytest.raises(AssertionError):
            perform(block, tmp_path)
    (excused,) = blocks("```console\n$ limen budget x.npz\n```\n\n<!-- not run: needs your files -->\n", "a page")
    assert excused.excuse == "needs your files"
    perform(excused, tmp_path)
