"""An encoder and its head as one model: scores, losses and features of raw rows in evaluation mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from limen.adapt.feature_map import Matrix
from limen.adapt.losses import per_example_loss, predictions
from limen.adapt.tune.head import LinearHead
from limen.adapt.tune.rows import RawRows
from limen.models.encoder import Features
from limen.models.trainable.trainable import Trainable, encode_in_batches
from limen.records.task import Integers, Loss

BATCH = 64
"""Rows scored at a time."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Loss, prediction and label of every row [n]."""

    loss: Matrix
    prediction: Integers
    labels: Integers

    @property
    def error(self) -> float:
        """Share of wrong predictions."""
        return float((self.prediction != self.labels).mean())


@dataclass(frozen=True, slots=True)
class TunedModel:
    """The encoder with its weights as tuning left them, and the head."""

    encoder: Trainable
    head: LinearHead
    loss: Loss

    def features(self, inputs: Any) -> Features:
        """Features [n, d] of raw inputs."""
        self.encoder.module.eval()
        return encode_in_batches(self.encoder, self.encoder.ready(inputs), BATCH)

    def scored(self, ready: Any, labels: Integers) -> Scored:
        """Losses and predictions of ready rows."""
        self.encoder.module.eval()
        features = encode_in_batches(self.encoder, ready, BATCH)
        with torch.no_grad():
            scores = self.head(torch.from_numpy(features)).numpy().astype(np.float64)
        return Scored(per_example_loss(scores, labels, self.loss), predictions(scores), labels)

    def score(self, rows: RawRows) -> Scored:
        """The same of raw rows."""
        return self.scored(self.encoder.ready(rows.inputs), rows.labels)

    def batch_loss(self, features: Any, labels: Any) -> Any:
        """Mean loss of a batch, differentiable."""
        scores = self.head(features)
        if self.loss == "log":
            return functional.cross_entropy(scores, labels)
        return ((scores - functional.one_hot(labels, scores.shape[1])) ** 2).sum(dim=1).mean()

    def training_mode(self, dropout: bool) -> None:
        """The model's own dropout on or off; running statistics of batch norms stay those of pretraining either way."""
        self.encoder.module.train(dropout)
        for part in self.encoder.module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()
