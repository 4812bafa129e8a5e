"""The least pretraining loss: known only where it is, and reached from above by runs on every world."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional  # noqa: E402

from limen.arrays.random import stream  # noqa: E402
from limen.data.worlds.pretraining.names import WORLDS  # noqa: E402
from limen.pretrain.checkpoints import unpack  # noqa: E402
from limen.pretrain.model import make_model  # noqa: E402
from limen.pretrain.objectives.contrastive import contrastive_loss  # noqa: E402
from limen.pretrain.objectives.make import make_objective  # noqa: E402
from limen.pretrain.objectives.nt_xent import nt_xent  # noqa: E402
from limen.pretrain.optimum import optimum_of  # noqa: E402
from limen.pretrain.populations import prepared_examples  # noqa: E402
from limen.pretrain.run import pretrain  # noqa: E402
from limen.pretrain.spec import PretrainSpec  # noqa: E402

pytestmark = pytest.mark.torch
MLP = {"name": "mlp", "hidden": [32]}
CHAIN = {"input": "text", "preprocessing": {"vocabulary": 259, "length": 8}}
READER = {"name": "transformer", "width": 32, "depth": 2, "heads": 2}
VIT = {"name": "vit", "patch": 2, "width": 32, "depth": 1, "heads": 2}


def spec(world, objective, architecture=MLP, steps=200, batch_size=48, rate=1e-2, **more):
    """A run on a world with the other table held out and objectives that compare views under none."""
    plain = {"augmentation": "none"} if objective["name"] in ("contrastive", "spectral", "nt-xent") else {}
    return {
        "data": f"world:{world}", "heldout": f"world:{world}:heldout", "objective": {**plain, **objective},
        "architecture": architecture, "steps": steps, "batch_size": batch_size, "checkpoints": [steps],
        "optimizer": {"name": "adam", "learning_rate": rate}, "schedule": "cosine",
        "evaluation": {"draws": 2, "training_batches": 2}, **more,
    }  # fmt: skip


def trained(plain):
    """The record of a run, its encoder and head as one function of raw table inputs, and the run itself."""
    record, run = pretrain(plain), PretrainSpec.parse(plain)
    training, _, preprocessing = prepared_examples(run)
    model = make_model(run, make_objective(run, training), training, preprocessing)
    model.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in unpack(record.arrays, run.steps).items()})
    return record, model.double().eval(), preprocessing


def optimum(record, distance):
    """The recorded optimum, after a look at the held-out loss: not below by 4 standard errors, above by `distance`."""
    losses, least = np.array(record.data["checkpoints"][-1]["heldout_losses"]), record.data["optimum"]["value"]
    error = losses.std(ddof=1) / len(losses) ** 0.5
    assert -4 * error - 1e-9 < losses.mean() - least < distance + 4 * error
    assert record.data["optimum"]["source"].startswith("world:")
    return least


def outputs(world, model, labelled=True):
    """f of every image of a finite table [V, k], in the order of its counts."""
    images, classes = world.counts.shape
    pairs = np.flatnonzero(world.counts.reshape(-1))
    table = stream("world images", world.name).integers(0, 2, (images, 8, 8, 1)).astype(np.float64)
    assert len(pairs) >= images
    assert classes > 1
    with torch.no_grad():
        return model["head"](model["encoder"](torch.from_numpy(np.moveaxis(table, 3, 1))))


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_supervised_comes_to_the_bayes_loss_from_above(loss):
    record, model, _ = trained(spec("overlap", {"name": "supervised", "loss": loss}, steps=300, batch_size=100))
    least, world = optimum(record, 0.01), WORLDS["world:overlap"]
    f, joint = outputs(world, model), torch.from_numpy(world.joint)
    if loss == "log":
        exact = float(-(joint * f.log_softmax(dim=1)).sum())
    else:
        exact = float(sum(
            0.5 * joint[x, c] * (f[x] - functional.one_hot(torch.tensor(c), 3)).square().sum()
            for x in range(6) for c in range(3)
        ))  # fmt: skip
    assert least <= exact < least + 0.002


@pytest.mark.parametrize(
    ("world", "k", "distance"), [("overlap", 2, 0.01), ("overlap", 8, 0.02), ("six-classes", 8, 0.1)]
)
def test_spectral_comes_to_its_factorisation_from_above(world, k, distance):
    objective = {"name": "spectral", "pairs": "label", "projection": k}
    record, model, _ = trained(spec(world, objective, steps=400, batch_size=60))
    least, table = optimum(record, distance), WORLDS[f"world:{world}"]
    f, p = outputs(table, model), torch.from_numpy(table.images)
    similar = torch.from_numpy(table.joint / table.classes @ table.joint.T)
    products = f @ f.T
    exact = float(-2 * (similar * products).sum() + (torch.outer(p, p) * products.square()).sum())
    assert least <= exact < least + distance


@pytest.mark.parametrize(
    ("world", "options", "distance"),
    [
        ("two-classes", {}, 0.002),
        ("two-classes", {"negatives": 2, "surrogate": "hinge", "radius": 0.6}, 0.002),
        ("six-classes", {"negatives": 2, "block": 2, "radius": 1.5}, 0.02),
        ("two-images", {"pairs": "views", "radius": 1.2}, 0.002),
    ],
    ids=str,
)
def test_contrastive_comes_to_its_simplex_from_above(world, options, distance):
    objective = {"name": "contrastive", "pairs": "label", **options}
    record, model, _ = trained(spec(world, objective))
    least, table = optimum(record, 0.02), WORLDS[f"world:{world}"]
    radius, negatives, kind = (
        options.get("radius", 1.0),
        options.get("negatives", 1),
        options.get("surrogate", "logistic"),
    )
    f, p, joint = radius * functional.normalize(outputs(table, model), dim=1), table.images, table.joint
    similar = joint / table.classes @ joint.T if objective["pairs"] == "label" else np.diag(p)
    exact, images = 0.0, range(len(p))
    # Blocks are of the class's mean in expectation only; by Jensen one similar example costs at least as much.
    for x, y in product(images, images):
        if similar[x, y] > 0:
            others = list(product(images, repeat=negatives))
            for other in others:
                rows = f[list(other)]
                v = (f[x] @ f[y]) - rows @ f[x]
                cost = torch.relu(1 + (-v).max()) if kind == "hinge" else torch.log2(1 + (-v).exp().sum())
                exact += similar[x, y] * float(np.prod(p[list(other)])) * float(cost)
    assert least - 1e-9 <= exact < least + distance


@pytest.mark.parametrize(("world", "batch"), [("two-images", 2), ("six-classes", 3)])
def test_nt_xent_comes_to_its_poles_and_its_simplex_from_above(world, batch):
    record, model, _ = trained(
        spec(world, {"name": "nt-xent", "projection": 16}, steps=800, batch_size=batch, rate=3e-3)
    )
    least, table = optimum(record, 0.02), WORLDS[f"world:{world}"]
    f, p = outputs(table, model), table.images
    exact = sum(
        float(np.prod(p[list(rows)]) * nt_xent(f[list(rows + rows)], 0.5))
        for rows in product(range(len(p)), repeat=batch)
    )  # fmt: skip
    assert least <= exact < least + 0.02


def _texts(preprocessing, world):
    """Tokens of all texts of the chain and their probabilities."""
    every = list(product(range(3), repeat=world.letters))
    tokens = preprocessing.array(["".join("abc"[letter] for letter in text) for text in every])
    return torch.from_numpy(tokens.astype(np.int64)), np.array([world.joint(world.letters)[text] for text in every])


def _costs(scores, targets):
    return functional.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="none").reshape(targets.shape)


def test_next_token_comes_to_the_entropy_rate_from_above():
    record, model, preprocessing = trained(
        spec("markov-chain", {"name": "next-token"}, READER, steps=250, batch_size=80, rate=3e-3, **CHAIN)
    )
    least = optimum(record, 0.01)
    tokens, law = _texts(preprocessing, WORLDS["world:markov-chain"])
    with torch.no_grad():
        scores = model["head"](model["encoder"].positions(tokens)[:, :-1])
        exact = float(law @ _costs(scores, tokens[:, 1:]).mean(dim=1).numpy())
    assert least < exact < least + 0.01


def _masked_exactly(model, tokens, law, hidden):
    total, subsets = 0.0, list(combinations(range(1, 8), hidden))
    for subset in subsets:
        where = torch.zeros(8, dtype=torch.bool)
        where[list(subset)] = True
        with torch.no_grad():
            seen = model["encoder"].hide(tokens, where.expand(len(tokens), -1))
            scores = model["head"](model["encoder"].positions(seen)[:, list(subset)])
        total += float(law @ _costs(scores, tokens[:, list(subset)]).mean(dim=1).numpy())
    return total / len(subsets)


@pytest.mark.parametrize(
    ("steps", "rate", "distance"), [(250, 3e-3, 0.06), pytest.param(800, 5e-3, 0.02, marks=pytest.mark.slow)]
)
def test_masked_texts_come_to_the_conditional_entropies_from_above(steps, rate, distance):
    plain = spec("markov-chain", {"name": "masked", "share": 0.3}, READER, steps, 80, rate, **CHAIN)
    record, model, preprocessing = trained(plain)
    least = optimum(record, distance)
    exact = _masked_exactly(model, *_texts(preprocessing, WORLDS["world:markov-chain"]), hidden=3)
    assert least < exact < least + distance


@pytest.mark.parametrize(
    ("steps", "rate", "distance"), [(250, 5e-3, 0.05), pytest.param(800, 5e-3, 0.015, marks=pytest.mark.slow)]
)
def test_noisy_texts_come_to_the_conditional_entropies(steps, rate, distance):
    plain = spec("markov-chain", {"name": "autoencoder", "noise": 0.3}, READER, steps, 80, rate, **CHAIN)
    record, _, _ = trained(plain)
    assert optimum(record, distance) == pytest.approx(WORLDS["world:markov-chain"].autoencoder(6, 0.3))


def test_noisy_images_come_to_the_linear_estimate_from_above():
    noise, field = 0.5, WORLDS["world:gaussian-field"]
    plain = spec("gaussian-field", {"name": "autoencoder", "noise": noise}, {"name": "linear"}, 1000, 120)
    record, model, _ = trained(plain)
    least = optimum(record, 0.01)
    mean, std = (float(model["encoder"].normalise.get_buffer(name)) for name in ("mean", "std"))
    unit, shift = (0.05 / std) ** 2, np.full(16, (0.5 - mean) / std)
    weight, bias = (model["head"].get_parameter(name).detach().numpy() for name in ("weight", "bias"))
    covariance, rest = unit * field.covariance, np.eye(16) - weight
    left = rest @ shift - bias
    error = rest @ covariance @ rest.T + noise**2 * weight @ weight.T + np.outer(left, left)
    exact, exact_least = np.trace(error) / 16, unit * field.autoencoder(noise / unit**0.5)
    assert exact_least < exact < exact_least + 0.004
    assert exact_least == pytest.approx(least, rel=0.02)  # the encoder's standard deviation is an estimate


@pytest.mark.parametrize(
    ("architecture", "steps", "distance"),
    [(VIT, 400, 0.08), pytest.param(VIT, 3000, 0.03, marks=pytest.mark.slow)],
    ids=["short", "long"],
)
def test_masked_images_come_to_the_conditional_variance(architecture, steps, distance):
    objective = {"name": "masked", "share": 0.5}
    record, _, _ = trained(spec("gaussian-field", objective, architecture, steps, 120, 5e-3))
    assert optimum(record, distance) == pytest.approx(WORLDS["world:gaussian-field"].masked(2, 0.5))


BASE = spec("two-classes", {"name": "contrastive", "pairs": "label"})


def known(**changes):
    found = optimum_of(PretrainSpec.parse({**BASE, **changes}))
    return None if found is None else found.value


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "digits", "heldout": 0.1},
        {"heldout": 0.1},
        {"heldout": "world:six-classes:heldout"},
        {"column": "other"},
        {"objective": {"name": "contrastive", "pairs": "label"}},
        {"objective": {"name": "contrastive", "pairs": "label", "augmentation": {"noise": 0.1}}},
        {"objective": {"name": "contrastive", "pairs": "label", "augmentation": "none", "label": "other"}},
        {"objective": {"name": "masked"}},
        {"objective": {"name": "autoencoder"}},
        spec("overlap", {"name": "contrastive", "pairs": "label"}),
        spec("overlap", {"name": "nt-xent"}),
        spec("markov-chain", {"name": "next-token"}, READER, input="text"),
        spec("markov-chain", {"name": "nt-xent"}, READER, **CHAIN),
        spec("gaussian-field", {"name": "supervised"}),
    ],
    ids=str,
)
def test_elsewhere_it_is_unknown(changes):
    assert known() is not None
    assert known(**changes) is None


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"radius": 1.0}, {"radius": 2.0}),
        ({"negatives": 1}, {"negatives": 2}),
        ({"surrogate": "hinge"}, {"surrogate": "logistic"}),
        ({"pairs": "label"}, {"pairs": "views"}),
    ],
)
def test_options_that_change_the_loss_change_the_optimum(one, two):
    world = {"data": "world:six-classes", "heldout": "world:six-classes:heldout"}
    name = {"name": "contrastive", "pairs": "label", "augmentation": "none"}
    assert known(**world, objective={**name, **one}) != known(**world, objective={**name, **two})


def test_the_batch_of_nt_xent_and_the_length_of_texts_and_the_patch_count():
    view = {"objective": {"name": "nt-xent", "augmentation": "none"}, "data": "world:two-images"}
    view["heldout"] = "world:two-images:heldout"
    assert known(**view, batch_size=8) == known(**view, batch_size=16, accumulation=2) != known(**view, batch_size=16)
    text = spec("markov-chain", {"name": "masked"}, READER, **CHAIN)
    short = {**text, "preprocessing": {"vocabulary": 259, "length": 5}}
    assert known(**short) != known(**text)
    assert known(**{**text, "preprocessing": {"vocabulary": 259, "length": 2}}) is None
    image = spec("gaussian-field", {"name": "masked"}, VIT)
    assert known(**image) != known(**{**image, "architecture": {**VIT, "patch": 1}})


def test_the_dimensions_of_an_encoder_without_head_count():
    run = spec("six-classes", {"name": "spectral", "pairs": "label", "projection": 0}, {"name": "mlp", "hidden": [4]})
    assert known(**run) == pytest.approx(-4.0)
    assert known(**{**run, "architecture": MLP}) == pytest.approx(-6.0)


def test_the_record_of_a_run_elsewhere_says_null():
    plain = {**BASE, "data": "digits:train", "heldout": 0.2, "steps": 1, "checkpoints": [1]}
    assert pretrain(plain).data["optimum"] is None


def test_a_model_on_the_poles_costs_the_recorded_value():
    """The optimum of the statement: two classes at ±R u, a batch of all of them."""
    points = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    apart = float(contrastive_loss(points, points, 1, "logistic"))
    assert known() == pytest.approx(0.58 + 0.42 * apart, rel=1e-12)
