"""Every interval and test of the project under one name: finite-sample bounds, t, resampling, paired tests.

Which to use: `bounded` where the grade is to be certified; `means` for losses of many rows or a few seeds; `resampling`
for statistics without a variance formula; `paired_tests` for two models scored on the same rows.
"""

from __future__ import annotations

from limen.arrays.bounded import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    hoeffding_deviation,
    kl_lower,
    kl_upper,
    maurer_pontil_upper,
)
from limen.arrays.means import (
    Interval,
    Mean,
    cluster_mean,
    mean_difference,
    mean_of,
    student_interval,
    student_quantile,
    t_interval,
    t_lower,
    t_upper,
    welch_interval,
)
from limen.arrays.paired_tests import holm, mcnemar_exact
from limen.arrays.resampling import bca_interval, jackknife

__all__ = [
    "Interval",
    "Mean",
    "bca_interval",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "cluster_mean",
    "hoeffding_deviation",
    "holm",
    "jackknife",
    "kl_lower",
    "kl_upper",
    "maurer_pontil_upper",
    "mcnemar_exact",
    "mean_difference",
    "mean_of",
    "student_interval",
    "student_quantile",
    "t_interval",
    "t_lower",
    "t_upper",
    "welch_interval",
]
