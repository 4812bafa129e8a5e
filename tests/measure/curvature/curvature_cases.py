"""Models whose Hessians are known in closed form, and the dense Hessian by torch.func for all others."""

from __future__ import annotations

import torch
from torch import nn


def mean_squares(model, batch, reduction="mean"):
    """½‖f(x) − y‖² an example."""
    x, y = batch
    each = 0.5 * ((model(x) - y) ** 2).sum(dim=1)
    return each if reduction == "none" else each.mean()


def cross_entropy(model, batch, reduction="mean"):
    x, y = batch
    return nn.functional.cross_entropy(model(x), y, reduction=reduction)


def dense_hessian(model, loss, batches, names=None):
    """∇² of the size-weighted mean loss, by reverse over reverse of torch.func on the whole vector of parameters."""
    chosen = [name for name, _ in model.named_parameters()] if names is None else names
    start = {name: dict(model.named_parameters())[name].detach().clone() for name in chosen}
    sizes = [start[name].numel() for name in chosen]
    total = sum(len(batch[0]) for batch in batches)

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self):
            return sum(len(batch[0]) / total * loss(self.model, batch) for batch in batches)

    wrapped = Wrapped()

    def value(flat):
        parts = dict(zip(chosen, torch.split(flat, sizes), strict=True))
        changed = {f"model.{name}": parts[name].view(start[name].shape) for name in chosen}
        return torch.func.functional_call(wrapped, changed, ())

    flat = torch.cat([start[name].reshape(-1) for name in chosen])
    return torch.func.jacrev(torch.func.grad(value))(flat).detach().numpy()


def classifier(seed=0, width=6, dtype=torch.float64, activation=nn.GELU):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, width), activation(), nn.Linear(width, 3)).to(dtype)


def labelled(seed=0, sizes=(17, 11), dtype=torch.float64, features=5, classes=3):
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(n, features, generator=generator, dtype=torch.float64).to(dtype),
            torch.randint(classes, (n,), generator=generator),
        )
        for n in sizes
    ]


class ConvNet(nn.Module):
    """A convolution, BatchNorm, GELU, dropout and a linear head on 3×6×6 images."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.drop(nn.functional.gelu(self.norm(self.conv(x)))).mean(dim=(2, 3)))


def conv_net(seed=0):
    torch.manual_seed(seed)
    model = ConvNet().double()
    with torch.no_grad():
        model.norm.running_mean.normal_()
        model.norm.running_var.uniform_(0.5, 2.0)
    return model


def images(seed=0, sizes=(12, 9)):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(n, 3, 6, 6, generator=generator).double(), torch.randint(3, (n,), generator=generator))
        for n in sizes
    ]
