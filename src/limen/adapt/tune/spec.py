"""How an encoder is tuned, as plain data: every field means something for the result and is part of a cell's identity.

method      what moves, besides the linear head
fine-tune   every weight
lp-ft       every weight, after the head was set to the linear probe on frozen features (Kumar et al. 2022, 2202.10054)
partial     the layers or parameters that `layers` names
lora        W + (alpha/rank)·B A, B = 0 at first, A and B of `rank` (Hu et al. 2021, 2106.09685), in `targets`
prompt      vectors before the token embeddings; prefix: before keys and values of every layer
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from limen.data.phrases import did_you_mean, names_text
from limen.records.errors import BadInput, Problem
from limen.records.task import Loss

TuneMethod = Literal["fine-tune", "lp-ft", "partial", "lora", "prompt", "prefix"]
Head = Literal["zero", "random", "probe"]
Decay = Literal["cosine", "linear", "constant"]
METHODS: tuple[str, ...] = get_args(TuneMethod)
RATES: Mapping[str, float] = {
    "fine-tune": 1e-4, "lp-ft": 3e-5, "partial": 1e-4, "lora": 1e-3, "prompt": 1e-2, "prefix": 1e-2,
}  # fmt: skip
"""Learning rate of the encoder's weights where none is given."""
HEAD_RATES: Mapping[str, float] = {"lp-ft": 1e-3}
"""Learning rate of the head where none is given; `HEAD_RATE` elsewhere."""
HEAD_RATE = 0.05
HEADS: Mapping[str, Head] = {"lp-ft": "probe"}
"""First head where none is given; "zero" elsewhere."""
WORDS: Mapping[str, tuple[str, ...]] = {
    "method": METHODS, "head": get_args(Head), "decay": get_args(Decay), "loss": get_args(Loss),
}  # fmt: skip
LEAST: Mapping[str, int] = {
    "epochs": 0, "batch_size": 1, "patience": 1, "rank": 1, "prompt_tokens": 1, "threads": 1, "seed": 0,
}  # fmt: skip
POSITIVE = ("learning_rate", "head_learning_rate", "clip", "alpha")


@dataclass(frozen=True, slots=True)
class TuneSpec:
    """One way of tuning. `epochs = 0` leaves the first head on the frozen encoder.

    >>> TuneSpec("lora").rate, TuneSpec("lp-ft").first_head, TuneSpec("lora").scaling
    (0.001, 'probe', 2.0)
    """

    method: TuneMethod = "fine-tune"
    loss: Loss = "log"
    epochs: int = 20
    batch_size: int = 16
    learning_rate: float | None = None
    """Of the encoder's weights; None: `RATES`."""
    head_learning_rate: float | None = None
    """Of the head, on features of mean square 1 a row; None: `HEAD_RATES`."""
    weight_decay: float = 0.01
    """Decoupled (AdamW), on everything that moves."""
    decay: Decay = "cosine"
    warmup: float = 0.1
    """Share of all updates with a rising learning rate."""
    clip: float | None = 1.0
    """Largest norm of a gradient; None: as it is."""
    patience: int | None = 5
    """Epochs without a lower design loss after which training ends; None: never before the last."""
    dropout: bool = False
    """Whether the model's own dropout is on while it trains."""
    head: Head | None = None
    """First head; None: the probe for lp-ft, zero elsewhere."""
    layers: tuple[str, ...] = ()
    """For `partial`: names of layers, or patterns of parameter names (`*.bias`)."""
    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ()
    """For `lora`: patterns of names of linear maps; none: all within the layers."""
    prompt_tokens: int = 16
    threads: int = 1
    seed: int = 0

    @property
    def rate(self) -> float:
        """Learning rate of the encoder's weights."""
        return RATES[self.method] if self.learning_rate is None else self.learning_rate

    @property
    def head_rate(self) -> float:
        """Learning rate of the head."""
        given = self.head_learning_rate
        return HEAD_RATES.get(self.method, HEAD_RATE) if given is None else given

    @property
    def first_head(self) -> Head:
        """What the head starts as."""
        return self.head or HEADS.get(self.method, "zero")

    @property
    def scaling(self) -> float:
        """alpha/rank."""
        return self.alpha / self.rank

    def plain(self) -> dict[str, Any]:
        """As JSON data; fields at their default are left out, so that a field added later changes no identity.

        >>> TuneSpec("partial", layers=("a",)).plain()
        {'method': 'partial', 'layers': ['a']}
        """
        default = asdict(TuneSpec())
        kept = {key: value for key, value in asdict(self).items() if key == "method" or value != default[key]}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in kept.items()}

    @classmethod
    def parse(cls, plain: Mapping[str, Any]) -> TuneSpec:
        """The spec of plain data. Raises BadInput with every wrong key and value.

        >>> TuneSpec.parse(TuneSpec("lora", rank=4).plain()) == TuneSpec("lora", rank=4)
        True
        """
        known = {field.name for field in fields(cls)}
        problems = [
            Problem(key, f"expected one of {names_text(sorted(known))}", fix=did_you_mean(key, known))
            for key in plain
            if key not in known
        ]
        given: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in plain.items() if key in known
        }
        problems += [problem for key, value in given.items() if (problem := _wrong(key, value)) is not None]
        if not problems:
            spec = cls(**given)
            problems += _contradictions(spec)
            if not problems:
                return spec
        raise BadInput(problems)


def _wrong(key: str, value: Any) -> Problem | None:
    optional = key in ("learning_rate", "head_learning_rate", "clip", "patience", "head")
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is None and optional:
        return None
    if key in WORDS:
        if value in WORDS[key]:
            return None
        return Problem(
            key, f"expected {names_text(WORDS[key])}, got {value!r}", fix=did_you_mean(str(value), WORDS[key])
        )
    if key in LEAST:
        fine = isinstance(value, int) and not isinstance(value, bool) and value >= LEAST[key]
        return None if fine else Problem(key, f"expected a whole number from {LEAST[key]}, got {value!r}")
    if key in POSITIVE:
        fine = number and 0 < value < float("inf")
        return None if fine else Problem(key, f"expected a positive, finite number, got {value!r}")
    if key == "warmup":
        return None if number and 0 <= value <= 1 else Problem(key, f"expected a share from 0 to 1, got {value!r}")
    if key == "weight_decay":
        fine = number and 0 <= value < float("inf")
        return None if fine else Problem(key, f"expected a number from 0, got {value!r}")
    if key == "dropout":
        return None if isinstance(value, bool) else Problem(key, f"expected true or false, got {value!r}")
    fine = isinstance(value, tuple) and all(isinstance(name, str) and name for name in value)
    return None if fine else Problem(key, f"expected a list of names, got {value!r}")


def _contradictions(spec: TuneSpec) -> list[Problem]:
    problems = []
    if (spec.method == "partial") != bool(spec.layers):
        what = "partial needs the layers that move" if not spec.layers else f"{spec.method} reads no layers"
        problems.append(Problem("layers", what, fix='layers = ["…"] with method = "partial"'))
    if spec.targets and spec.method != "lora":
        problems.append(Problem("targets", f"{spec.method} reads no targets", fix='method = "lora"'))
    if spec.loss == "squared" and spec.first_head == "probe":
        what = "the probe that the head starts as is logistic, the loss is squared"
        problems.append(Problem("head", what, fix='loss = "log", or head = "zero"'))
    return problems
