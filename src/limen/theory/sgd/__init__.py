"""Limiting dynamics of SGD: one file per statement, the same answers in the same units from each law.

from limen.theory import sgd
law = sgd.discrete(sgd.Modes(curvature=[0.1, 1.0], noise=[0.1, 1.0], learning_rate=0.1, momentum=0.9, batch_size=32))
law.displacement([1, 10, 100])
"""

from limen.theory.sgd.averaging import excess_loss_saved, exponential_average, two_checkpoints, window_average
from limen.theory.sgd.discrete import Discrete, discrete
from limen.theory.sgd.epoch import Epoch, epoch
from limen.theory.sgd.langevin import Langevin, langevin
from limen.theory.sgd.law import Law, Unstable
from limen.theory.sgd.matrices import StationaryCovariance, identities, stationary_covariance
from limen.theory.sgd.multiplicative import GaussianRegression, finite_data_covariance, gaussian_regression
from limen.theory.sgd.phase_space import PhaseSpace, phase_space
from limen.theory.sgd.problem import Modes
from limen.theory.sgd.same_order import same_order_displacement, same_order_variance
from limen.theory.sgd.scaling import Rescaled, continuous_share, correction, rescale, validity
from limen.theory.sgd.simulate import Simulated, simulate, simulate_regression

__all__ = [
    "Discrete", "Epoch", "GaussianRegression", "Langevin", "Law", "Modes", "PhaseSpace", "Rescaled", "Simulated",
    "StationaryCovariance", "Unstable", "continuous_share", "correction", "discrete", "epoch", "excess_loss_saved",
    "exponential_average", "finite_data_covariance", "gaussian_regression", "identities", "langevin", "phase_space",
    "rescale", "same_order_displacement", "same_order_variance", "simulate", "simulate_regression",
    "stationary_covariance", "two_checkpoints", "validity", "window_average",
]  # fmt: skip
