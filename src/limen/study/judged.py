"""The verdict on a recorded run of a study: what its record holds of a recording, held against theory.

A verdict is a pure function of the recording, so it is not stored: a report and `limen dynamics` derive it alike.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from limen.records.dynamics import Dynamics
from limen.records.errors import BadInput
from limen.records.report import Recorded
from limen.records.stage import StageRecord


def judge_folder(run: str, folder: Path) -> Dynamics:
    """The verdict on the recording in a folder, under the name `run`.

    Raises BadInput where the folder holds no recording, where nothing of it is usable, and for curvature or noise of
    other modes than were recorded.
    """
    from limen.measure.dynamics.attach import attached
    from limen.measure.recorder.read import read_run
    from limen.verdict.dynamics.judge import judge

    return judge(run, read_run(folder), *attached(folder))


def judge_record(run: str, record: StageRecord) -> Dynamics:
    """The verdict on the recording in the record of a pretraining run. Raises BadInput as `judge_folder` does."""
    from limen.study.recording import unpack_recording

    with tempfile.TemporaryDirectory() as name:
        unpack_recording(record, Path(name))
        return judge_folder(run, Path(name))


def recorded(encoder: str, run: str, record: StageRecord) -> Recorded:
    """The verdict as a part of a report: a recording that allows none says why.

    >>> recorded("net", "study.toml::net", StageRecord("pretrain", 1, {}, {})).reason
    'expected a recording, found no run.json'
    """
    try:
        return Recorded(encoder, judge_record(run, record))
    except BadInput as error:
        return Recorded(encoder, None, "; ".join(problem.what for problem in error.problems))
