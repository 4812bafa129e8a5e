"""The perceptron against its formula, the image itself as an encoder, options that are wrong."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.arrays.random import stream  # noqa: E402
from limen.models.architectures.registry import build  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch
SMALL = {"name": "mlp", "hidden": [7, 5], "in_channels": 1, "image_size": 4}
PHI = {"gelu": torch.nn.functional.gelu, "relu": torch.relu, "tanh": torch.tanh}


def _drawn(architecture, key=0):
    encoder = build(architecture)
    encoder.initialise(stream("test weights", key))
    return encoder


def _images(n=6):
    return torch.from_numpy(stream("mlp images").random((n, 1, 4, 4), dtype=np.float32))


@pytest.mark.parametrize("activation", sorted(PHI))
def test_the_perceptron_is_its_formula(activation):
    encoder = _drawn({**SMALL, "activation": activation})
    encoder.set_normalisation([0.3], [0.2])
    state, z = encoder.state_dict(), (_images().reshape(6, 16) - 0.3) / 0.2
    for layer in ("hidden1", "hidden2"):
        z = PHI[activation](z @ state[f"{layer}.0.weight"].T + state[f"{layer}.0.bias"])
        torch.testing.assert_close(encoder(_images(), layer), z, rtol=1e-5, atol=1e-6)
        assert encoder.dimension(layer) == z.shape[1]
    assert torch.equal(encoder(_images()), encoder(_images(), "hidden2"))


def test_the_linear_encoder_is_the_normalised_image_and_has_no_weights():
    encoder = _drawn({"name": "linear", "in_channels": 1, "image_size": 4})
    encoder.set_normalisation([0.3], [0.2])
    torch.testing.assert_close(encoder(_images()), (_images().reshape(6, 16) - 0.3) / 0.2)
    assert (encoder.layers, encoder.dimension(), list(encoder.parameters())) == (("input",), 16, [])


@pytest.mark.parametrize(("activation", "gain"), [("gelu", 2), ("relu", 2), ("tanh", 1)])
def test_weights_have_the_variance_of_their_activation(activation, gain):
    encoder = _drawn({"name": "mlp", "hidden": [400], "activation": activation, "in_channels": 1, "image_size": 16})
    weight = encoder.state_dict()["hidden1.0.weight"].numpy()
    assert weight.var() == pytest.approx(gain / 256, rel=0.03)
    assert not encoder.state_dict()["hidden1.0.bias"].any()


@pytest.mark.parametrize("architecture", [SMALL, {"name": "linear", "in_channels": 1, "image_size": 4}])
def test_architecture_and_state_rebuild_the_encoder(architecture):
    encoder = _drawn(architecture)
    again = build(encoder.architecture)
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(_images()), encoder(_images()))
    assert again.architecture == encoder.architecture


@pytest.mark.parametrize(
    ("architecture", "where"),
    [
        ({"name": "mpl"}, ["architecture.name"]),
        ({"name": "mlp", "hidden": []}, ["architecture.hidden"]),
        ({"name": "mlp", "hidden": [8, 0]}, ["architecture.hidden"]),
        ({"name": "mlp", "hidden": 8}, ["architecture.hidden"]),
        ({"name": "mlp", "activation": "swish"}, ["architecture.activation"]),
        ({"name": "mlp", "width": 8, "image_size": 0}, ["architecture.width", "architecture.image_size"]),
        ({"name": "linear", "hidden": [8]}, ["architecture.hidden"]),
    ],
)
def test_a_wrong_description_is_named(architecture, where):
    with pytest.raises(BadInput) as caught:
        build(architecture)
    assert [p.where for p in caught.value.problems] == where


def test_an_unknown_layer_is_named():
    with pytest.raises(BadInput, match="hidden1, hidden2"):
        _drawn(SMALL)(_images(), "hidden3")
