"""One epoch on spoilt frames stays finite; `python test/stability.py --steps 2000` is the long form."""

from __future__ import annotations

import pytest
import torch
from stability import laced_data, train

from scdepth_core.training.v1 import SCDepthV1
from scdepth_core.training.versions import VERSIONS


@pytest.fixture(scope="module")
def laced(tmp_path_factory):
    return laced_data(tmp_path_factory.mktemp("laced") / "data", frames=12)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_loss_and_gradient_of_a_run_is_finite(laced, version):
    watch = train(laced, version, steps=5)
    assert {"total", "photometric", "geometry", "coverage"} < watch.seen and watch.worst[0] > 0


def test_the_watch_sees_what_is_not_finite(laced, monkeypatch):
    compute_loss = SCDepthV1.compute_loss

    def spoilt(self, batch):
        loss = compute_loss(self, batch)
        loss.total = loss.total * torch.tensor(float("inf"))
        return loss

    monkeypatch.setattr(SCDepthV1, "compute_loss", spoilt)
    with pytest.raises(AssertionError, match="step 0: the gradient of depth_net.* is not finite"):
        train(laced, "v1", steps=1)
