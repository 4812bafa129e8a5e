"""`limen check`: everything that keeps a study from running, and what running it would cost."""

from __future__ import annotations

from limen.study.check import CheckReport, check

__all__ = ["CheckReport", "check"]
