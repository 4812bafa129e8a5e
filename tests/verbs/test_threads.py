"""Whatever number of threads the library takes by itself, fits have one each, and every result says so."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from limen.adapt import fit
from limen.arrays import thread_check
from limen.arrays.environment import environment
from limen.arrays.thread_check import ThreadCheck
from limen.pages.markdown import render_markdown
from limen.pages.page import render_html
from limen.records.report import Report
from limen.verbs import speak
from limen.verbs.budget import budget


def test_fits_in_this_process_have_one_thread_whatever_the_library_takes(monkeypatch) -> None:
    """Seen from inside: the pool while a budget maps its rows, and in its result, in Markdown and on the page."""
    seen, prepare = [], fit.prepare
    monkeypatch.setattr(fit, "prepare", lambda *given: seen.append(environment()["threads"]) or prepare(*given))
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    with threadpool_limits(2, user_api="blas"):
        found = budget(rng.normal(size=(200, 3)) + y[:, None], y, labels=[64], seeds=1, rich_head=False, threads=2)
        report = speak.with_recipe(Report("t", (found,)))
    assert seen == [1]
    assert found.environment["threads"] == 1
    assert report.recipe["environment"] == found.environment
    assert "threads `1`" in render_markdown(report)
    assert "threads</span> <code>1</code>" in render_html(report)


def test_heavy_verbs_warn_once_of_threads_that_slow_products_down(monkeypatch, capsys) -> None:
    slow = ThreadCheck(8, 0.001, 0.1)
    monkeypatch.setattr(thread_check, "checked_once", lambda: slow)
    with speak.working("measuring", quiet=True):
        pass
    assert capsys.readouterr().err == ""
    with speak.working("measuring", quiet=False):
        pass
    assert f"warning: {slow.text()}" in capsys.readouterr().err
    monkeypatch.setattr(thread_check, "checked_once", lambda: ThreadCheck(8, 0.001, 0.0002))
    with speak.working("measuring", quiet=False):
        pass
    assert capsys.readouterr().err == "measuring\n"
