"""The linear probe as a scikit-learn classifier: best adapter in the ball ‖W‖_F ≤ radius, with its certificate."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from limen.adapt.ball import BallFit, Rows, minimise
from limen.adapt.feature_map import FeatureMap, design_map
from limen.adapt.mapped_rows import mapped_rows
from limen.adapt.penalised import PenalisedFit
from limen.arrays.environment import environment


class LinearProbe(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Multinomial logistic (or squared-loss) probe with ‖W‖_F ≤ `radius` on standardised, clipped features.

    Solves min over the ball of the mean loss to a certified gap ≤ `tolerance` (limen.adapt.ball). The feature map φ is
    fixed on the rows given to `fit`, or beforehand by `feature_map` (a design sample), which honest intervals need.

    Attributes: `coef_` [K, d] and `intercept_` [K] on the standardised and clipped features, `objective_` (mean loss),
    `certificate_` (BallFit), `penalty_` (the ball's multiplier), `radius_`, `feature_map_`, `classes_`, `n_iter_`
    (passes over the rows), `environment_` (threads of this process, linear algebra library, versions). Probes of
    `limen.probe_path` stand on raw features: their `feature_map_` is None.

    Features may be a memory map (`numpy.load(path, mmap_mode="r")`): they are read in blocks and handed back.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> probe = LinearProbe(radius=20.0).fit(X, y)
    >>> probe.score(X, y) > 0.95, probe.certificate_.gap <= probe.tolerance
    (True, True)
    """

    def __init__(
        self,
        radius: float = 4.0,
        loss: Literal["log", "squared"] = "log",
        tolerance: float = 1e-4,
        feature_map: FeatureMap | None = None,
    ) -> None:
        self.radius = radius
        self.loss = loss
        self.tolerance = tolerance
        self.feature_map = feature_map

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Solve the probe. Raises ValueError for one class, NaN, or continuous y, as scikit-learn does."""
        features, target = validate_data(self, X, y)
        check_classification_targets(target)
        if self.loss not in ("log", "squared"):
            raise ValueError(f'loss must be "log" or "squared", got {self.loss!r}')
        self.classes_, labels = np.unique(target, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"LinearProbe needs rows of at least 2 classes, got one class: {self.classes_[0]!r}")
        self.feature_map_: FeatureMap | None = self.feature_map or design_map(features)
        mapped = mapped_rows(self.feature_map_, features, np.arange(len(features)))
        rows = Rows(mapped, labels.astype(np.int64), len(self.classes_), self.loss)
        fit = minimise(rows, float(self.radius), tolerance=float(self.tolerance))
        self.certificate_: BallFit | PenalisedFit = fit
        self.coef_, self.intercept_ = np.ascontiguousarray(fit.weights[:-1].T), fit.weights[-1].copy()
        self.objective_, self.radius_ = fit.loss, fit.radius
        # at the minimiser ∇L̂ = −λW
        self.penalty_ = fit.gradient_norm / fit.radius
        self.n_iter_ = fit.products
        self.environment_ = environment()
        return self

    def _scores(self, X: ArrayLike) -> NDArray[np.float64]:
        check_is_fitted(self)
        features = validate_data(self, X, reset=False)
        if self.feature_map_ is not None:
            mapped = mapped_rows(self.feature_map_, features, np.arange(len(features)))
            known: NDArray[np.float64] = mapped @ np.vstack([self.coef_.T, self.intercept_])
            return known
        scores: NDArray[np.float64] = np.asarray(features, dtype=np.float64) @ self.coef_.T + self.intercept_
        return scores

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Scores z = Wᵀφ(x) [n, K]; for two classes z_1 − z_0 [n], as scikit-learn has it."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray[np.generic]:
        """The class with the largest score."""
        best = self._scores(X).argmax(axis=1)
        labels: NDArray[np.generic] = self.classes_[best]
        return labels

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """softmax(z) [n, K]; with loss="squared" these are not calibrated probabilities."""
        scores = self._scores(X)
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        return scores
