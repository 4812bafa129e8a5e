"""Hub libraries, told before their first import that there is no network; and their versions."""

from __future__ import annotations

import os
from importlib import metadata
from typing import Any

from limen.data.extras import require
from limen.records.errors import BadInput, Problem

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def hub_library(name: str) -> Any:
    """`transformers` or `sentence_transformers`, imported offline. Raises BadInput naming the extra when missing.

    Variables that the user has set are left alone; models are opened as local files either way.
    """
    offline()
    library = require(name, "hf", "hub models")
    quiet = require("transformers.utils.logging", "hf", "hub models")
    quiet.disable_progress_bar()
    return library


def vision_library(name: str, extra: str) -> Any:
    """`timm` or `open_clip`, imported offline. Raises BadInput when missing, or when torchvision does not fit torch."""
    offline()
    try:
        return require(name, extra, f"{extra} encoders")
    except BadInput:
        raise
    except Exception as error:  # torchvision looks for operators of the torch that it was built for
        first = (str(error).splitlines() or [""])[0][:160]
        cause = f"{versions('torch', 'torchvision')} do not fit each other, or the installation is damaged"
        fix = "install a torchvision made for this torch, best in an environment of its own: docs/encoders.md"
        raise BadInput(Problem(name, f"importing it failed: {type(error).__name__}: {first}", cause, fix)) from None


def offline() -> None:
    """Tell every hub library that is imported after this that there is no network."""
    for key, value in OFFLINE.items():
        os.environ.setdefault(key, value)


def versions(*packages: str) -> dict[str, str]:
    """Installed versions by package name; packages that are not installed are left out.

    >>> sorted(versions("numpy", "no-such-package"))
    ['numpy']
    """
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
