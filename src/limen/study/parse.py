"""From a study file to a `Study`, or to all of its errors at once, each with its line.

Order: bytes → text (UTF-8, a byte-order mark is fine) → TOML → well-formed values → contradictions. Repeated keys are
set aside so that they do not hide the other errors; a syntax error hides what follows it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from limen.records.errors import BadInput, Problem
from limen.study.adapt import Adapt
from limen.study.contradictions import Pieces, contradictions, pieces_of
from limen.study.encoders import Encoder
from limen.study.explain import findings
from limen.study.positions import Index, Repeat, index_positions
from limen.study.source import Source, dotted
from limen.study.spec import Advice, Study, Task

_LIMIT = 10_000_000  # bytes; a study file is text written by people


def read_study(path: FilePath | str) -> tuple[Study, Source]:
    """The study in a file and its source (for errors found later). Raises BadInput with every problem found."""
    path = FilePath(path)
    name = path.name if path.name.isprintable() else repr(path.name)
    if path.is_dir():
        raise BadInput(Problem(str(path), "expected a study file, got a folder", fix="name the .toml file in it"))
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT + 1)
    except FileNotFoundError:
        raise BadInput(Problem(str(path), "this study file does not exist", fix="limen init writes one")) from None
    except OSError as error:
        raise BadInput(Problem(str(path), f"the study file cannot be read: {error.strerror}")) from None
    return parse_study(content, name)


def parse_study(content: bytes, name: str = "study.toml") -> tuple[Study, Source]:
    """The study in the bytes of a file. Raises BadInput with every problem found.

    >>> study, _ = parse_study(b'name = "s"\\n[encoder.b]\\nsource = "bag-of-words"\\n'
    ...                        b'[task.t]\\ninput = "text"\\ntrain = "t.csv"')
    >>> study.name
    's'
    """
    text = _decode(content, name)
    try:
        index = index_positions(text)
    except RecursionError:
        raise BadInput(Problem(name, "expected a study, got lists nested hundreds deep", fix="flatten them")) from None
    source = Source(name, text, index)
    problems = [source_problem(source, repeat) for repeat in index.repeats]
    try:
        plain = tomllib.loads(_without(text, index))
    except (ValueError, RecursionError) as error:  # a ValueError for syntax and for numbers of thousands of digits
        inline = any(not _starts_line(text, repeat.extent[0]) for repeat in index.repeats)
        raise BadInput(problems if inline else [*problems, _syntax(error, source)]) from None
    source = Source(name, text, index, plain)
    study: Study | None = None
    try:
        study = Study.model_validate(plain)
        wrong = contradictions(pieces_of(study))
    except ValidationError as error:
        wrong = findings(error, plain)
        wrong += contradictions(_pieces(plain))
    problems += [source.problem(finding) for finding in wrong]
    if problems or study is None:
        raise BadInput(sorted(problems, key=_line))
    return study, source


def _decode(content: bytes, name: str) -> str:
    if len(content) > _LIMIT:
        raise BadInput(Problem(name, "expected a study file, got more than 10 MB", fix="name the .toml file"))
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadInput(Problem(f"{name}:1:1", "expected UTF-8, got UTF-16", fix="save the file as UTF-8"))
    if b"\0" in content:
        what = "expected a TOML text, got a binary file (it contains zero bytes)"
        raise BadInput(Problem(name, what, fix="name the study's .toml file; data files are named inside it"))
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        what = f"expected UTF-8, got the byte 0x{content[error.start]:02x}"
        fix = "save the file as UTF-8"
        raise BadInput(Problem(f"{name}:{line}:{column}", what, "Latin-1 or another encoding", fix)) from None
    if not text.strip():
        raise BadInput(Problem(f"{name}:1:1", "the study file is empty", fix="limen init writes one to start from"))
    return text


def source_problem(source: Source, repeat: Repeat) -> Problem:
    """A repeated key, with both of its lines."""
    first, second = repeat.first.key, repeat.second.key
    what = f"{dotted(repeat.path)}: repeated; it first stands at line {source.position(first).split(':')[0]}"
    return Problem(
        f"{source.name}:{source.position(second)}", what, fix="keep one", context=source.excerpt([first, second])
    )


def _without(text: str, index: Index) -> str:
    """The text with every repeat blanked, all other characters at their places."""
    characters = list(text)
    for repeat in index.repeats:
        for at in range(*repeat.extent):
            if characters[at] != "\n":
                characters[at] = " "
    return "".join(characters)


def _starts_line(text: str, offset: int) -> bool:
    return not text[text.rfind("\n", 0, offset) + 1 : offset].strip()


def _syntax(error: ValueError | RecursionError, source: Source) -> Problem:
    message = str(error)
    place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if place:
        line, column = int(place[1]), int(place[2])
        message = message[: place.start()]
    else:
        message = message.removesuffix(" (at end of document)")
        line, column = source.text.count("\n") + 1, len(source.text) - source.text.rfind("\n")
    start = sum(len(text) + 1 for text in source.text.split("\n")[: line - 1]) + column - 1
    start = min(start, max(0, len(source.text) - 1)) if place is None else start
    fix = "correct the marked place; limen init DIR writes an example"
    fix = 'text needs quotes: key = "value"' if message == "Invalid value" else fix
    return Problem(
        f"{source.name}:{line}:{column}", f"this is no TOML: {message[0].lower()}{message[1:]}", fix=fix,
        context=source.excerpt([(start, start + 1)]),
    )  # fmt: skip


def _pieces(plain: Mapping[str, Any]) -> Pieces:
    """Whatever of a malformed study is well formed."""
    encoders = _well_formed(Encoder, plain.get("encoder"))
    tasks = _well_formed(Task, plain.get("task"))
    (adapt,) = _well_formed(Adapt, {"": plain.get("adapt")}).values() or (None,)
    (advice,) = _well_formed(Advice, {"": plain.get("advice")}).values() or (None,)
    complete = all(
        isinstance(given := plain.get(section), Mapping) and len(kept) == len(given)
        for section, kept in (("encoder", encoders), ("task", tasks))
    )
    return Pieces(encoders, tasks, adapt, advice, complete)


def _well_formed(kind: Any, tables: object) -> dict[str, Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    kept: dict[str, Any] = {}
    for name, table in tables.items() if isinstance(tables, Mapping) else ():
        try:
            kept[name] = adapter.validate_python(table)
        except ValidationError:
            continue  # its errors are already listed
    return kept


def _line(problem: Problem) -> tuple[int, int]:
    numbers = re.findall(r":(\d+)", problem.where)
    return (int(numbers[-2]), int(numbers[-1])) if len(numbers) >= 2 else (0, 0)
