"""`limen init`: a commented study file that runs as it stands, and its JSON Schema for editors."""

from __future__ import annotations

from pathlib import Path

from limen.study.starter import write_starter


def init(folder: str | Path = ".", name: str = "study.toml") -> tuple[Path, Path]:
    """Write the study file and the schema into `folder`; returns their paths. Nothing is overwritten.

    Raises BadInput where the file exists or the folder cannot be written.
    """
    return write_starter(folder, name)
