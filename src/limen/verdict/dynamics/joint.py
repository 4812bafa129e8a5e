"""All temperatures against their law at once.

Mode i of k has z_i = (T_i − law)/error, T_i from B_i batches: p_i = 2·P(t > |z_i|), Student's t with B_i − 1 degrees of
freedom. Modes share examples, batches and the measurement of noise, so their z depend on each other in unknown ways:
the joint p is min(1, k·min p_i), Holm's least, which holds under every dependence. It sees one mode far from its law; a
small shift of all of them shows in identity F, which sums over modes.
"""

from __future__ import annotations

from collections.abc import Sequence

from scipy import stats

from limen.arrays.paired_tests import holm
from limen.records.dynamics import Compared


def joint_p(found: Sequence[Compared]) -> float | None:
    """Least p after Holm's correction over those that have z and batches; None where none has.

    >>> from limen.records.estimate import Estimate
    >>> measured = Estimate(1.0, 0.9, 1.1, 0.95, "statistical", 21)
    >>> round(joint_p([Compared(measured, 1.2, z) for z in (-3.0, 0.5, 1.0)]), 4)
    0.0212
    >>> joint_p([Compared(measured, None, None, "no prediction")]) is None
    True
    """
    counted = [(at.z, at.measured.n or 0) for at in found if at.z is not None]
    tested = [(abs(z), batches - 1) for z, batches in counted if batches > 1]
    if not tested:
        return None
    return float(min(holm([2 * float(stats.t.sf(z, freedom)) for z, freedom in tested])))
