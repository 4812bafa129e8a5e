"""The check times a real product, warns where threads cost more than they bring, and says what was measured."""

from __future__ import annotations

import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from limen.arrays import thread_check as module
from limen.arrays.thread_check import SLOWER, checked_once, product_seconds, thread_check


def pool() -> int:
    return max(p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas")


@pytest.mark.parametrize(("factor", "slowed"), [(20.0, True), (SLOWER * 1.01, True), (SLOWER, False), (0.5, False)])
def test_it_warns_exactly_where_threads_take_much_longer(factor, slowed):
    with threadpool_limits(2, user_api="blas"):
        if pool() < 2:
            pytest.skip("this BLAS has no threads")
        found = thread_check(lambda threads: 0.004 * (factor if threads > 1 else 1.0))
    assert (found.threads, found.slowed) == (2, slowed)
    assert "4.0 ms on 1 thread" in found.text()
    assert f"{4 * factor:.1f} ms on the 2" in found.text()
    for words in ("likely cause", "next step", "OPENBLAS_NUM_THREADS=1"):
        assert (words in found.text()) == slowed


def test_one_thread_is_timed_once_and_never_warned_of():
    asked = []
    with threadpool_limits(1, user_api="blas"):
        found = thread_check(lambda threads: asked.append(threads) or 1.0)
    assert asked == [1]
    assert not found.slowed
    assert "the 1 thread" in found.text()


def test_the_product_is_timed_on_the_threads_asked_for_and_the_pool_is_left_as_it_was(monkeypatch):
    seen, matmul, before = [], np.matmul, pool()

    def watched(*arrays, **more):  # the product itself runs
        seen.append(pool())
        return matmul(*arrays, **more)

    monkeypatch.setattr(module.np, "matmul", watched)
    with threadpool_limits(1, user_api="blas"):
        assert 0 < product_seconds(1) < 5
    assert set(seen) == {1}
    assert pool() == before


def test_a_pinned_check_is_quick_and_made_once():
    with threadpool_limits(1, user_api="blas"):
        thread_check()
        spent = []
        for _ in range(5):
            start = time.process_time()
            thread_check()
            spent.append(time.process_time() - start)
    assert min(spent) < 0.05
    assert checked_once() is checked_once()
