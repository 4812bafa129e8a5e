"""The index agrees with tomllib on every path: the key as written is the key, the value as written is the value."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.study.positions import Path, index_positions, line_and_column

NASTY = '''
# comment = 1
title = "a # \\" not a comment"  # comment [x]
'quoted key' = 'lit # eral'
"esc\\u0061ped" = """
multi "" line ""\\
   end"""""
raw = \'\'\'it's ''fine'' [x]
y = 2\'\'\'
date = 1979-05-27 07:32:00  # with a space
a.b . "c.d" = [ 1, # one
  [2, 3,], # nested
  { x = 1, y.z = [true] },
]
empty = []
none = {}

[table]
"=" = -1e-4
[table.sub]  # header comment
k = {deep = {deeper = "x"}}
[[many]]
v = 1
[[many]]
v = 2
[many.child]
w = inf
[[many.nested]]
[[many.nested]]
u = 0x1F
[super.implicit.leaf]
'''


def paths(value: Any, prefix: Path = ()) -> list[tuple[Path, Any]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [((*prefix, key), child) for key, child in children]
    return found + [deeper for path, child in found for deeper in paths(child, path)]


def agree(text: str) -> None:
    parsed, index = tomllib.loads(text), index_positions(text)
    assert index.repeats == []
    assert set(index.places) == {path for path, _ in paths(parsed)}
    for path, value in paths(parsed):
        place = index.places[path]
        if isinstance(path[-1], str):
            assert list(tomllib.loads(f"{text[slice(*place.key)]} = 0")) == [path[-1]]
        if place.value != place.key or not isinstance(value, dict | list):
            assert tomllib.loads(f"v = {text[slice(*place.value)]}")["v"] == value


def test_every_kind_of_toml() -> None:
    agree(NASTY)


BARE = st.text("abcXYZ019_-", min_size=1, max_size=4)
KEYS = st.one_of(BARE, st.text(min_size=0, max_size=4).filter(lambda s: s.isprintable()))
SCALARS = st.one_of(
    st.integers(-(2**60), 2**60),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8).filter(lambda s: all(c.isprintable() or c in "\n\t" for c in s)),
)
TREES = st.dictionaries(
    KEYS,
    st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=8),
    max_size=5,
)


def written(text: str, draw: Any, key: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    styles = [f'"{escaped}"']
    if "'" not in text and "\n" not in text:
        styles.append(f"'{text}'")
    if key and text and all(c in "abcXYZ019_-" for c in text):
        styles.append(text)
    if not key:
        styles.append(f'"""\n{escaped}"""')
        if "'" not in text:
            styles.append(f"'''\n{text}'''")
    return draw(st.sampled_from(styles))


def value_text(value: Any, draw: Any, inline: bool = False) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return written(value, draw)
    if isinstance(value, list):
        gap = draw(st.sampled_from(["", " ", "\n", " # note ]\n"]))
        items = [value_text(v, draw, True) + gap for v in value]
        return "[" + gap + ("," + gap).join(items) + (draw(st.sampled_from(["", ","])) if items else "") + "]"
    if isinstance(value, dict):
        pairs = (f"{written(k, draw, True)} = {value_text(v, draw, True)}" for k, v in value.items())
        return "{ " + ", ".join(pairs) + " }"
    return repr(value)


def document(tree: dict[str, Any], draw: Any, prefix: str = "") -> str:
    """The tree with each sub-table inline, dotted or under a header, drawn at random."""
    lines, tables = [], []
    for key, value in tree.items():
        name = written(key, draw, True)
        style = draw(st.sampled_from(["inline", "dotted", "header"])) if isinstance(value, dict) else "inline"
        if style == "header":
            tables.append((f"{prefix}{name}", value))
        elif style == "dotted" and value:
            lines += [f"{name}.{written(k, draw, True)} = {value_text(v, draw)}" for k, v in value.items()]
        else:
            lines.append(f"{name} = {value_text(value, draw)}{draw(st.sampled_from(['', '  # c', chr(10)]))}")
    text = "\n".join(lines) + "\n"
    for name, table in tables:
        text += f"[{name}] # header\n" + document(table, draw, f"{name}.")
    return text


@settings(max_examples=150, deadline=None)
@given(TREES, st.data())
def test_random_documents(tree: dict[str, Any], data: st.DataObject) -> None:
    text = document(tree, data.draw)
    assert tomllib.loads(text) == tree
    agree(text)


@pytest.mark.parametrize(
    ("text", "path", "where"),
    [
        ("a = 1\nb = 2\na = 3\n", ("a",), (3, 1)),
        ("[t]\nx = 1\n[u]\n[t]\ny = 2\n", ("t",), (4, 2)),
        ("t = { x = 1, x = 2 }\n", ("t", "x"), (1, 14)),
        ("a.b = 1\na.b = [1, 2]\n", ("a", "b"), (2, 3)),
    ],
)
def test_repeats_have_both_places_and_blanking_them_mends_the_text(text: str, path: Path, where: Any) -> None:
    (repeat,) = index_positions(text).repeats
    assert repeat.path == path
    assert line_and_column(text, repeat.second.key[0]) == where
    assert repeat.first.key < repeat.second.key
    if "{" not in text:
        start, end = repeat.extent
        tomllib.loads(text[:start] + text[end:])


def test_what_precedes_a_syntax_error_is_indexed() -> None:
    index = index_positions("a = 1\nb = = 2\n")
    assert ("a",) in index.places
    assert ("b",) not in index.places
