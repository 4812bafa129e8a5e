"""A coordinator that tests can kill: runs the grid of `cells_for_tests` and prints every acknowledged key."""

from __future__ import annotations

import sys
from pathlib import Path

from cells_for_tests import grid

from limen.cluster import Event, Pool, Work, run_cells
from limen.records.errors import LimenError
from limen.store import Store


def main(root: Path, count: int, sleep: float) -> int:
    store = Store(root)
    cells = grid(count, sleep=sleep, journal=str(root.with_suffix(".journal")))

    def tell(event: Event) -> None:
        if event.kind == "finished":
            print("acknowledged", event.key, flush=True)

    writer = store.writer
    with store.coordinate() as recovery:
        print("recovery", recovery, flush=True)
        work = Work(
            "cells_for_tests:run_stage",
            writer.load,
            writer.publish,
            store.has,
            lambda cell: store.adopt(cell.key),
            store.fail,
        )
        missing = [cell for cell in cells if not store.has(cell.key)]
        return run_cells(missing, work, Pool(workers=2), tell).exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
    except LimenError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
