"""`limen dynamics RUN`: a recorded run held against the limiting dynamics that theory gives it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from limen.records.dynamics import Dynamics
from limen.records.errors import BadInput, Problem, StoreError
from limen.records.stage import StageRecord
from limen.study.judged import judge_folder, judge_record

OF_STUDY = "::"
FORMATS = (".html", ".json")
RUN_FILE = "run.json"
MAKES = "limen.record(model, optimizer, FOLDER) makes one; STUDY.toml::ENCODER names that of a study"
LISTED = 5
"""Recordings that are named where a folder holds several."""


def dynamics(run: str | Path, *, store: str | Path | None = None, data: str | Path | None = None) -> Dynamics:
    """Measured beside predicted for a recording: the folder of `limen.record`, or STUDY::ENCODER[#seed] of a study.

    `store` and `data` are those of `limen run`, for a study. Raises BadInput for a folder without a recording, an
    encoder that was not recorded or did not run, and for curvature or noise of other modes than were recorded.
    """
    text = str(run)
    if OF_STUDY in text:
        return judge_record(text, _of_study(text, store, data))
    idle = [name for name, given in (("store", store), ("data", data)) if given is not None]
    problems = [Problem(name, f"is for STUDY::ENCODER, and {text!r} is no study's encoder") for name in idle]
    problems += _of_folder(text)
    if problems:
        raise BadInput(problems)
    return judge_folder(text, Path(run))


def _of_folder(text: str) -> list[Problem]:
    """What speaks against a recording at this place."""
    path = Path(text)
    if not text.strip():
        return [Problem("RUN", "expected the folder of a recording, got an empty name", fix="limen dynamics FOLDER")]
    if path.is_file():
        if path.suffix == ".toml":
            what = "expected the folder of a recording, got a study file without an encoder"
            return [Problem(text, what, fix=f"limen dynamics {shlex.quote(text + OF_STUDY)}ENCODER")]
        inside = f"limen dynamics {shlex.quote(str(path.parent))}" if (path.parent / RUN_FILE).exists() else ""
        return [Problem(text, "expected the folder of a recording, got a file", fix=inside or MAKES)]
    if not path.is_dir():
        return [Problem(text, "expected the folder of a recording, got no folder", fix=MAKES)]
    if (path / RUN_FILE).exists():
        return []
    below = sorted(str(at.parent) for at in path.glob(f"*/{RUN_FILE}"))
    more = f" and {len(below) - LISTED} more" if len(below) > LISTED else ""
    what = f"expected the folder of a recording, found no {RUN_FILE} in it"
    fix = f"one of the recordings in it: {', '.join(below[:LISTED])}{more}" if below else MAKES
    return [Problem(text, what, fix=fix)]


def _of_study(text: str, store: str | Path | None, data: str | Path | None) -> StageRecord:
    """The record of a study's recorded encoder."""
    from limen.study.reference import parse_reference
    from limen.study.run import Options, open_study

    study, _, encoder = text.partition(OF_STUDY)
    if (Path(study) / RUN_FILE).exists():
        what = f"expected a study file before {OF_STUDY}, got the folder of a recording"
        raise BadInput(Problem(text, what, fix=f"limen dynamics {shlex.quote(study)}"))
    opened = open_study(
        Path(study),
        Options(data=None if data is None else Path(data), store=None if store is None else Path(store), yes=True),
    )
    recorded = {str(at): key for at, key in opened.plan.pretrained.items() if _records(opened, at.name)}
    try:
        name = str(parse_reference(encoder))
    except ValueError as error:
        raise BadInput(Problem(text, str(error))) from None
    if name not in recorded:
        listed = ", ".join(recorded) or "none"
        fix = 'record = "dynamics" in its [encoder.NAME]'
        raise BadInput(Problem(text, f"expected a recorded encoder of the study ({listed}), got {encoder!r}", fix=fix))
    if not opened.store.has(recorded[name]):
        raise BadInput(Problem(text, "its run is not published yet", fix=f"limen run {study}"))
    return opened.store.load(recorded[name])


def _records(opened: object, name: str) -> bool:
    return getattr(opened.study.encoder[name], "record", None) is not None  # type: ignore[attr-defined]


def check_page(output: Path) -> None:
    """Fail before any work where a verdict could not be written, or would replace a file of someone else."""
    from limen.verbs.report import check_output

    if output.suffix not in FORMATS:
        what = f"expected a file ending in {' or '.join(FORMATS)}, got {output.suffix or 'no suffix'}"
        raise BadInput(Problem(f"-o {output}", what, fix=f"-o {output.with_suffix('.html')}"))
    if not _own_document(output):
        check_output(output)


def _own_document(path: Path) -> bool:
    """Whether it is the .json of an earlier verdict, which another may replace."""
    if path.suffix != ".json" or not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(64).removeprefix("{").lstrip().startswith('"schema": "limen.dynamics/')
    except OSError:
        return False


def write_page(found: Dynamics, output: Path) -> None:
    """Write the verdict as one offline .html page or a .json document, whole or not at all.

    Raises BadInput as `check_page` does, StoreError when the disk refuses.
    """
    check_page(output)
    temporary = output.with_name(f".{output.name}.tmp")
    try:
        temporary.write_text(_rendered(found, output.suffix), encoding="utf-8")
        temporary.replace(output)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        what = f"it cannot be written: {error.strerror} (errno {error.errno})"
        raise StoreError(Problem(str(output), what, fix="free space, or write elsewhere with -o")) from error


def _rendered(found: Dynamics, suffix: str) -> str:
    if suffix == ".json":
        return json.dumps(found.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    from limen.pages.dynamics_page import render_page

    return render_page(found)
