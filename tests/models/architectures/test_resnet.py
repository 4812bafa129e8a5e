"""ResNet-18 for small images: its size, its layers, the two functions of its batch statistics."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.arrays.random import stream  # noqa: E402
from limen.models.architectures.registry import build  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch


def _drawn(width=4, size=16, key=0):
    encoder = build({"name": "resnet18", "width": width, "in_channels": 3, "image_size": size})
    encoder.initialise(stream("test weights", key))
    return encoder


def _images(n=6, size=16):
    return torch.from_numpy(stream("resnet images", size).random((n, 3, size, size), dtype=np.float32))


@pytest.mark.parametrize(("width", "parameters"), [(64, 11_173_962), (16, 701_466)])
def test_the_number_of_parameters_with_a_head_of_10_classes(width, parameters):
    """11,173,962 is the number of the CIFAR form that everyone counts; 701,466 the sum over layers at width 16."""
    encoder = build({"name": "resnet18", "width": width})
    w = width
    convolutions = 27 * w + 36 * w**2 + sum((18 + 36 + 36 + 36 + 2) * (w << s - 1) ** 2 for s in (1, 2, 3))
    norms = 2 * w * 5 + sum(2 * (w << s) * 5 for s in (1, 2, 3))
    found = sum(p.numel() for p in encoder.parameters())
    assert found == convolutions + norms
    assert found + 8 * w * 10 + 10 == parameters


def test_no_pooling_before_the_stages_and_one_halving_at_each_after_the_first():
    encoder, sizes = _drawn(size=32), []
    x = encoder.normalise(_images(2, 32))
    for name in encoder.layers:
        x = encoder.get_submodule(name)(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(4, 32, 32), (4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 4, 4)]


def test_every_layer_has_the_dimension_it_says():
    encoder, images = _drawn().eval(), _images()
    for layer in encoder.layers:
        assert encoder(images, layer).shape == (6, encoder.dimension(layer))
    assert torch.equal(encoder(images), encoder(images, "stage4"))


def test_a_row_depends_on_its_batch_in_training_and_on_itself_alone_when_read_out():
    encoder, images = _drawn(), _images()
    together = encoder(images)
    assert not torch.allclose(together[:2], encoder(images[:2]), rtol=1e-2, atol=1e-3)
    encoder.eval()
    alone = torch.cat([encoder(image[None]) for image in images])
    torch.testing.assert_close(encoder(images), alone, rtol=1e-4, atol=1e-5)


def test_settled_statistics_are_those_of_the_images_so_both_functions_agree_on_them():
    encoder, images = _drawn(), _images(64)
    assert not torch.allclose(encoder.eval()(images), encoder.train()(images), rtol=0.1)
    encoder = _drawn()
    encoder.settle(images)
    state = encoder.state_dict()
    conv = torch.nn.functional.conv2d(encoder.normalise(images), state["stem.0.weight"], padding=1)
    torch.testing.assert_close(state["stem.1.running_mean"], conv.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert (int(state["stem.1.num_batches_tracked"]), encoder.stem[1].momentum, encoder.training) == (0, 0.1, True)
    # The running variance is the unbiased one, so the two differ by 1/(n − 1) relative.
    torch.testing.assert_close(encoder.eval()(images), encoder.train()(images), rtol=0.02, atol=0.01)


def test_a_residual_block_is_its_formula():
    block, x = _drawn().eval().stage2[0], torch.from_numpy(stream("block").standard_normal((2, 4, 8, 8))).float()
    conv = torch.nn.functional.conv2d

    def norm(n, y):
        return (y - n.running_mean[:, None, None]) / (n.running_var[:, None, None] + n.eps) ** 0.5

    inner = norm(block.norm1, conv(x, block.conv1.weight, stride=2, padding=1)).relu()
    inner = norm(block.norm2, conv(inner, block.conv2.weight, padding=1))
    expected = (inner + norm(block.shortcut[1], conv(x, block.shortcut[0].weight, stride=2))).relu()
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


def test_architecture_and_state_rebuild_the_encoder():
    encoder = _drawn()
    encoder(_images())  # moves the running statistics
    again = build(encoder.architecture)
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again.eval()(_images()), encoder.eval()(_images()))


def test_weights_depend_on_the_key_and_not_on_torchs_global_generator():
    torch.manual_seed(1)
    one = _drawn(key=0).state_dict()
    torch.manual_seed(2)
    two, other = _drawn(key=0).state_dict(), _drawn(key=1).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["stage4.1.conv2.weight"], other["stage4.1.conv2.weight"])


def test_saved_weights_are_an_encoder_of_the_torch_source(tmp_path):
    from safetensors.numpy import save_file

    from limen.models.torch_checkpoint import load_checkpoint

    encoder = _drawn()
    encoder.settle(_images())
    save_file({name: tensor.numpy() for name, tensor in encoder.state_dict().items()}, tmp_path / "w.safetensors")
    loaded = load_checkpoint({"path": tmp_path / "w.safetensors", "architecture": {"name": "resnet18", "width": 4}})
    pixels = np.moveaxis(_images().numpy(), 1, 3)
    torch.testing.assert_close(torch.from_numpy(loaded.encode(pixels)), encoder.eval()(_images()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("change", [{"width": 0}, {"width": True}, {"stem_stride": 2}, {"image_size": 7}], ids=str)
def test_a_wrong_option_is_named(change):
    with pytest.raises(BadInput) as caught:
        build({"name": "resnet18", **change})
    assert [p.where for p in caught.value.problems] == [f"architecture.{next(iter(change))}"]
