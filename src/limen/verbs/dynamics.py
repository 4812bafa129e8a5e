"""`limen dynamics RUN`: a recorded run held against the limiting dynamics that theory gives it."""

from __future__ import annotations

from pathlib import Path

from limen.records.dynamics import Dynamics
from limen.records.errors import BadInput, Problem
from limen.records.stage import StageRecord
from limen.study.judged import judge_folder, judge_record

OF_STUDY = "::"


def dynamics(run: str | Path, *, store: str | Path | None = None, data: str | Path | None = None) -> Dynamics:
    """Measured beside predicted for a recording: the folder of `limen.record`, or STUDY::ENCODER[#seed] of a study.

    `store` and `data` are those of `limen run`, for a study. Raises BadInput for a folder without a recording, an
    encoder that was not recorded or did not run, and for curvature or noise of other modes than were recorded.
    """
    text = str(run)
    if OF_STUDY in text:
        return judge_record(text, _of_study(text, store, data))
    if not Path(run).is_dir():
        what = "expected the folder of a recording, got no folder"
        fix = "limen.record(model, optimizer, FOLDER) makes one; STUDY.toml::ENCODER names that of a study"
        raise BadInput(Problem(text, what, fix=fix))
    return judge_folder(text, Path(run))


def _of_study(text: str, store: str | Path | None, data: str | Path | None) -> StageRecord:
    """The record of a study's recorded encoder."""
    from limen.study.reference import parse_reference
    from limen.study.run import Options, open_study

    study, _, encoder = text.partition(OF_STUDY)
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


def write_page(found: Dynamics, output: Path) -> None:
    """Write the verdict as one offline .html page or a .json document. Raises BadInput for another suffix."""
    import json

    if output.suffix == ".json":
        output.write_text(json.dumps(found.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return
    if output.suffix != ".html":
        raise BadInput(Problem(f"-o {output}", "expected a .html or .json file"))
    from limen.pages.dynamics_page import render_page

    output.write_text(render_page(found), encoding="utf-8")
