"""Hessian products and top-10 eigenpairs beside PyHessian and curvlinops with SciPy, in one process, taking turns.

    pip install limen[torch] curvlinops-for-pytorch; pip install --no-deps pyhessian
    python benchmarks/curvature.py [--model mlp|mlp-white|resnet18|all] [--rounds 3] [--width 64]

mlp       784-256-256-10 with GELU, 269,322 parameters, 1,024 rows in one batch: Gaussian inputs whose
          k-th variance is ∝ 1/k, as those of images fall, classes, noisy labels, 60 steps of SGD
mlp-white  the same with white inputs at initial weights: the tenth eigenvalue lies at the edge of the bulk
resnet18  --width 64: 11.2 M parameters (32: 2.8 M), 8 images of 32×32, running statistics

One thread. A gradient, one product of each library, then the pairs: the peer runs at its own tolerance, its pairs' true
residuals ‖Hu − λu‖/|λ| are measured with one and the same product, and ours are asked for the largest of those. So
times are at equal residual, ours with everything `limen.curvature` does: checks, forecast, graphs, search for copies.
Rounds take turns; seconds are of processor time, the ratio is of medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from torch import nn

from limen.measure.curvature.objective import Choice, held, objective
from limen.measure.curvature.operator import Operator, forecast
from limen.measure.curvature.spectrum import curvature
from limen.models.architectures.resnet import resnet18

MODES = 10
PEER_TOLERANCE = 1e-3
ROOM = 1 << 34


def mlp(power=1.0, steps=60):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.GELU(), nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 10))
    centres = torch.randn(10, 784)
    y = torch.arange(1024) % 10
    scale = torch.arange(1, 785) ** (-power / 2)
    x = (0.3 * centres[y] + torch.randn(1024, 784)) * scale / scale.pow(2).mean().sqrt()
    return trained(model, (x, torch.where(torch.rand(1024) < 0.1, torch.randint(10, (1024,)), y)), 0.02, steps)


def resnet(width=64):
    torch.manual_seed(0)
    model = nn.Sequential(resnet18({"width": width}), nn.Linear(8 * width, 10))
    y = torch.arange(8)
    images = torch.rand(10, 3, 32, 32)[y] * 0.2 + torch.rand(8, 3, 32, 32) * 0.8
    return trained(model, (images, y), 0.01, 3)


def trained(model, batch, learning_rate, steps):
    """A few steps, so that the spectrum has outliers as those of trained networks have."""
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model, batch).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval(), batch


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


class Peers:
    """Products and pairs of the peers on one model and batch."""

    def __init__(self, model, batch):
        from curvlinops import HessianLinearOperator
        from pyhessian import hessian

        self.model, self.parameters = model, [*model.parameters()]
        self.make = lambda: HessianLinearOperator(
            model, nn.CrossEntropyLoss(), [*model.parameters()], [batch], check_deterministic=False
        )
        self.pyhessian = lambda: hessian(model, nn.CrossEntropyLoss(), data=batch, cuda=False)

    def curvlinops_pairs(self):
        values, vectors = eigsh(self.make().to_scipy(), k=MODES, which="LM", tol=PEER_TOLERANCE)
        return values, vectors.T

    def pyhessian_pairs(self):
        values, vectors = self.pyhessian().eigenvalues(maxIter=100, tol=PEER_TOLERANCE, top_n=MODES)
        return np.array(values), np.stack([torch.cat([p.reshape(-1) for p in v]).numpy() for v in vectors])


def median_seconds(actions, rounds):
    """Median processor seconds of every action, rounds taking turns; the first of several rounds only warms up."""
    seen = {name: [] for name in actions}
    for i in range(rounds + (rounds > 1)):
        for name, action in actions.items():
            begun = time.process_time()
            action()
            if i or rounds == 1:
                seen[name].append(time.process_time() - begun)
    return {name: statistics.median(times) for name, times in seen.items()}


def products(name, model, batch, peers, rounds):
    """Seconds of a gradient and of one product of each library."""
    from pyhessian.utils import hessian_vector_product

    target = objective(model, loss, [batch], Choice())
    with held(model, "eval"):
        ours = Operator(target, False, forecast(target, False, ROOM))
        row = np.random.default_rng(0).normal(size=target.size).astype(np.float32)
        row /= np.linalg.norm(row)
        tangent = [t.clone() for t in target.views(torch.from_numpy(row))]
        theirs, linear = peers.pyhessian(), peers.make()
        check = torch.cat([p.reshape(-1) for p in hessian_vector_product(theirs.gradsH, theirs.params, tangent)])
        assert np.allclose(ours(row), check.numpy(), atol=1e-4 * float(check.abs().max()))
        flat = torch.from_numpy(row)
        seconds = median_seconds(
            {
                "gradient": lambda: torch.autograd.grad(loss(model, batch), peers.parameters),
                "limen": lambda: ours(row),
                "PyHessian, one batch": lambda: hessian_vector_product(theirs.gradsH, theirs.params, tangent),
                "curvlinops": lambda: linear @ flat,
            },
            rounds,
        )
    print(f"\n| {name}: one product | ms | of a gradient | limen is |\n|---|---|---|---|")
    for who, took in seconds.items():
        print(
            f"| {who} | {1e3 * took:.1f} | {took / seconds['gradient']:.2f} | {took / seconds['limen']:.2f}× faster |"
        )


def pairs(name, model, batch, peers, rounds, against):
    """Top-10 pairs at the residual that the peer reaches at its own tolerance."""
    target = objective(model, loss, [batch], Choice())
    print(f"\n| {name}: top {MODES} | s | products | largest residual/λ | limen is |\n|---|---|---|---|---|")
    for who, run in against.items():
        values, vectors = run()
        with held(model, "eval"):
            product = Operator(target, False, forecast(target, False, ROOM))
            true = residuals(product, values, vectors)
            asked = float(true.max())
            ours = lambda asked=asked: curvature(model, loss, [batch], modes=MODES, tolerance=min(asked, 0.5))  # noqa: E731
            found = ours()
            reached = float(residuals(product, found.eigenvalues, found.vectors).max())
            del product
        seconds = median_seconds({who: run, "limen": ours}, rounds)
        ratio = seconds[who] / seconds["limen"]
        print(f"| {who} | {seconds[who]:.2f} | | {asked:.1e} | {ratio:.2f}× faster |")
        print(f"| limen at that residual | {seconds['limen']:.2f} | {found.products} | {reached:.1e} | |")
        worst = np.abs(np.sort(np.abs(values)) / np.sort(np.abs(found.eigenvalues)) - 1).max()
        print(f"| … largest difference of the two sets of |λ| | | | {worst:.1e} | |")


def residuals(product, values, vectors):
    rows = np.ascontiguousarray(vectors, np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    images = np.stack([product(row).copy() for row in rows])
    return np.linalg.norm(images - values[:, None] * rows, axis=1) / np.abs(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["mlp", "mlp-white", "resnet18", "all"], default="all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=64)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name, make in {"mlp": mlp, "mlp-white": lambda: mlp(0.0, 0), "resnet18": lambda: resnet(asked.width)}.items():
        if asked.model in (name, "all"):
            model, batch = make()
            peers = Peers(model, batch)
            products(name, model, batch, peers, 5 * asked.rounds)
            against = {"curvlinops + eigsh": peers.curvlinops_pairs}
            if (
                name == "mlp"
            ):  # elsewhere it stops far from eigenpairs, and on a ResNet-18 its power iteration takes an hour
                against["PyHessian"] = peers.pyhessian_pairs
            pairs(name, model, batch, peers, asked.rounds, against)


if __name__ == "__main__":
    main()
