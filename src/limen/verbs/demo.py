"""`limen demo`: the whole chain offline on a laptop, on the digits that scikit-learn bundles.

Pretrains a small convolutional encoder without labels (NT-Xent), keeps eight checkpoints, adapts linear probes on each
and on raw pixels, and writes one page: five losses, their gaps, budgets, curves, the interface along checkpoints.
"""

from __future__ import annotations

from pathlib import Path

from limen.records.errors import BadInput, Problem
from limen.study.run import RunResult
from limen.verbs.report import write_report
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


def demo(folder: str | Path = "limen-demo", *, workers: int = 2, quiet: bool = True) -> tuple[RunResult, Path]:
    """Run the demo in `folder`; a second call resumes. Returns the result and the path of the page.

    Raises BadInput for a folder that holds other things, and where the torch extra is missing.
    """
    folder = Path(folder)
    study = folder / "study.toml"
    if folder.exists() and not folder.is_dir():
        raise BadInput(Problem(str(folder), "this is a file, expected a folder to write to", fix="limen demo NEW-DIR"))
    if folder.is_dir() and any(folder.iterdir()) and not study.exists():
        what = "this folder is not empty and holds no study.toml of the demo; nothing was written"
        raise BadInput(Problem(str(folder), what, fix="limen demo NEW-DIR"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not study.exists():
            study.write_text(STUDY, encoding="utf-8")
    except OSError as error:
        raise BadInput(Problem(str(folder), f"it cannot be written: {error.strerror}")) from error
    result = run(study, workers=workers, quiet=quiet)
    page = folder / "report.html"
    write_report(result.report, page)
    return result, page
