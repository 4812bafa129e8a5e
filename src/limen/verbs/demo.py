"""`limen demo`: the whole chain offline on a laptop, on the digits that scikit-learn bundles.

Pretrains a small convolutional encoder without labels (NT-Xent), keeps eight checkpoints, adapts linear probes on each
and on raw pixels, and writes one page: five losses, their gaps, budgets, curves, the interface along checkpoints.
"""

from __future__ import annotations

from pathlib import Path

from limen.records.errors import BadInput, Problem
from limen.study.run import RunResult
from limen.verbs.report import check_output, write_report
from limen.verbs.run import run

STUDY = """\
# The whole chain on scikit-learn's digits: `limen run study.toml` does what is missing, `limen report` draws it.
name = "digits"
seed = 0

[encoder.pixels]
source = "pixels"
input = "image"

[encoder.scratch]                      # pretrained here, without labels
source = "pretrain"
input = "image"
data = "digits:train"
heldout = 0.25
objective = "nt-xent"
architecture = { name = "conv", width = 16 }
steps = 960
batch_size = 32
optimizer = { name = "adam", learning_rate = 3e-3 }
checkpoints = 8                        # log-spaced; each is an encoder of its own

[task.digits]
train = "digits:train"
test = "digits:test"
input = "image"
label = "label"
same_population = true                 # the test rows are the holdout

[adapt]
methods = ["linear-probe"]
labels = [50, 100, 200, 400, "all"]
seeds = 3

[advice]
target = { loss = 0.1 }
"""


MARK = STUDY.splitlines()[0]
"""First line of the study: a folder whose study.toml does not begin with it is not the demo's."""


def demo(folder: str | Path = "limen-demo", *, workers: int = 2, quiet: bool = True) -> tuple[RunResult, Path]:
    """Run the demo in `folder`; a second call resumes. Returns the result and the path of the page.

    Raises BadInput for a folder that holds other things (another study among them), for a report.html that Limen did
    not write, and where the torch extra is missing; then nothing is left behind.
    """
    folder = Path(folder)
    study, page = folder / "study.toml", folder / "report.html"
    _check(folder, study)
    new_folder, new_study = not folder.exists(), not study.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_output(page)
        if new_study:
            study.write_text(STUDY, encoding="utf-8")
    except OSError as error:
        raise BadInput(Problem(str(folder), f"it cannot be written: {error.strerror}")) from error
    try:
        result = run(study, workers=workers, quiet=quiet)
    except BadInput:
        if new_study and [*folder.iterdir()] in ([], [study]):
            study.unlink(missing_ok=True)
            if new_folder:
                folder.rmdir()
        raise
    write_report(result.report, page)
    return result, page


def _check(folder: Path, study: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise BadInput(Problem(str(folder), "this is a file, expected a folder to write to", fix="limen demo NEW-DIR"))
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not study.exists():
        what = "this folder is not empty and holds no study.toml of the demo; nothing was written"
    elif not _is_the_demo(study):
        what = f"this folder holds another study, {study.name}, not the demo's; nothing was written"
    else:
        return
    raise BadInput(Problem(str(folder), what, fix="limen demo NEW-DIR"))


def _is_the_demo(study: Path) -> bool:
    try:
        return study.read_text("utf-8").startswith(MARK)
    except (OSError, UnicodeDecodeError):
        return False
