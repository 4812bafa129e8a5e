"""The optimizers of a pretraining run, by name, with the options of torch.optim.

sgd      b ← μ b + (1 − τ) g,  g = ∇ℓ + λθ;   θ ← θ − η b              (first step, and always at μ = 0: b = g)
         nesterov: θ ← θ − η (g + μ b)
         decoupled: g = ∇ℓ and θ ← (1 − ηλ) θ − η b, the decay of AdamW  (Loshchilov, Hutter 2019)
adam     torch.optim.Adam;     adamw     torch.optim.AdamW
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch


def make_optimizer(options: Mapping[str, Any], parameters: Iterable[Any]) -> Any:
    """The optimizer of `{name, learning_rate, …}` for some parameters; options as in `limen.pretrain.spec.OPTIMIZERS`.

    >>> x = torch.nn.Parameter(torch.ones(1))
    >>> type(make_optimizer({"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}, [x])).__name__
    'SGD'
    """
    given = {k: v for k, v in options.items() if k not in ("name", "learning_rate", "decoupled")}
    if options["name"] == "sgd" and options.get("decoupled"):
        return DecoupledSGD(parameters, lr=options["learning_rate"], **given)
    classes = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return classes[options["name"]](parameters, lr=options["learning_rate"], **given)


class DecoupledSGD(torch.optim.SGD):  # type: ignore[misc]  # torch is untyped here
    """SGD whose weight decay shrinks the weights and does not enter the momentum.

    Its groups say `decoupled_weight_decay = True`, as those of torch.optim.AdamW do.
    """

    def __init__(self, parameters: Iterable[Any], **options: Any) -> None:
        super().__init__(parameters, **options)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Any = None) -> Any:
        """One update. torch's own update is not called: it would run the hooks of a step twice."""
        if closure is not None:
            raise ValueError("expected no closure: the loop computes the gradient")
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(self._direction(p, group), alpha=-group["lr"])

    def _direction(self, p: Any, group: Mapping[str, Any]) -> Any:
        momentum = group["momentum"]
        if momentum == 0:
            return p.grad
        buffer = self.state[p].get("momentum_buffer")
        if buffer is None:
            buffer = self.state[p]["momentum_buffer"] = p.grad.clone()
        else:
            buffer.mul_(momentum).add_(p.grad, alpha=1 - group["dampening"])
        return p.grad.add(buffer, alpha=momentum) if group["nesterov"] else buffer
