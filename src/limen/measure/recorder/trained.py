"""Which parameters are recorded: those that the optimizer moves, in the model's order, each number once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from limen.records.errors import BadInput, Problem

WRAPPED = ("module.", "_orig_mod.")


@dataclass(frozen=True, slots=True)
class Trained:
    """The parameters of θ, their names, their groups, and how many numbers of the model are not among them."""

    parameters: list[Any]
    names: list[str]
    groups: list[int]
    left_out: int


def trained(model: Any, optimizer: Any) -> Trained:
    """What the optimizer moves; `model` may be None.

    Raises BadInput where nothing is trained, where the model does not hold what the optimizer moves (it was created
    anew), where parameters share memory, or where they are neither float32 nor float64.
    """
    group_of = {
        id(parameter): (index, parameter)
        for index, group in enumerate(optimizer.param_groups)
        for parameter in group["params"]
        if parameter.requires_grad
    }
    if not group_of:
        fix = "unfreeze parameters and give them to the optimizer"
        raise BadInput(Problem("optimizer", "expected parameters that are trained, got none", fix=fix))
    if model is None:
        named = [(str(index), parameter) for index, (_, parameter) in enumerate(group_of.values())]
    else:
        named = [(_bare(name), parameter) for name, parameter in model.named_parameters()]
    chosen = [(name, parameter) for name, parameter in named if id(parameter) in group_of]
    problems = []
    if len(chosen) < len(group_of):
        what = f"{len(group_of) - len(chosen)} of the optimizer's {len(group_of)} parameters are not the model's"
        cause = "the model was created, wrapped or moved anew after its optimizer"
        problems.append(Problem("optimizer", what, cause=cause, fix="make the optimizer from this model's parameters"))
    problems += [*_shared(chosen), *_of_other_numbers(chosen)]
    if problems:
        raise BadInput(problems)
    return Trained(
        parameters=[parameter for _, parameter in chosen],
        names=[name for name, _ in chosen],
        groups=[group_of[id(parameter)][0] for _, parameter in chosen],
        left_out=sum(int(parameter.numel()) for _, parameter in named) - sum(int(p.numel()) for _, p in chosen),
    )


def _bare(name: str) -> str:
    """A parameter's name without what DistributedDataParallel and torch.compile put before it."""
    while name.startswith(WRAPPED):
        name = name.split(".", 1)[1]
    return name


def not_readable(parameters: list[Any], names: list[str]) -> list[Problem]:
    """What is wrong with the gradients after an update: absent or sparse."""
    problems = []
    absent = [name for name, parameter in zip(names, parameters, strict=True) if parameter.grad is None]
    if absent:
        what = f"{len(absent)} of {len(names)} recorded parameters have no gradient: {', '.join(absent[:3])}"
        cause = "they are not used by the loss, or zero_grad was called inside the update"
        fix = "set requires_grad = False on what is frozen before recording begins"
        problems.append(Problem("parameters", what, cause=cause, fix=fix))
    sparse = [
        name
        for name, parameter in zip(names, parameters, strict=True)
        if parameter.grad is not None and parameter.grad.is_sparse
    ]
    if sparse:
        what = f"expected dense gradients, got sparse ones of {', '.join(sparse[:3])}"
        problems.append(Problem("parameters", what, fix="torch.nn.Embedding(sparse=False)"))
    return problems


def _of_other_numbers(named: list[tuple[str, Any]]) -> list[Problem]:
    """Parameters in half precision, or complex."""
    odd = [(name, str(p.dtype)) for name, p in named if str(p.dtype) not in ("torch.float32", "torch.float64")]
    if not odd:
        return []
    names, types = ", ".join(name for name, _ in odd[:3]), ", ".join(sorted({kind for _, kind in odd}))
    what = f"expected float32 or float64 weights, got {types} in {len(odd)} parameters: {names}"
    cause = "an update of rounded weights is not −ηb, from which steps, positions and sketch are taken"
    fix = "keep the weights in float32 and compute in half precision with torch.autocast"
    return [Problem("parameters", what, cause=cause, fix=fix)]


def _shared(named: list[tuple[str, Any]]) -> list[Problem]:
    """Different parameters over the same memory would count twice."""
    seen: dict[tuple[str, int], str] = {}
    problems = []
    for name, parameter in named:
        key = (str(parameter.device), parameter.data_ptr())
        if key in seen and parameter.numel():
            what = f"{name} and {seen[key]} are two parameters over the same memory"
            fix = "share the parameter object itself: second.weight = first.weight"
            problems.append(Problem("parameters", what, cause="tied by .data or by a view", fix=fix))
        seen[key] = name
    return problems
