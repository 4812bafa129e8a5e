"""Does a matrix product get slower by the library's own threads? One product timed with 1 thread and as configured.

BLAS threads share one product; where other processes hold the processors (containers with fewer of them than the
library counts, one worker per processor, two libraries with a pool each) its threads wait for each other, and a product
takes many times as long as on one thread. Limen gives every fit one BLAS thread and runs fits side by side, so its own
figures do not depend on this; those of an unpinned baseline beside it do, and are never quoted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

SHAPE = (64, 768, 1024)
"""float32 [64, 768] @ [768, 1024]: scores of one block of rows; about 1.5 ms on one thread."""
REPEATS = 4
MOST_SECONDS = 0.01
"""No further repeat of one setting after this time: a check costs 20 ms, or a few products where they are slow."""
SLOWER = 1.5
"""Threads slow a product down where it takes more than this many times as long as on one."""


@dataclass(frozen=True, slots=True)
class ThreadCheck:
    """Least seconds of one product on one thread and on as many as the library takes by itself."""

    threads: int
    one: float
    configured: float

    @property
    def slowed(self) -> bool:
        """Whether threading costs more than it brings."""
        return self.threads > 1 and self.configured > SLOWER * self.one

    def text(self) -> str:
        """What was measured, and where threads slow the product down, the likely cause and what to do.

        >>> print(ThreadCheck(8, 0.003, 0.0012).text())
        a product takes 3.0 ms on 1 thread, 1.2 ms on the 8 that the library takes by itself
        """
        if self.threads == 1:
            return f"a product takes {1e3 * self.one:.1f} ms on the 1 thread that the library takes by itself"
        said = (
            f"a product takes {1e3 * self.one:.1f} ms on 1 thread, {1e3 * self.configured:.1f} ms on the "
            f"{self.threads} that the library takes by itself"
        )
        return f"{said}; {CAUSE}; {FIX}" if self.slowed else said


CAUSE = "likely cause: other processes hold the processors, or the library counts more of them than this one may use"
FIX = "next step: set OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 and run processes side by side (Limen's fits do so)"


def thread_check(timed: Callable[[int], float] | None = None) -> ThreadCheck:
    """The check; `timed` gives the seconds of a product on so many threads (default: it is run and timed).

    >>> thread_check(lambda threads: 0.5 * threads).configured >= 0.5
    True
    """
    pools = [int(pool["num_threads"]) for pool in threadpool_info() if pool["user_api"] == "blas"]
    threads = max(pools, default=1)
    timed = timed or product_seconds
    one = timed(1)
    return ThreadCheck(threads, one, timed(threads) if threads > 1 else one)


@cache
def checked_once() -> ThreadCheck:
    """The check, made the first time that a process asks."""
    return thread_check()


def product_seconds(threads: int) -> float:
    """Least seconds of the product on so many BLAS threads, the first call not counted.

    >>> 0 < product_seconds(1) < 5
    True
    """
    m, k, n = SHAPE
    a, b, out = (np.ones(shape, dtype=np.float32) for shape in ((m, k), (k, n), (m, n)))
    least = np.inf
    with threadpool_limits(limits=threads, user_api="blas"):
        begun = time.perf_counter()
        for repeat in range(REPEATS + 1):
            start = time.perf_counter()
            np.matmul(a, b, out=out)
            end = time.perf_counter()
            if repeat or end - begun > MOST_SECONDS:
                least = min(least, end - start)
            if end - begun > MOST_SECONDS:
                break
    return float(least)
