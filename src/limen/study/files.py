"""Where the data and weights of a study are, what they hold and who they are.

A path is absolute, or relative to the data folder (`--data`, else $LIMEN_DATA) if it is there, else to the study's
folder. `digits`, `digits:train`, `digits:test` are tables bundled with scikit-learn. A model is a local folder, a
weights file, or a hub id `owner/name` with a pinned revision that lies in the local Hugging Face cache.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

BUILTIN = ("digits", "digits:train", "digits:test")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Facts:
    """Rows, and column name → kind."""

    rows: int
    columns: dict[str, str]


@dataclass(slots=True)
class Files:
    """The files of one study. Facts are looked up once; every method raises BadInput for what is not there."""

    folder: Path
    """The study's folder."""
    data: Path | None = None
    """The data folder, None = the study's."""
    _tables: dict[str, Facts] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)

    def table(self, text: str) -> str:
        """What a stage gets for a table: the built-in name or an absolute path."""
        return text if text in BUILTIN else str(self._found(text))

    def describe(self, text: str) -> Facts:
        """Rows and kinds of columns of a table, without reading its data."""
        if text not in self._tables:
            from limen.data.tables import describe  # pyarrow and scikit-learn cost a second: only when asked

            facts = describe(self.table(text))
            self._tables[text] = Facts(facts.rows, dict(facts.columns))
        return self._tables[text]

    def hash(self, text: str) -> str:
        """Who a table is: SHA-256 of its content."""
        if text not in self._hashes:
            from limen.data.fingerprint import content_hash

            self._hashes[text] = content_hash(self.table(text))
        return self._hashes[text]

    def model(self, text: str, revision: str | None = None) -> Path:
        """Where the weights are; the path that was looked for if they are not there."""
        path = self._found(text)
        if path.exists() or revision is None or not hub_id(text):
            return path
        return hub_folder(text, revision)

    def model_hash(self, text: str, revision: str | None = None) -> str:
        """Who the weights are: SHA-256 of a file, or of the names and contents of a folder."""
        path = self.model(text, revision)
        if str(path) not in self._hashes:
            from limen.data.fingerprint import content_hash, folder_hash

            self._hashes[str(path)] = folder_hash(path) if path.is_dir() else content_hash(path)
        return self._hashes[str(path)]

    def _found(self, text: str) -> Path:
        path = Path(text).expanduser()
        places = [root / path for root in (self.data, self.folder) if root is not None]
        return next((place for place in places if place.exists()), places[0]).absolute()


def files_of(study: Path, data: Path | None = None) -> Files:
    """The files of the study at `study`, with `--data` or $LIMEN_DATA."""
    given = data or (Path(os.environ["LIMEN_DATA"]) if os.environ.get("LIMEN_DATA") else None)
    return Files(study.absolute().parent, given)


def hub_id(text: str) -> bool:
    """Whether a path could be the name of a model on the Hugging Face hub.

    >>> hub_id("sentence-transformers/all-MiniLM-L6-v2"), hub_id("models/x/y"), hub_id("./m")
    (True, False, False)
    """
    return _HUB_ID.fullmatch(text) is not None


def hub_folder(name: str, revision: str) -> Path:
    """The folder of one revision in the local Hugging Face cache ($HF_HUB_CACHE, else $HF_HOME/hub)."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    return cache / f"models--{name.replace('/', '--')}" / "snapshots" / revision
