"""Where the data and weights of a study are, what they hold and who they are.

A path is absolute, or relative to the data folder (`--data`, else $LIMEN_DATA) if it is there, else to the study's
folder. `digits`, `digits:train`, `digits:test` are tables bundled with scikit-learn, `world:NAME` and
`world:NAME:heldout` those of a world whose least pretraining loss is known. A model is a local folder, a
weights file, or a hub id `owner/name` with a pinned revision that lies in the local Hugging Face cache.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from limen.data.worlds.pretraining.names import SOURCES
from limen.records.errors import BadInput, Problem

DIGITS = ("digits", "digits:train", "digits:test")
BUILTIN = (*DIGITS, *SOURCES)


@dataclass(frozen=True, slots=True)
class Facts:
    """Rows, and column name → kind."""

    rows: int
    columns: dict[str, str]
    table: str = ""
    """The table as the study names it."""


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
            self._tables[text] = Facts(facts.rows, dict(facts.columns), text)
        return self._tables[text]

    def hash(self, text: str) -> str:
        """Who a table is: SHA-256 of its content."""
        if text not in self._hashes:
            from limen.data.fingerprint import content_hash

            self._hashes[text] = content_hash(self.table(text))
        return self._hashes[text]

    def model(self, text: str, revision: str | None = None) -> Path:
        """Where the weights are. Raises BadInput if not on this machine, with the command that fetches them."""
        path = self._found(text)
        if path.exists():
            return path
        from limen.models.folder import HUB_ID, model_folder

        if not HUB_ID.fullmatch(text) or Path(text).is_dir():  # a folder of the caller's directory is not the study's
            raise BadInput(Problem(str(path), "there is no such file or folder", fix="check it, or pass --data DIR"))
        return model_folder(text, revision)

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
