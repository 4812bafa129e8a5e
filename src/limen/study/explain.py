"""What pydantic found wrong, said in the words of the study file, with "did you mean".

Every message names the key as it is written in the file: union tags that pydantic puts into its paths are taken out,
and a missing key is placed at the table that lacks it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from limen.study.architectures import named
from limen.study.encoders import NOT_YET, SOURCES
from limen.study.positions import Path
from limen.study.source import Finding, did_you_mean
from limen.study.spec import Study
from limen.study.types import shown


def findings(error: ValidationError, plain: Mapping[str, Any]) -> list[Finding]:
    """All errors of one validation, in the order of the schema."""
    return [found for detail in error.errors(include_url=False) for found in _findings(detail, plain)]


def _findings(detail: ErrorDetails, plain: Mapping[str, Any]) -> list[Finding]:
    if detail["type"] != "contradiction":
        return [_finding(detail, plain)]
    path = _path(detail["loc"], plain)
    return [
        Finding(((*path, *one), (*path, *other)), what, "change one of the two")
        for what, one, other in detail.get("ctx", {})["found"]
    ]


def _finding(detail: ErrorDetails, plain: Mapping[str, Any]) -> Finding:
    kind, path = detail["type"], _path(detail["loc"], plain)
    context, value = detail.get("ctx", {}), detail["input"]
    if kind == "extra_forbidden":
        return Finding((path,), "unknown key", did_you_mean(str(path[-1]), known_keys(path[:-1], plain)), at_key=True)
    if kind == "missing":
        fix = f"add [{path[-1]}.NAME]" if path[-1] in ("encoder", "task") else f"add {path[-1]} = …"
        return Finding((path[:-1],), f'needs the key "{path[-1]}"', fix, at_key=True)
    if kind == "union_tag_not_found":
        discriminator = str(context["discriminator"]).strip("'")
        return Finding((path,), f'needs the key "{discriminator}"', _expected(context, plain, path), at_key=True)
    if kind == "union_tag_invalid":
        discriminator = str(context["discriminator"]).strip("'")
        known = re.findall(r"'([^']*)'", str(context["expected_tags"]))
        return _unknown_word((*path, discriminator), str(context["tag"]), known)
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", str(context["expected"]))
        if isinstance(value, str):
            return _unknown_word(path, value, known)
        return Finding((path,), f"expected {_listed(known)}, got {shown(value)}")
    if kind == "string_pattern_mismatch":
        return _pattern(path, value, str(context["pattern"]))
    return Finding((path,), *_plainly(detail))


def _unknown_word(path: Path, word: str, known: list[str]) -> Finding:
    section = next((str(part) for part in reversed(path) if isinstance(part, str) and part in NOT_YET), "")
    later = NOT_YET.get(section, {})
    if word in later:
        return Finding((path,), f'"{word}" is not available in this version', later[word])
    return Finding((path,), f'unknown value "{word}", expected {_listed(known)}', did_you_mean(word, known))


def _listed(words: list[str]) -> str:
    quoted = [f'"{word}"' for word in words]
    return quoted[0] if len(quoted) == 1 else f"one of {', '.join(quoted)}"


def _expected(context: Mapping[str, Any], plain: Mapping[str, Any], path: Path) -> str:
    return f"add source = … ({', '.join(SOURCES)})" if path[:1] == ("encoder",) else "add name = …"


def _pattern(path: Path, value: object, pattern: str) -> Finding:
    if "[0-9a-f]{40}" in pattern:
        return Finding((path,), f"expected the 40 hexadecimal digits of a commit, got {shown(value)}")
    if "#" in pattern:
        layer = "[:layer]" if ":" in pattern else ""
        what = f"expected NAME[#seed]{layer}[@step], got {shown(value)}"
        return Finding((path,), what, 'an example is "scratch#2@1000"')
    what = f"a name is a lower-case letter, then up to 63 letters, digits or hyphens; got {shown(value)}"
    return Finding((path,), what, "rename it", at_key=path[0] != "name")


def _plainly(detail: ErrorDetails) -> tuple[str, str]:
    """Message and fix of the plain types: `Input should be a valid integer` → `expected a valid integer, got …`."""
    kind, value, message = detail["type"], detail["input"], detail["msg"]
    message = message.replace("Input should", "expected to").replace("expected to be", "expected")
    message = re.sub("a valid dictionary.*|a valid mapping", "a table", message)
    message = message.replace("greater than or equal to", "≥").replace("less than or equal to", "≤")
    message = message.replace("greater than", ">").replace("less than", "<").replace("tuple", "list")
    if kind == "too_short":
        return "expected at least one, got none", ""
    numeric = kind in ("int_type", "float_type", "bool_type", "expected", "is_instance_of")
    fix = "remove the quotes" if numeric and isinstance(value, str) and _number(value) else ""
    got = "" if "got " in message or isinstance(value, list | tuple) else f", got {shown(value)}"
    return message[0].lower() + message[1:] + got, fix


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("true", "false")
    return True


def _path(location: tuple[int | str, ...], plain: Mapping[str, Any]) -> Path:
    """The path in the file: without union tags and without pydantic's `[key]`."""
    node: Any = plain
    path: Path = ()
    tag: object = None
    for part in location:
        if part == "[key]" or (tag is not None and part == tag):
            tag = None
            continue
        path = (*path, part)
        parent, node = node, _child(node, part)
        tagged = isinstance(node, Mapping) and _tagged(path)
        tag = node.get("source", node.get("name", _unnamed(path, parent))) if tagged else None
    return path


def _tagged(path: Path) -> bool:
    return path[:1] == ("encoder",) and (len(path) == 2 or path[2:] in (("optimizer",), ("architecture",)))


def _unnamed(path: Path, parent: Any) -> str | None:
    """The member of a union that a table without a name is, in such a table."""
    if path[-1:] != ("architecture",):
        return None
    kind = parent.get("input") if isinstance(parent, Mapping) else None
    return str(named({}, kind)["name"])


def _child(node: Any, part: str | int) -> Any:
    if isinstance(node, Mapping):
        return node.get(str(part))
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return node[part]
    return None


def known_keys(path: Path, plain: Mapping[str, Any]) -> list[str]:
    """The keys that the table at `path` may have, from the JSON Schema.

    >>> known_keys(("adapt", "knn"), {"adapt": {"knn": {}}})
    ['k']
    """
    schema = _schema()
    node: Any = plain
    parent: Any = plain
    definitions = schema["$defs"]
    here: dict[str, Any] = schema
    for part in ("", *path):
        if part != "":
            parent, node = node, _child(node, part)
            others = list(here.get("patternProperties", {}).values()) or [here.get("additionalProperties")]
            here = here.get("properties", {}).get(part) or others[0] or {}
        while "$ref" in here or "discriminator" in here or "anyOf" in here:
            if "discriminator" not in here and "anyOf" in here:  # a table, or a word instead of it
                here = next((one for one in here["anyOf"] if {"$ref", "discriminator", "anyOf"} & set(one)), {})
            elif "discriminator" in here:
                name = here["discriminator"]["propertyName"]
                tag = (node or {}).get(name, _unnamed((part,), parent))
                here = {"$ref": here["discriminator"]["mapping"].get(tag, "")}
            if "$ref" in here:
                here = definitions.get(here["$ref"].rsplit("/", 1)[-1], {})
    return list(here.get("properties", {}))


@cache
def _schema() -> dict[str, Any]:
    return Study.model_json_schema(by_alias=True)
