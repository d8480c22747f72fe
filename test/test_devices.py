"""A loss on a CUDA device that is only pretended: PyTorch follows shapes and devices, and refuses to mix them."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from scdepth_core.training.base import SCDepthModule
from scdepth_core.training.plain import plain_loss
from scdepth_core.training.versions import VERSIONS

CUDA = torch.device("cuda", 0)


@pytest.fixture
def pretended(monkeypatch):
    """A batch there; modules that are made inside are there, too."""
    monkeypatch.setattr(SCDepthModule, "device", property(lambda _: CUDA))
    monkeypatch.setattr(SCDepthModule, "to", lambda module, *_, **__: module)  # they are where they should be
    monkeypatch.setattr(SCDepthModule, "step_generator", lambda _: None)  # real ones need a real device
    with FakeTensorMode(), CUDA:
        images = torch.empty(2, 3, 3, 64, 96, dtype=torch.uint8)
        yield {"images": images, "K": torch.empty(2, 3, 3), "pseudo_depth": torch.empty(2, 1, 64, 96)}


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_of_a_loss_stays_on_the_cpu(version, pretended):
    loss = VERSIONS[version](pretrained="none").compute_loss(pretended)
    assert {value.device for value in [loss.total, loss.coverage, *loss.terms.values(), *loss.logged.values()]} == {
        CUDA
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_nor_of_a_plain_one(version, pretended):
    assert plain_loss(VERSIONS[version](pretrained="none"), pretended).device == CUDA


def test_a_tensor_of_the_cpu_is_noticed(pretended):
    pretended["K"] = torch.eye(3, device="cpu").repeat(2, 1, 1)
    with pytest.raises(RuntimeError, match="two different devices|same device"):
        VERSIONS["v1"](pretrained="none").compute_loss(pretended)
