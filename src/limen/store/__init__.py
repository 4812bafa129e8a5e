"""What a study has computed, kept so that no crash, kill or full disk loses or corrupts it.

Files are the truth (`runs/<key>/`, published by rename), the SQLite ledger is an index that can be rebuilt, and one
coordinator at a time writes. Workers get `store.writer`, which is picklable and needs no ledger:

    store = Store(Path("study.limen"))
    with store.coordinate() as recovery:           # StoreError (exit 3) when another run holds the store
        print(recovery)                            # "1 result recovered from disk", or nothing
        missing = [cell for cell in cells if not store.has(cell.key)]
        work = Work("limen.study.stages:run_stage", store.writer.load, store.writer.publish,
                    has=store.has, acknowledge=lambda cell: store.adopt(cell.key), refuse=store.fail)
        summary = run_cells(missing, work, Pool(workers=2), on_event)          # limen.cluster
    record = store.load(key, verify=True)          # arrays are memory-mapped
"""

from __future__ import annotations

from limen.store.explain import Difference, Explanation
from limen.store.failures import Failure
from limen.store.ledger import Row
from limen.store.lock import Holder
from limen.store.recovery import Freed, Recovery
from limen.store.store import Store
from limen.store.writer import Writer

__all__ = [
    "Difference",
    "Explanation",
    "Failure",
    "Freed",
    "Holder",
    "Recovery",
    "Row",
    "Store",
    "Writer",
]
