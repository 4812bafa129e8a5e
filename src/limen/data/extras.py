"""Optional libraries: imported when first needed, named with their extra when missing."""

from __future__ import annotations

import importlib
from typing import Any

from limen.records.errors import BadInput, Problem


def require(module: str, extra: str, purpose: str) -> Any:
    """The module, or BadInput that says which extra brings it (`pip install` in a checkout of limen).

    >>> require("math", "torch", "roots").sqrt(4.0)
    2.0
    >>> require("no_such_library", "hf", "sentence encoders")
    Traceback (most recent call last):
    limen.records.errors.BadInput: no_such_library: error: sentence encoders need a library that is not installed
      fix:   pip install '.[hf]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in (module.partition(".")[0], ""):
            cause = f"importing {module} failed: {error}"
        else:
            cause = ""
        what = f"{purpose} need a library that is not installed"
        raise BadInput(Problem(module, what, cause, f"pip install '.[{extra}]'")) from None
