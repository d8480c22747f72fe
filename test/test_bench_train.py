"""`scdepth bench train`: the plain implementation is the same training, and every figure has its baseline."""

from __future__ import annotations

import argparse
import json

import pytest
import torch

from scdepth_core import cli
from scdepth_core.losses import ConsistencyOptions
from scdepth_core.training.bench import _peak_of_steps, markdown
from scdepth_core.training.loader_speed import loader_speed
from scdepth_core.training.plain import plain_loss
from scdepth_core.training.timed_step import moving_batch
from scdepth_core.training.versions import VERSIONS

CPU = torch.device("cpu")


def bench(*options) -> int:
    return cli.main(["bench", "train", "--device", "cpu", "--threads", "1", *map(str, options)])


def loss_and_gradients(module, loss: torch.Tensor) -> tuple[float, dict[str, torch.Tensor]]:
    module.zero_grad()
    loss.backward()
    return loss.item(), {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("version", "options"),
    [
        *((version, ConsistencyOptions()) for version in VERSIONS),
        ("v1", ConsistencyOptions(ssim_weight=0.0, auto_mask=False, dynamic_mask=False, minimum=False)),
    ],
)
def test_a_plain_step_is_a_step_of_the_module(version, options):
    """Same weights, same batch: the loss and every gradient, with the networks run frame by frame."""
    torch.manual_seed(1)
    module = VERSIONS[version](pretrained="none", batch_frames=False, winograd=False, loss=options)
    batch = moving_batch(2, 64, 64, CPU)
    loss, gradients = loss_and_gradients(module, module.compute_loss(batch).total)
    plain, others = loss_and_gradients(module, plain_loss(module, batch))
    assert plain == pytest.approx(loss, rel=1e-5) and loss > 0.05
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        assert (gradient - others[name]).norm() <= 1e-3 * gradient.norm(), name


def test_a_table_with_ratios_losses_and_the_loader(capsys):
    options = ("--versions", "v1", "v3", "--size", "64x64", "--batch", 1, "--rounds", 1, "--no-memory", "--json")
    assert bench(*options) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["machine"]["threads"] == 1 and report["machine"]["versions"]["torch"]
    rows = {(row["version"], row["how"]): row for row in report["rows"]}
    assert list(rows) == [
        *(("v1", how) for how in ("plain", "batched", "frame by frame")),
        *(("v3", how) for how in ("plain", "batched")),
    ]
    assert rows["v1", "plain"]["ratio"] == rows["v3", "plain"]["ratio"] == 1
    same = rows["v1", "plain"]["loss"], rows["v1", "frame by frame"]["loss"]
    assert same[0] == pytest.approx(same[1], rel=1e-4) != rows["v1", "batched"]["loss"]
    assert all(row["images_per_s"] == pytest.approx(3e3 / row["median_ms"]) for row in rows.values())
    v1, v3 = rows["v1", "batched"], rows["v3", "batched"]
    assert v3["over_v1"] == pytest.approx(v3["median_ms"] / v1["median_ms"] - 1) and v1["over_v1"] is None
    loader = report["loader"]
    assert (loader["frame_width"], loader["frame_height"], loader["kind"]) == (640, 480, "jpg")
    assert loader["per_core"] > 0 and min(loader[f"{part}_ms"] for part in ("decode", "resize", "augment")) >= 0
    lines = markdown(report).splitlines()
    assert "load average" in lines[0] and len({line.count("|") for line in lines[3:10]}) == 1
    assert lines[-1].startswith("Loader: ")


def test_the_loader_reads_the_data_that_it_is_given(tiny_data):
    speed = loader_speed(tiny_data, (64, 64))
    assert (speed.frame_width, speed.frame_height) == (80, 64) and speed.per_core > 0


def test_memory_is_that_of_two_steps():
    how = {"precision": "bf16-mixed", "compile": False, "winograd": None}
    args = argparse.Namespace(device="cpu", batch=1, size=(64, 64), **how)
    assert 50 < _peak_of_steps("v1", "batched", args, 1) < 50_000


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--rounds", 0], "--rounds is 0"),
        (["--size", "100x64"], "--size is 100x64, expected multiples of 32"),
        (["--precision", "16-mixed"], "needs CUDA – use bf16-mixed"),
        (["--data", "nowhere"], "data set 'nowhere' is not a folder"),
    ],
)
def test_what_cannot_be_measured_is_refused(options, sentence, capsys):
    assert bench(*options) == 1
    assert sentence in capsys.readouterr().err
