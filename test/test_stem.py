"""The first convolution of a ResNet computes what PyTorch's does, values and gradients, and leaves others alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from scdepth_core.networks import stem as module
from scdepth_core.networks.stem import StemConv2d, use_quick_stem
from scdepth_core.training.timed_step import moving_batch
from scdepth_core.training.v2 import SCDepthV2


def drawn(*shape, seed=0, **options) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(**options)


def quick_and_plain(channels: int) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(channels, 5, 7, stride=2, padding=3, bias=False))
    quick = copy.deepcopy(plain)
    use_quick_stem(quick)
    assert type(quick[0]) is StemConv2d and quick.state_dict().keys() == plain.state_dict().keys()
    return quick, plain


@pytest.mark.parametrize("size", [(8, 12), (2, 2), (6, 4)])
def test_gradients_of_gradcheck(size):
    image, weight = drawn(2, 3, *size).requires_grad_(), drawn(4, 3, 7, 7, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(module._Convolution.apply, (image, weight))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [3, 6])
def test_it_is_pytorchs(layout, channels, monkeypatch):
    asked = []
    monkeypatch.setattr(
        module, "_image_gradient", lambda *given, f=module._image_gradient: asked.append(1) or f(*given)
    )
    results = []
    for layer in quick_and_plain(channels):
        layer.to(memory_format=layout)
        image = drawn(2, channels, 32, 64, dtype=torch.float32).contiguous(memory_format=layout).requires_grad_()
        y = layer(image)
        y.backward(torch.cos(y.detach()))
        results.append((y, image.grad, layer[0].weight.grad))
    assert asked == [1]
    for ours, others in zip(*results):
        assert ours.shape == others.shape and (ours - others).abs().max() < 1e-5 * others.abs().max()


@pytest.mark.parametrize(
    ("shape", "options", "wanted"),
    [
        ((1, 3, 8, 8), {"dtype": torch.float32}, False),  # no gradient of the image
        ((1, 3, 7, 8), {"dtype": torch.float32}, True),
        ((1, 3, 8, 8), {"dtype": torch.float64}, True),
        ((1, 3, 8, 8), {"dtype": torch.bfloat16}, True),
    ],
)
def test_everything_else_is_left_to_pytorch(shape, options, wanted, monkeypatch):
    monkeypatch.setattr(module, "_image_gradient", None)  # would be called
    quick, plain = (layer.to(**options) for layer in quick_and_plain(3))
    image = drawn(*shape, **options).requires_grad_(wanted)
    y = quick(image)
    assert torch.equal(y, plain(image))
    y.sum().backward()


def test_other_convolutions_stay():
    others = nn.Sequential(
        nn.Conv2d(3, 4, 7, stride=2, padding=3), nn.Conv2d(3, 4, 7, padding=3, bias=False), nn.Conv2d(3, 4, 3, 2, 1)
    )
    use_quick_stem(others)
    assert [type(layer) for layer in others] == [nn.Conv2d] * 3


def test_v2_learns_the_same():
    batch = moving_batch(2, 128, 160, torch.device("cpu"))
    gradients = []
    for quick in (False, True):
        torch.manual_seed(0)
        v2 = SCDepthV2(pretrained="none", winograd=False)
        if quick:
            v2.use_quick_layers()
            stems = [name for name, layer in v2.named_modules() if isinstance(layer, StemConv2d)]
            assert stems == [f"{net}.encoder.encoder.conv1" for net in ("depth_net", "pose_net", "rectify_net")]
        v2.compute_loss(batch).total.backward()
        gradients.append({name: p.grad for name, p in v2.named_parameters() if p.grad is not None})
    plain, quick = gradients
    assert plain.keys() == quick.keys()
    for name, value in plain.items():
        assert (quick[name] - value).abs().max() < 1e-3 * value.abs().max().clamp(min=1e-6), name
