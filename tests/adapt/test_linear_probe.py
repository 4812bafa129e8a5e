from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from limen.adapt.linear_probe import LinearProbe


@pytest.mark.filterwarnings("ignore")  # the checks themselves warn; ours are errors elsewhere
@parametrize_with_checks([LinearProbe(), LinearProbe(loss="squared")])
def test_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)
