"""Counts, bytes and seconds as a person would say them: one way for messages, forecasts, progress and pages."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number of things.

    >>> counted(1, "label"), counted(7500, "label"), counted(2, "class", "classes")
    ('1 label', '7,500 labels', '2 classes')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def human(count: float) -> str:
    """Bytes in the unit a person would use; kB, MB, GB, TB are powers of 1000.

    >>> human(999), human(1_500_000), human(40_000_000), human(1_234_567_890), human(2.5e15)
    ('999 B', '1.5 MB', '40.0 MB', '1.2 GB', '2,500.0 TB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def duration(seconds: float) -> str:
    """Seconds in the unit a person would use.

    >>> duration(12.3), duration(180), duration(36_000), duration(3_600_000)
    ('12 s', '3 min', '10 h', '42 days')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:,.0f} days"
