"""The switches of the trainer: averages, clipping, early stopping, pictures, the guard, compiling, processes."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scdepth_core import cli
from scdepth_core.checkpoint import load_weights
from scdepth_core.errors import TrainingError
from scdepth_core.geometry.pose import euler_to_matrix, pose_vec2mat
from scdepth_core.losses import ConsistencyOptions, view_synthesis
from scdepth_core.training import base, v1, validation
from scdepth_core.training.nan_guard import NanGuard
from scdepth_core.training.timed_step import moving_batch
from scdepth_core.training.v1 import SCDepthV1
from scdepth_core.training.versions import VERSIONS

SMALL = (
    *("--model.pretrained", "none", "--samples.height", "64", "--samples.width", "64"),
    *("--samples.batch_size", "2", "--samples.workers", "0", "--samples.validation_stride", "4"),
    *("--trainer.accelerator", "cpu", "--trainer.limit_train_batches", "1", "--trainer.log_every_n_steps", "1"),
)


def train(data, out, *options):
    return cli.main(["train", "--data", str(data), "--out", str(out), *SMALL, *options])


@contextlib.contextmanager
def worsening_scores():
    """No validation is better than the one before."""
    original, scores = validation.depth_errors, itertools.count(1)
    validation.depth_errors = lambda *arguments: original(*arguments) | {"abs_rel": float(next(scores))}
    try:
        yield
    finally:
        validation.depth_errors = original


@pytest.fixture(scope="module")
def run(tiny_data, tmp_path_factory):
    """A run of V2 with every switch on, in which no validation is better than the first."""
    out = tmp_path_factory.mktemp("run") / "v2"
    switches = ("--ema", "0.5", "--patience", "1", "--pictures", "1", "--trainer.gradient_clip_val", "0.01")
    with contextlib.redirect_stdout(sys.stderr), worsening_scores():
        assert train(tiny_data, out, "--version", "v2", "--trainer.max_epochs", "5", *switches) == 0
    yield out
    shutil.rmtree(out)


@pytest.fixture(scope="module")
def saved(run):
    """Its best and its last checkpoint: after one step, and after two."""
    return [torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("best", "last")]


def test_early_stopping(saved):
    assert [checkpoint["global_step"] for checkpoint in saved] == [1, 2]  # of five epochs


def test_patience_begins_when_depth_learns(tiny_data, tmp_path, capsys):
    """Three steps of RectifyNet alone leave depth as it is; the first validation that counts comes after them."""
    warmup = ("--version", "v2", "--model.rectify_warmup_steps", "3", "--patience", "1", "--trainer.max_epochs", "9")
    network = ("--model.encoder", "mobilenet_v3_small", "--model.decoder", "half", "--samples.validation_stride", "8")
    with worsening_scores():
        assert train(tiny_data, tmp_path / "run", *warmup, *network) == 0
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4
    assert "stopped by --patience: 1 validation in a row without a better score" in capsys.readouterr().out


def test_averaged_weights_are_kept_and_exported(run, saved):
    best, last = saved
    name = "depth_net.encoder.encoder.conv1.weight"
    first, second = best["current_model_state"][name], last["current_model_state"][name]
    assert not torch.equal(first, second)
    assert torch.allclose(last["state_dict"][name], (first + second) / 2)
    exported, metadata = load_weights(run / "weights.safetensors")
    assert metadata.version == "v2"
    assert torch.equal(exported[name.removeprefix("depth_net.")], best["state_dict"][name])


def test_gradients_are_clipped(saved):
    """Adam's first moment is a tenth of the first gradient."""
    moments = [state["exp_avg"] for state in saved[0]["optimizer_states"][0]["state"].values()]
    assert torch.nn.utils.get_total_norm(moments).item() == pytest.approx(0.1 * 0.01, rel=1e-3)


