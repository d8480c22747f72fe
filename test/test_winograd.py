"""Convolutions by Winograd are convolutions: values and gradients, in every network that trains with them."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scdepth_core import machine
from scdepth_core.networks import winograd
from scdepth_core.networks.winograd import WinogradConv2d, convolve3x3, use_winograd
from scdepth_core.training.base import SCDepthModule
from scdepth_core.training.timed_step import moving_batch
from scdepth_core.training.versions import VERSIONS

CPU = torch.device("cpu")


def drawn(*shape, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


def test_one_tile_by_hand():
    """A kernel of ones adds up neighbours: of 0 to 35 in rows of six, nine times the middle one."""
    image = torch.arange(36.0).view(1, 1, 6, 6)
    sums = 9 * image[:, :, 1:5, 1:5]
    assert torch.allclose(convolve3x3(image, torch.ones(1, 1, 3, 3)), sums, atol=1e-4)


@pytest.mark.parametrize("chunk", [1, 2400, winograd.CHUNK], ids=["row by row", "some rows", "at once"])
@pytest.mark.parametrize("shape", [(2, 3, 10, 6), (3, 2, 9, 11), (1, 2, 3, 3), (2, 1, 4, 5), (2, 2, 19, 5)])
def test_values_and_gradients(shape, chunk, monkeypatch):
    monkeypatch.setattr(winograd, "CHUNK", chunk)
    inputs = [drawn(*shape).requires_grad_(), drawn(4, shape[1], 3, 3).requires_grad_()]
    ours, others = convolve3x3(*inputs), F.conv2d(*inputs)
    assert torch.allclose(ours, others, atol=1e-12)
    above = drawn(*ours.shape)
    for one, other in zip(*(torch.autograd.grad(result, inputs, above) for result in (ours, others))):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, winograd.CHUNK], ids=["row by row", "at once"])
def test_gradients_are_differences(chunk, monkeypatch):
    monkeypatch.setattr(winograd, "CHUNK", chunk)
    assert torch.autograd.gradcheck(
        convolve3x3, [drawn(1, 2, 9, 4).requires_grad_(), drawn(3, 2, 3, 3).requires_grad_()]
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_rounding_in_float32(layout):
    image, weight = drawn(2, 64, 18, 22, dtype=torch.float32), drawn(96, 64, 3, 3, dtype=torch.float32)
    image, weight = (tensor.to(memory_format=layout).requires_grad_() for tensor in (image, weight))
    ours, others = convolve3x3(image, weight), F.conv2d(image, weight)
    above = torch.cos(3 * others.detach())
    pairs = [(ours, others), *zip(*(torch.autograd.grad(y, (image, weight), above) for y in (ours, others)))]
    for one, other in pairs:
        assert (one - other).abs().max() < 5e-5 * other.abs().max()


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect"])
@pytest.mark.parametrize("bias", [True, False])
def test_padding_and_bias(padding_mode, bias):
    direct = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1, padding_mode=padding_mode, bias=bias))
    ours = copy.deepcopy(direct)
    use_winograd(ours)
    assert type(ours[0]) is WinogradConv2d and ours.state_dict().keys() == direct.state_dict().keys()
    image = drawn(2, 64, 7, 9, dtype=torch.float32)
    one, other = ours(image), direct(image)
    assert torch.allclose(one, other, atol=1e-4) and not torch.equal(one, other)
    one.square().sum().backward()
    other.square().sum().backward()
    for mine, parameter in zip(ours.parameters(), direct.parameters()):
        assert torch.allclose(mine.grad, parameter.grad, rtol=1e-3, atol=1e-3)


def test_it_is_the_direct_convolution_where_nothing_is_trained():
    """Without gradients, in bfloat16 and in float64 there is nothing to gain, or too much to lose."""
    direct = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1))
    ours = copy.deepcopy(direct)
    use_winograd(ours)
    image = drawn(1, 64, 8, 8, dtype=torch.float32)
    with torch.no_grad():
        assert torch.equal(ours(image), direct(image))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ours(image), direct(image))
    assert torch.equal(ours.double()(image.double()), direct.double()(image.double()))


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(64, 64, 1),
        nn.Conv2d(64, 64, 3, stride=2),
        nn.Conv2d(64, 64, 3, dilation=2),
        nn.Conv2d(64, 64, 3, groups=2),
        nn.Conv2d(64, 16, 3),
        nn.Conv2d(3, 64, 3),
    ],
)
def test_what_does_not_pay_stays(conv):
    network = nn.Sequential(conv)
    use_winograd(network)
    assert network[0] is conv


@pytest.mark.parametrize("version", VERSIONS)
def test_the_loss_of_a_batch_is_the_same(version):
    direct, ours = (_module(version, choice) for choice in (False, True))
    assert _exchanged(ours) > _exchanged(direct) == 0
    batch = moving_batch(2, 64, 64, CPU)
    one, other = (module.compute_loss(batch).total.item() for module in (ours, direct))
    assert one == pytest.approx(other, rel=1e-4)


def test_the_gradients_of_networks_are_the_same():
    """Of a smooth function of what they say: the masks of a loss flip pixels for any rounding.

    Single ReLUs do so as well, and move gradients of the layers before them by half a per cent.
    """
    image, source = moving_batch(2, 64, 64, CPU)["images"].float().div(255).unbind(1)[:2]
    gradients = []
    for choice in (False, True):
        module = _module("v1", choice)
        (module.depth_net(image).square().mean() + module.pose_net(image, source).square().mean()).backward()
        gradients.append({name: p.grad for name, p in module.named_parameters() if p.grad is not None})
    direct, ours = gradients
    assert ours.keys() == direct.keys() and len(ours) > 100
    apart = torch.stack([(ours[name] - gradient).norm() / gradient.norm() for name, gradient in direct.items()])
    assert apart.median() < 1e-4 and apart.max() < 2e-2


@pytest.mark.parametrize(("flags", "expected"), [("fma avx2", True), ("avx2 avx512f", False), ("asimd", False)])
def test_without_a_word_it_is_used_where_it_was_found_to_pay(flags, expected, monkeypatch):
    monkeypatch.setattr(machine, "_cpuinfo", lambda: f"flags : {flags}")
    assert (_exchanged(VERSIONS["v1"](pretrained="none")) > 0) is expected


def _module(version: str, winograd: bool) -> SCDepthModule:
    torch.manual_seed(1)
    return VERSIONS[version](pretrained="none", winograd=winograd)


def _exchanged(module: SCDepthModule) -> int:
    return sum(isinstance(layer, WinogradConv2d) for layer in module.modules())
