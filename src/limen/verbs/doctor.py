"""`limen doctor`: this machine, the libraries and their threads, and a store."""

from __future__ import annotations

from limen.store.doctor import DoctorReport, doctor

__all__ = ["DoctorReport", "doctor"]
