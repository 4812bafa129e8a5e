"""All studies: `python -m benchmarks.validation [--quick] [--only STUDY,…] [--folder DIR]`.

Progress on standard error, Markdown tables on standard output or in --output FILE; --into docs/validation.md puts them
at their places in that page too. Finished cells are kept in the folder
($LIMEN_CACHE or ~/.cache/limen, under validation): a run that was killed goes on where it was.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported

import argparse
import importlib
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .cells import Cell, collect, run
from .page import with_tables

STUDIES = ("finite", "sides", "midpoint", "few_rows", "path", "comparison", "upper", "row_ball", "asymptote",
           "least_squares", "sandwich", "loss_ends", "group_means", "class_gap")  # fmt: skip
LEGEND = (
    "† the rule was chosen on worlds of this law. **↓** below nominal beyond chance (upper 99 % Clopper-Pearson "
    "limit); ↑ above 97 % beyond chance: cautious."
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few repetitions of everything, under two minutes")
    parser.add_argument("--only", default=",".join(STUDIES), help="studies, with commas between them")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=_folder(), help="where finished cells are kept")
    parser.add_argument("--fresh", action="store_true", help="forget the finished cells first")
    parser.add_argument("--output", type=Path, help="write the tables there")
    parser.add_argument("--into", type=Path, help="put the tables at their places in this page")
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    if unknown := sorted(set(names) - set(STUDIES)):
        parser.error(f"unknown study {', '.join(unknown)}; expected some of {', '.join(STUDIES)}")
    if options.fresh and options.folder.is_dir():
        shutil.rmtree(options.folder)
    studies = {name: importlib.import_module(f"{__package__}.{name}") for name in names}
    cells: dict[str, list[Cell]] = {name: study.cells(options.quick) for name, study in studies.items()}
    began = time.perf_counter()
    every = [cell for name in names for cell in cells[name]]
    cached = run(every, options.folder, options.workers, sys.stderr)
    text, foreign, tables = f"{LEGEND}\n", 0, {}
    for name, study in studies.items():
        found = collect(cells[name], options.folder)
        foreign += sum(at.foreign for at in found)
        tables[name] = study.report(found)
        text += f"\n## {study.TITLE}\n\n{tables[name]}\n"
    text += f"\n{len(every)} cells, {cached} of them from the folder, {foreign} computed by other sources than these.\n"
    if options.into is not None:
        options.into.write_text(with_tables(options.into.read_text(), tables))
    if options.output is None:
        print(text)
    else:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text)
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)
    return 0


def _folder() -> Path:
    return Path(os.environ.get("LIMEN_CACHE") or Path.home() / ".cache" / "limen") / "validation"


if __name__ == "__main__":
    raise SystemExit(main())
