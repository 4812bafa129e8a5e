"""The command line: parse, call one function of `limen.verbs`, print. Nothing is computed here."""

from __future__ import annotations


def main() -> None:
    """Entry point of `limen`."""
