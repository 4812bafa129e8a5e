"""`limen dynamics RUN`: a recorded run held against the limiting dynamics that theory gives it."""

from __future__ import annotations

from pathlib import Path

from limen.records.dynamics import Dynamics
from limen.records.errors import BadInput, Problem


def dynamics(run: str | Path) -> Dynamics:
    """Measured beside predicted for the recording in folder `run`, with the curvature and noise attached to it.

    Raises BadInput for a folder without a recording, and for curvature or noise of other modes than were recorded.
    """
    from limen.measure.dynamics.attach import attached
    from limen.measure.recorder.read import read_run
    from limen.verdict.dynamics.judge import judge

    folder = Path(run)
    if not folder.is_dir():
        what = "expected the folder of a recording, got no folder"
        raise BadInput(Problem(str(run), what, fix="limen.record(model, optimizer, FOLDER) makes one"))
    return judge(str(run), read_run(folder), *attached(folder))


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
