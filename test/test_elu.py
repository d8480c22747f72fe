"""ELU tile by tile is ELU: values and gradients, wherever its input lies in memory."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from scdepth_core.inference.backends import load_backend
from scdepth_core.inference.exported_file import open_source
from scdepth_core.networks import DepthNet
from scdepth_core.networks import elu as module
from scdepth_core.networks.elu import ELU, use_tiled_elu
from scdepth_core.training.timed_step import Step, moving_batch
from scdepth_core.training.v1 import SCDepthV1

CPU = torch.device("cpu")
LAYOUTS = {"rows": torch.contiguous_format, "channels last": torch.channels_last}


def drawn(*shape, layout=torch.contiguous_format) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)


def tiled(x: torch.Tensor) -> torch.Tensor:
    layer = ELU()
    use_tiled_elu(layer)
    return layer(x)


def test_by_hand():
    x = torch.tensor([-math.inf, -100, -1, -math.log(2), 0, 0.5, 100, math.inf])
    expected = torch.tensor([-1, -1, math.exp(-1) - 1, -0.5, 0, 0.5, 100, math.inf])
    assert torch.allclose(tiled(x), expected, atol=1e-7)
    assert tiled(torch.tensor([math.nan])).isnan()


@pytest.mark.parametrize("tile", [7, module.TILE], ids=["many tiles", "one tile"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_values_and_gradients(layout, tile, monkeypatch):
    monkeypatch.setattr(module, "TILE", tile)
    x = drawn(2, 5, 6, 7, layout=layout).requires_grad_()
    ours, others = tiled(x * 1), F.elu(x)
    assert torch.allclose(ours, others, atol=2e-7) and ours.is_contiguous(memory_format=layout)
    above = torch.cos(others.detach())
    (one,), (other,) = (torch.autograd.grad(y, x, above) for y in (ours, others))
    assert torch.allclose(one, other, atol=5e-7)


def test_in_place_for_tensors_without_a_gradient():
    x = drawn(2, 3, 4, 5)
    expected = F.elu(x)
    assert tiled(x).data_ptr() == x.data_ptr() and torch.allclose(x, expected, atol=2e-7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_numbers_and_loose_memory_are_left_to_pytorch(dtype):
    x, loose = drawn(2, 3, 4, 5).to(dtype), drawn(2, 6, 4, 5)[:, ::2]
    for expected, given in ((F.elu(x), x), (F.elu(loose), loose)):
        assert torch.equal(tiled(given), expected)


def test_a_network_keeps_its_parameters_and_its_depth():
    torch.manual_seed(0)
    network = DepthNet().eval()
    names, image = list(network.state_dict()), drawn(1, 3, 64, 96)
    with torch.no_grad():
        before = network(image)
        use_tiled_elu(network)
        after = network(image)
    assert list(network.state_dict()) == names
    assert count_tiled(network) == 10
    assert torch.allclose(before, after, rtol=1e-5)


def test_the_pytorch_backend_computes_so():
    backend = load_backend(open_source(None), CPU, "torch", "float32")
    assert count_tiled(backend.network) == 10


def test_training_computes_so_and_the_plain_step_of_the_benchmark_does_not():
    step, plain = (Step("v1", moving_batch(1, 64, 64, CPU), CPU, plain=plain) for plain in (False, True))
    assert (count_tiled(step.module), count_tiled(plain.module)) == (10, 0)
    module = SCDepthV1(pretrained="none")
    module.trainer = SimpleNamespace(datamodule=None)
    module.setup("fit")
    assert count_tiled(module) == 10


def count_tiled(network: torch.nn.Module) -> int:
    return sum(isinstance(layer, ELU) and layer.tiled for layer in network.modules())
