"""`limen run`: do what is missing of a study, resume what was cut."""

from __future__ import annotations

from pathlib import Path

from limen.study.run import Options, RunResult, run_study


def run(
    study: str | Path,
    *,
    workers: int = 1,
    executor: str = "local",
    data: str | Path | None = None,
    store: str | Path | None = None,
    yes: bool = False,
    quiet: bool = True,
) -> RunResult:
    """Run every cell of the study that is not published yet; the same call continues after any interruption.

    Returns counts, outcomes and the report of everything that is there (`RunResult.report`).
    Raises BadInput for a study that cannot run, StoreError when another run holds the store or the disk refuses.
    """
    options = Options(
        workers=workers,
        executor=executor,
        data=None if data is None else Path(data),
        store=None if store is None else Path(store),
        yes=yes,
        quiet=quiet,
    )
    return run_study(study, options)
