"""Which arguments of `curvature` make no sense, all of them at once, before any gradient is paid for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from limen.arrays.krylov import Ends, Wanted
from limen.arrays.spectral_density import Probing
from limen.records.curvature import Curvature
from limen.records.errors import BadInput, Problem

ENDS = ("magnitude", "largest", "both")
TRACE_PROBES = 8
LEAST_FOR_TRACE = 4
"""Parameters: two probes take the images of two, and leave as many out."""
SPARE = 2
"""Rows that a basis needs beside the wanted ones."""


@dataclass(frozen=True, slots=True)
class Search:
    """How pairs are looked for; see `limen.arrays.krylov.Wanted`."""

    ends: Ends = "magnitude"
    basis: int | None = None
    """Rows kept at most, at least modes + 2."""
    products: int | None = None
    """Products at most, at least one a mode; what has not converged by then is returned as such."""
    check: int = 4
    """Steps of the search for missed copies; 0: none."""


def wanted_pairs(size: int, asked: tuple[Any, Any, int], search: Any, others: Sequence[Problem]) -> Wanted:
    """What to search for among `size` parameters: modes, tolerance and seed `asked`.

    Raises BadInput with the problems of these and `others`.
    """
    (modes, tolerance, seed), problems = asked, [*others]
    if not _whole(modes) or not 1 <= modes <= size:
        what = f"expected 1 to {size:,} modes, one a parameter at most, got {modes!r}"
        problems.append(Problem("modes", what))
    if not _number(tolerance) or not 0 < tolerance < 1:
        problems.append(Problem("tolerance", f"expected a number between 0 and 1, got {tolerance!r}", fix="1e-3"))
    if not isinstance(search, Search):
        problems.append(Problem("search", f"expected limen.measure.curvature.arguments.Search, got {search!r}"))
        search = Search()
    problems += _of_search(search, modes if _whole(modes) else 1, size)
    if problems:
        raise BadInput(problems)
    return Wanted(int(modes), search.ends, float(tolerance), search.basis, search.products, search.check, seed)


def problems_of_probes(size: int, density: Any, trace: Any) -> list[Problem]:
    """What is wrong with the probing of density and trace of a matrix [size, size]."""
    problems: list[Problem] = []
    if density is not None and not isinstance(density, (bool, Probing)):
        problems.append(Problem("density", f"expected True, False or Probing(probes, steps), got {density!r}"))
    if isinstance(density, Probing) and not (_whole(density.probes) and density.probes >= 2):
        problems.append(Problem("density.probes", f"expected at least 2 for a band, got {density.probes!r}", fix="8"))
    if isinstance(density, Probing) and not (_whole(density.steps) and density.steps >= 1):
        problems.append(Problem("density.steps", f"expected at least 1, got {density.steps!r}", fix="40"))
    if trace is False or trace is None or (_whole(trace) and trace == 0):
        return problems
    if trace is not True and not (_whole(trace) and trace >= 2):
        what = f"expected 2 probes or more, for an error, or True, got {trace!r}"
        problems.append(Problem("trace", what, fix=f"True takes {TRACE_PROBES}"))
    elif size < LEAST_FOR_TRACE:
        what = f"expected {LEAST_FOR_TRACE} parameters or more for probes, got {size}"
        problems.append(Problem("trace", what, fix=f"modes={size}: the trace is the sum of all eigenvalues"))
    return problems


def problems_of_start(size: int, start: Any, memory: Any) -> list[Problem]:
    """What is wrong with a start in `size` parameters, and with a limit of memory."""
    problems: list[Problem] = []
    if memory is not None and not (_whole(memory) and memory > 0):
        what = f"expected bytes above 0, or None, got {memory!r}"
        problems.append(Problem("memory", what, fix="memory=2 * 1024**3"))
    if start is None:
        return problems
    vectors = start.vectors if isinstance(start, Curvature) else np.asarray(start)
    if vectors.ndim not in (1, 2) or not vectors.size or vectors.shape[-1] != size:
        what = f"expected vectors of {size:,} numbers, got shape {vectors.shape}"
        problems.append(Problem("start", what, cause="a start from other parameters or another model"))
    elif vectors.dtype.kind not in "fiu" or not np.isfinite(vectors).all():
        what = f"expected finite vectors, got {'NaN or infinity' if vectors.dtype.kind == 'f' else vectors.dtype}"
        problems.append(Problem("start", what))
    return problems


def _of_search(search: Search, modes: int, size: int) -> list[Problem]:
    problems = []
    if search.ends not in ENDS:
        problems.append(Problem("search.ends", f"expected magnitude, largest or both, got {search.ends!r}"))
    least = min(size, modes + SPARE)
    if search.basis is not None and not (_whole(search.basis) and search.basis >= least):
        what = f"expected {least} rows or more for {modes} modes, or None, got {search.basis!r}"
        problems.append(Problem("search.basis", what, fix="None takes 8 a mode"))
    if search.products is not None and not (_whole(search.products) and search.products >= modes):
        what = f"expected {modes} products or more, one a mode, or None, got {search.products!r}"
        problems.append(Problem("search.products", what, fix="None takes 60 a mode at most"))
    if not (_whole(search.check) and search.check >= 0):
        what = f"expected steps of 0 or more, got {search.check!r}"
        problems.append(Problem("search.check", what, fix="4; 0 looks for no copies"))
    return problems


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and math.isfinite(value)
