"""By how much noise that grows with distance exceeds a law that holds it constant.

Least squares with Gaussian features: at θ − μ the gradient of one example has variance s_l² + ρ_l tr(HG) + ρ_l²G_l
along mode l, G = Cov θ (theory/sgd/multiplicative). Any law is linear in the noise, Var x_l = g_l s_l²; with the noise
of the motion itself

    Var′ x_l = g_l(s_l² + ρ_l T)/(1 − g_lρ_l²),     T = tr(HG′) = Σ g_lρ_l s_l²/(1 − g_lρ_l²)/(1 − W),
    W = Σ g_lρ_l²/(1 − g_lρ_l²)

and Var′/Var is the ratio. g is that of the run's law: exact for independent batches. Under reshuffling noise that the
motion makes is taken to sum to zero over an epoch as that of the minimum does, which is low: of what 200 replicas of
docs/dynamics.md are hotter than their law (.12 to .15) it says .11, of a smaller data set (.19) .12. Modes outside of
the recorded ones add to T. It says what is to be expected of this kind of noise, no bound.
"""

from __future__ import annotations

import numpy as np

from limen.theory.sgd import Law
from limen.verdict.dynamics.problem import Floats


def multiplicative_ratio(law: Law) -> Floats:
    """Var x_l with noise that grows over Var x_l of the law [k]; infinite from W = 1 on, NaN where the law has none.

    One mode, one example a step, no momentum: 1/(1 − 2gρ²) with g = η/(ρ(2 − ηρ)).

    >>> from limen.theory.sgd import Modes, discrete
    >>> multiplicative_ratio(discrete(Modes([1.0], [1.0], learning_rate=0.4))).round(6).tolist()
    [2.0]
    """
    problem = law.problem
    rho, noise, spread = problem.curvature, problem.noise, law.position_variance
    known = np.isfinite(spread) & (noise > 0) & (rho > 0)
    found = np.full(rho.shape, np.nan)
    g, rho, noise = spread[known] / noise[known], rho[known], noise[known]
    weight = np.broadcast_to(problem.weight, known.shape)[known]
    own = g * rho**2
    feedback = float(weight @ (own / (1 - own))) if (own < 1).all() else np.inf
    if feedback >= 1:
        found[known] = np.inf
        return found
    moved = float(weight @ (g * rho * noise / (1 - own))) / (1 - feedback)
    found[known] = (1 + rho * moved / noise) / (1 - own)
    return found