def test_curves_and_pictures(run):
    events = EventAccumulator(str(run / "log")).Reload()
    terms = {
        "photometric",
        "geometry",
        "smoothness",
        "rotation_consistency",
        "rotation_triplet",
        "rotation_equivariance",
    }
    scalars = terms | {"total", "coverage", "rotation_before", "rotation_after"}
    assert {f"train/{name}" for name in scalars} <= set(events.Tags()["scalars"])
    pictures = {"target", "depth", "warp", "mask", "consistency", "error", "rectified"}
    assert {f"train/{name}" for name in pictures} == set(events.Tags()["images"])
    sizes = {name: events.Images(f"train/{name}")[0] for name in ("depth", "rectified")}
    assert (sizes["depth"].width, sizes["rectified"].width) == (64, 192)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--ema", "0.5"), "its version is v2, these settings say v1"),
        (("--version", "v2"), "it was trained with --ema – add --ema"),
    ],
)
def test_a_run_goes_on_only_as_it_began(run, tiny_data, capsys, options, words):
    assert train(tiny_data, run, "--resume", "last", *options) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--ema", "1.5"), "--ema is 1.5, expected a decay between 0 and 1"),
        (("--patience", "0"), "--patience is 0, expected at least 1"),
        (("--pictures", "-1"), "--pictures is -1"),
        (("--patience", "1", "--trainer.limit_val_batches", "0"), "--trainer.limit_val_batches 0 leaves none"),
        (("--model.learning_rate", "-1"), "--model.learning_rate is -1, expected at least 0"),
        (("--trainer.gradient_clip_val", "-1"), "--trainer.gradient_clip_val is -1, expected at least 0"),
        (("--trainer.accumulate_grad_batches", "0"), "--trainer.accumulate_grad_batches is 0, expected at least 1"),
        (("--model.weights.photometric", "-1"), "weights.photometric is -1, expected a finite number of at least 0"),
        (("--model.weights.smoothness", ".nan"), "weights.smoothness is nan, expected a finite number of at least 0"),
        (("--version", "v2", "--model.weights.rotation_triplet", "-1"), "weights.rotation_triplet is -1"),
        (("--version", "v3", "--model.weights.normal_ranking", ".inf"), "weights.normal_ranking is inf"),
        (("--model.loss.ssim_weight", "3"), "--model.loss.ssim_weight is 3, expected 0 to 1"),
        (("--trainer.strategy", "nonsense"), "Lightning cannot run with these --trainer settings"),
        (("--trainer.val_check_interval", "9"), "Lightning cannot run with these --trainer settings"),
        (("--version", "v7"), "version is 'v7', expected one of v1, v2, v3"),
    ],
)
def test_a_wrong_switch_is_one_sentence(tiny_data, tmp_path, capsys, options, words):
    assert train(tiny_data, tmp_path / "run", *options) == 1
    assert words in capsys.readouterr().err


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_its_batch(tiny_data, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    monkeypatch.setattr(v1, "edge_aware_smoothness", lambda depth, image: depth.mean() * math.nan)
    assert train(tiny_data, out) == 1
    captured = capsys.readouterr()
    sentence = captured.err.strip().splitlines()[-1]
    path = out / "bad_batch_step0_rank0.pt"
    assert sentence.startswith("scdepth: the loss of step 0 is not finite (loss nan); its batch is in")
    assert str(path) in sentence and "Traceback" not in captured.err
    kept = torch.load(path, weights_only=True)
    assert kept["batch"]["images"].shape == (2, 3, 3, 64, 64) and kept["batch"]["K"].shape == (2, 3, 3)
    assert not (out / "checkpoints").exists() and not list(out.rglob("*.partial"))


@pytest.mark.parametrize(("halvings", "stops"), [(16, False), (17, True)])
def test_float16_whose_scale_only_falls_stops_the_run(tmp_path, halvings, stops):
    """Infinite gradients are right for some steps; the scaler begins at 2^16 and halves it for each."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0 ** (16 - halvings))
    trainer = SimpleNamespace(
        precision="16-mixed", precision_plugin=SimpleNamespace(scaler=scaler), global_step=7, global_rank=0
    )
    guard = NanGuard(tmp_path)
    guard.on_train_batch_start(trainer, None, {"images": torch.zeros(1)}, 0)
    guard.on_before_backward(trainer, None, torch.tensor(0.5))
    expected = pytest.raises(TrainingError, match="the gradient of step 7 is not finite")
    with expected if stops else contextlib.nullcontext():
        guard.on_after_backward(trainer, None)
    assert (tmp_path / "bad_batch_step7_rank0.pt").exists() == stops


def test_the_bar_shows_images_a_second(tiny_data, tmp_path, capsys):
    options = ("--trainer.max_epochs", "1", "--trainer.limit_val_batches", "1", "--pictures", "0")
    assert train(tiny_data, tmp_path / "run", *options) == 0
    assert re.search(r"images/s=\d+\.\d", capsys.readouterr().out)


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_geometry_stays_in_float32_where_networks_compute_in_16_bits(version, monkeypatch):
    """Products of matrices are what autocast would round: poses, rays, rotations."""
    torch.manual_seed(0)
    module, batch = VERSIONS[version](pretrained="none"), moving_batch(2, 64, 64, torch.device("cpu"))
    products, convolved = [], []
    original = torch.Tensor.__matmul__

    def product(a, b):
        products.append(original(a, b).dtype)
        return original(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", product)
    module.depth_net.decoder.upconvs0[0].register_forward_hook(lambda _, inputs, out: convolved.append(out.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = module.compute_loss(batch)
        rotated = euler_to_matrix(torch.tensor([0.03, -0.06, 0.05]))
    assert torch.equal(rotated, euler_to_matrix(torch.tensor([0.03, -0.06, 0.05])))
    assert products and set(products) == {torch.float32} and set(convolved) == {torch.bfloat16}
    assert loss.total.dtype is torch.float32 and all(term.dtype is torch.float32 for term in loss.terms.values())


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped_in_bfloat16(tiny_data, tmp_path, algorithm):
    clip = ("--trainer.gradient_clip_val", "0.01", "--trainer.gradient_clip_algorithm", algorithm)
    options = ("--trainer.precision", "bf16-mixed", "--trainer.max_epochs", "1", "--trainer.limit_val_batches", "0")
    assert train(tiny_data, tmp_path / "run", *clip, *options) == 0


def test_pictures_come_with_accumulated_gradients(tiny_data, tmp_path):
    """Three batches, two of them a step: the last one of an epoch is a step, too."""
    out = tmp_path / "run"
    batches = ("--trainer.limit_train_batches", "3", "--trainer.accumulate_grad_batches", "2", "--pictures", "2")
    assert train(tiny_data, out, "--trainer.max_epochs", "2", "--trainer.limit_val_batches", "0", *batches) == 0
    events = EventAccumulator(str(out / "log")).Reload()
    assert [picture.step for picture in events.Images("train/depth")] == [2, 4]


def test_photometric_validation_of_v2_looks_at_rectified_sources(monkeypatch):
    module = VERSIONS["v2"](pretrained="none", validation="photometric")
    batch, turned = moving_batch(1, 64, 64, torch.device("cpu")), []
    original = module.rectify
    monkeypatch.setattr(module, "rectify", lambda frames, K: turned.append(original(frames, K)) or turned[0])
    views = module.views_of(batch, module.options)
    assert len(turned) == 1 and views.frames[1] is turned[0].frames[1]


def test_random_numbers_belong_to_a_step(monkeypatch):
    torch.manual_seed(3)
    model = SCDepthV1(pretrained="none")
    draws = [torch.rand(3, generator=model.step_generator()) for _ in range(2)]
    assert torch.equal(*draws)
    for name in ("micro_batch", "global_step"):
        monkeypatch.setattr(SCDepthV1, name, 1)
        draws.append(torch.rand(3, generator=model.step_generator()))
    assert len({tuple(draw.tolist()) for draw in draws}) == 3


def test_compiled_warps_are_the_same():
    generator = torch.Generator().manual_seed(0)
    frames = [torch.randn(1, 3, 32, 40, generator=generator) for _ in range(2)]
    depths = [1 + torch.rand(1, 1, 32, 40, generator=generator) for _ in range(2)]
    pose = pose_vec2mat(torch.tensor([[0.1, 0.0, 0.05, 0.0, 0.01, 0.0]]))
    K = torch.tensor([[[40.0, 0, 19.5], [0, 40.0, 15.5], [0, 0, 1]]])
    arguments = (frames, depths, [pose], [pose], K, ConsistencyOptions())
    for one, other in zip(view_synthesis(*arguments)[0], torch.compile(view_synthesis, backend="eager")(*arguments)[0]):
        assert torch.allclose(one.photometric, other.photometric, atol=1e-6)
        assert torch.equal(one.valid, other.valid)


def test_what_cannot_be_compiled_says_so(tiny_data, tmp_path, capsys, monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(base, "COMPILER", broken)
    assert train(tiny_data, tmp_path / "run", "--model.compile", "true") == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "no C++ compiler" in error and error.endswith("--model.compile false")


@pytest.mark.timeout(900)
def test_two_processes_train_together(tiny_data, tmp_path):
    """With gloo on the CPU; a parameter without a gradient would stop it in the second step."""
    out = tmp_path / "run"
    where = ("--version", "v2", "--data", str(tiny_data), "--out", str(out))
    processes = ("--trainer.strategy", "ddp", "--trainer.devices", "2", "--trainer.limit_train_batches", "2")
    options = ("--trainer.max_epochs", "1", "--trainer.limit_val_batches", "1", "--trainer.num_sanity_val_steps", "0")
    network = ("--model.encoder", "mobilenet_v3_small", "--model.decoder", "half")
    command = [sys.executable, "-m", "scdepth_core.cli", "train", *where, *SMALL, *network, *processes, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    assert torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2
    assert done.stdout.count("weights.safetensors") == 1
