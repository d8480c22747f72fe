"""`scdepth train`, from the command line to the exported weights, and the module by itself."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import itertools
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scdepth_core import cli
from scdepth_core.checkpoint import load_weights, save_weights
from scdepth_core.data import EpochSampler, SequenceDataset
from scdepth_core.data.scene_folder import SceneFolder, read_image
from scdepth_core.errors import CheckpointError, ConfigError, DataError
from scdepth_core.inference import DepthEstimator
from scdepth_core.losses import ConsistencyOptions
from scdepth_core.metrics import PROTOCOLS
from scdepth_core.networks.normalization import normalize
from scdepth_core.training import validation
from scdepth_core.training.base import SCDepthModule
from scdepth_core.training.checkpoint_io import AtomicCheckpointIO, check_resumable
from scdepth_core.training.data_module import SequenceDataModule
from scdepth_core.training.train import build_parser
from scdepth_core.training.v1 import SCDepthV1, V1Weights
from scdepth_core.training.versions import VERSIONS, asked_version
from scdepth_core.weights_metadata import WeightsMetadata

CONFIGS = sorted((Path(__file__).parent.parent / "config" / "train").glob("*.yaml"))
SMALL = (
    *("--model.pretrained", "none", "--samples.height", "64", "--samples.width", "64"),
    *("--samples.batch_size", "2", "--samples.workers", "0", "--samples.validation_stride", "4"),
    *("--trainer.accelerator", "cpu", "--trainer.limit_train_batches", "2", "--trainer.log_every_n_steps", "1"),
    *("--trainer.enable_progress_bar", "false"),
)


def train(data, out, *options):
    return cli.main(["train", "--data", str(data), "--out", str(out), *SMALL, *options])


class Killed(BaseException):
    """What nothing catches."""


@contextlib.contextmanager
def recorded_samples(killed_in: int | None = None):
    """The keys (epoch, index) of all training samples that are read meanwhile; the run dies in epoch `killed_in`."""
    keys, original = [], SequenceDataset.__getitem__

    def read(self, key):
        if isinstance(key, tuple) and key[0] == killed_in and keys[-1][0] == killed_in:
            raise Killed
        keys.append(key)
        return original(self, key)

    SequenceDataset.__getitem__ = read
    try:
        yield keys
    finally:
        SequenceDataset.__getitem__ = original


@contextlib.contextmanager
def worsening_scores():
    """Each validation frame scores worse than the one before, so that the first epoch is the best one."""
    original, scores = validation.depth_errors, itertools.count(1)
    validation.depth_errors = lambda *arguments: original(*arguments) | {"abs_rel": float(next(scores))}
    try:
        yield
    finally:
        validation.depth_errors = original


@pytest.fixture(scope="module")
def runs(tiny_data, tmp_path_factory):
    """Two epochs at a stretch, and the same killed within the second and resumed; neither improves in the second."""
    root = tmp_path_factory.mktemp("runs")
    keys = {}
    for name, out, options, killed_in in (
        ("straight", "straight", (), None),
        ("first half", "halves", (), 1),
        ("second half", "halves", ("--resume", "last"), None),
    ):
        with (
            recorded_samples(killed_in) as keys[name],
            contextlib.redirect_stdout(io.StringIO()) as said,
            worsening_scores(),
            pytest.raises(Killed) if killed_in else contextlib.nullcontext(),
        ):
            assert train(tiny_data, root / out, "--trainer.max_epochs", "2", *options) == 0
    yield argparse.Namespace(root=root, straight=root / "straight", halves=root / "halves", keys=keys, said=said)
    shutil.rmtree(root)  # each checkpoint has a hundred megabytes


@pytest.fixture(scope="module")
def batch(tiny_data):
    """Two samples of 64x64."""
    data = SequenceDataset(SceneFolder(tiny_data).training, 64, 64)
    return torch.utils.data.default_collate([data[2], data[8]])


def module(**options) -> SCDepthV1:
    torch.manual_seed(1)
    return SCDepthV1(pretrained="none", **options)


# --- the command --------------------------------------------------------------------------------------------------


def test_a_run_leaves_checkpoints_logs_and_weights(runs):
    assert sorted(path.name for path in (runs.straight / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert not list(runs.straight.rglob("*.partial"))
    events = EventAccumulator(str(runs.straight / "log")).Reload()
    tags = set(events.Tags()["scalars"])
    terms = {f"train/{name}" for name in ("total", "photometric", "geometry", "smoothness", "coverage")}
    assert terms | {"val/score", "val/abs_rel", "val/rmse", "val/a1", "val/scale_spread"} <= tags
    assert len(events.Scalars("train/photometric")) == 4
    assert len(events.Scalars("val/score")) == 2
    assert "best validation score" in runs.said.getvalue() and "weights.safetensors" in runs.said.getvalue()


def test_the_weights_predict_what_the_trained_module_predicts(runs, tiny_data):
    estimator = DepthEstimator.load(runs.straight / "weights.safetensors", "cpu")
    assert (estimator.metadata.height, estimator.metadata.width) == (64, 64)
    assert estimator.metadata.version == "v1" and estimator.metadata.encoder == "resnet18"
    assert estimator.metadata.dataset == "tiny, 2 training scenes"
    trained = module()
    trained.load_state_dict(torch.load(runs.straight / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"])
    picture = read_image(SceneFolder(tiny_data).testing[0][0])[:, 8:72]
    with torch.no_grad():
        depth = trained.eval()(normalize(torch.from_numpy(picture.transpose(2, 0, 1).copy())[None]))[0, 0].numpy()
    assert np.allclose(estimator.predict(picture), depth, rtol=1e-5)
    assert np.ptp(depth) > 0


def test_a_resumed_run_is_the_run_that_was_never_stopped(runs):
    killed = runs.keys["first half"].pop()  # read in the second epoch, and again after the kill
    assert killed == next(key for key in runs.keys["straight"] if isinstance(key, tuple) and key[0] == 1)
    assert runs.keys["first half"] + runs.keys["second half"] == runs.keys["straight"]
    assert {key[0] for key in runs.keys["straight"] if isinstance(key, tuple)} == {0, 1}
    straight, halves = (
        torch.load(out / "checkpoints" / "last.ckpt", weights_only=True) for out in (runs.straight, runs.halves)
    )
    assert straight["global_step"] == halves["global_step"] == 4  # also when the last epoch is not the best
    for name, value in straight["state_dict"].items():
        assert torch.allclose(value, halves["state_dict"][name], rtol=1e-5, atol=1e-7), name
    moments = (saved["optimizer_states"][0]["state"] for saved in (straight, halves))
    for one, other in zip(*(state.values() for state in moments)):
        assert one["step"] == other["step"] == 4
        assert torch.allclose(one["exp_avg"], other["exp_avg"], rtol=1e-3, atol=1e-7)


def test_loader_processes_go_on_with_the_epoch_of_the_checkpoint(tiny_data, tmp_path, monkeypatch):
    """They read ahead before Lightning says which epoch it is."""
    epochs, original = [], EpochSampler.__iter__
    monkeypatch.setattr(EpochSampler, "__iter__", lambda self: epochs.append(self.epoch) or original(self))
    options = ("--samples.workers", "1", "--trainer.limit_val_batches", "0")
    assert train(tiny_data, tmp_path / "run", *options, "--trainer.max_epochs", "2") == 0
    assert train(tiny_data, tmp_path / "run", *options, "--trainer.max_epochs", "4", "--resume", "last") == 0
    assert epochs == [0, 1, 2, 3]


def test_the_best_epoch_is_kept_and_exported(runs):
    for out in (runs.straight, runs.halves):
        best = torch.load(out / "checkpoints" / "best.ckpt", weights_only=True)
        assert best["global_step"] == 2
        exported, _ = load_weights(out / "weights.safetensors")
        assert all(torch.equal(value, best["state_dict"][f"depth_net.{name}"]) for name, value in exported.items())


def test_an_existing_run_is_not_overwritten(runs, tiny_data, capsys):
    before = (runs.straight / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    assert train(tiny_data, runs.straight) == 1
    assert "go on with --resume last, or choose another --out" in capsys.readouterr().err
    assert (runs.straight / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before


def test_resuming_what_is_not_there_or_does_not_fit(runs, tiny_data, tmp_path, capsys):
    assert train(tiny_data, tmp_path / "new", "--resume", "last") == 1
    assert "leave --resume out to start anew" in capsys.readouterr().err
    last = runs.straight / "checkpoints" / "last.ckpt"
    assert train(tiny_data, tmp_path / "new", "--resume", str(last), "--model.encoder", "resnet50") == 1
    assert "its encoder is resnet18, these settings say resnet50" in capsys.readouterr().err
    weights = runs.straight / "weights.safetensors"
    assert train(tiny_data, tmp_path / "new", "--resume", str(weights)) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "new" / "checkpoints").exists()


def test_without_depth_validation_says_so_before_it_trains(own_data, tmp_path, capsys):
    shutil.rmtree(own_data / "training" / "val_0000" / "depth")
    with recorded_samples() as keys:
        assert train(own_data, tmp_path / "run") == 1
    error = capsys.readouterr().err
    assert "--model.validation photometric" in error and "Traceback" not in error
    assert not keys


def test_without_validation_every_epoch_is_kept(own_data, tmp_path, capsys):
    (own_data / "training" / "val.txt").write_text("")
    assert train(own_data, tmp_path / "run", "--trainer.limit_val_batches", "0", "--trainer.max_epochs", "1") == 0
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["last.ckpt"]
    assert "not validated" in capsys.readouterr().out
    assert load_weights(tmp_path / "run" / "weights.safetensors")[1].width == 64
    shutil.rmtree(tmp_path / "run")


def test_photometric_validation_needs_no_depth(own_data, tmp_path, capsys):
    shutil.rmtree(own_data / "training" / "val_0000" / "depth")
    options = ("--model.validation", "photometric", "--trainer.fast_dev_run", "true")
    assert train(own_data, tmp_path / "run", *options) == 0
    assert "no checkpoint was written" in capsys.readouterr().out  # a trial run leaves nothing


def test_a_bad_file_is_one_sentence_even_from_a_loader_process(own_data, tmp_path, capsys):
    for scene in ("train_0000", "train_0001"):
        for path in (own_data / "training" / scene).glob("*.png"):
            path.write_bytes(b"half a picture")
    assert train(own_data, tmp_path / "run", "--samples.workers", "1", "--trainer.fast_dev_run", "true") == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("scdepth: '")
    assert error.endswith("cannot be decoded as an image – remove it or write it again")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--samples.height", "100"), "sample size is 100x64 (HxW), expected multiples of 32"),
        (("--samples.batch_size", "40"), "12 training samples a process, batch_size is 40"),
        (("--samples.stride", "0"), "stride 0"),
        (("--samples.workers", "-1"), "workers -1"),
        (("--samples.max_zoom", "0.5"), "max_zoom 0.5"),
        (("--model.protocol", "kiti"), "protocol 'kiti' is unknown, expected one of kitti"),
        (("--seed", "-1"), "--seed is -1"),
        (("--data", "nowhere"), "data set 'nowhere' is not a folder"),
    ],
)
def test_a_wrong_setting_is_one_sentence(tiny_data, tmp_path, capsys, options, words):
    assert train(tiny_data, tmp_path / "run", *options) == 1
    captured = capsys.readouterr()
    assert words in captured.err and captured.err.count("\n") == 1
    assert not (tmp_path / "run" / "checkpoints").exists()


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_help_names_every_setting(version):
    said = build_parser(version).format_help()
    weights = inspect.signature(VERSIONS[version]).parameters["weights"].default
    owners = {"samples": SequenceDataModule, "trainer": pl.Trainer, "model.loss": ConsistencyOptions}
    owners["model.weights"] = type(weights)
    wanted = {f"{group}.{name}" for group, owner in owners.items() for name in inspect.signature(owner).parameters}
    wanted |= {f"model.{name}" for name in inspect.signature(SCDepthModule).parameters}
    ours = {"samples.root", "samples.seed"}  # set through --data and --seed
    ours |= {f"trainer.{name}" for name in ("logger", "callbacks", "default_root_dir", "plugins")}
    ours |= {"trainer.enable_checkpointing", "trainer.barebones"}  # a run without checkpoints leaves nothing
    missing = [name for name in wanted - ours if f"--{name} " not in said and f"--{name}." not in said]
    assert not missing
    for name in ("--data", "--out", "--resume", "--seed", "--config", "--version", "--ema", "--patience", "--pictures"):
        assert f"{name} " in said
    assert "scdepth train --config" in said


def test_help_explains_every_setting_of_ours():
    """Each has its sentence from the docstring, not only a type."""
    said = build_parser().format_help()
    for words in ("backbone of DepthNet", "which benchmark's depth range", "probability of a left-right mirror"):
        assert words in said


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_shipped_recipes_are_valid(path):
    version = asked_version(["--config", str(path)])
    settings = build_parser(version).parse_args(["--config", str(path), "--data", "somewhere"])
    assert settings.samples.height % 32 == 0 and settings.samples.width % 32 == 0
    changed = build_parser(version).parse_args(["--config", str(path), "--data", "x", "--model.learning_rate", "0.5"])
    assert changed.model.learning_rate == 0.5


def test_there_are_recipes():
    assert CONFIGS


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--data", "x", "--model.encodr", "resnet18"),
            "arguments: --model.encodr resnet18 – see 'scdepth",
        ),
        (("--data", "x", "--model.learning_rate", "fast"), 'Parser key "model.learning_rate":'),
        ((), "--data is missing – give a data set"),
        (("--data", "nowhere", "--model.pretrained", "nowhere.pth"), "data set 'nowhere' is not a folder"),
    ],
)
def test_wrong_usage_is_one_sentence(options, words, capsys):
    """Said before networks are built, or their weights are looked for."""
    assert cli.main(["train", *options]) == 1
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_an_output_folder_that_cannot_be(tiny_data, tmp_path, capsys):
    out = tmp_path / "run"
    out.write_text("a file is in the way")
    assert cli.main(["train", "--data", str(tiny_data), "--out", str(out), "--model.pretrained", "none"]) == 1
    said = capsys.readouterr().err
    assert f"--out is '{out}', which is a file – expected a folder" in said and said.count("\n") == 1


# --- checkpoints --------------------------------------------------------------------------------------------------


def test_a_killed_write_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    io_plugin, path = AtomicCheckpointIO(), tmp_path / "checkpoints" / "last.ckpt"
    io_plugin.save_checkpoint({"state_dict": {"x": torch.ones(2)}}, path)

    def killed(checkpoint, target):
        Path(target).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        io_plugin.save_checkpoint({"state_dict": {"x": torch.zeros(2)}}, path)
    assert io_plugin.load_checkpoint(path)["state_dict"]["x"].tolist() == [1, 1]


class Attack:
    def __reduce__(self):
        return sys.exit, ("a checkpoint ran code",)


def test_resuming_never_runs_code_from_the_file(tmp_path):
    torch.save(
        {"state_dict": {}, "optimizer_states": Attack(), "loops": {}, "hyper_parameters": {}}, tmp_path / "x.ckpt"
    )
    for read in (AtomicCheckpointIO().load_checkpoint, lambda path: check_resumable(path, "v1", "resnet18")):
        with pytest.raises(CheckpointError, match="cannot be loaded safely"):
            read(tmp_path / "x.ckpt")


def test_weights_of_the_public_code_are_no_run_to_resume(tmp_path):
    torch.save({"state_dict": {"depth_net.x": torch.ones(1)}}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="it has no 'optimizer_states' – give a last.ckpt"):
        check_resumable(tmp_path / "x.ckpt", "v1", "resnet18")


# --- the module ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_frames", [True, False])
def test_every_parameter_learns(batch, batch_frames):
    model = module(batch_frames=batch_frames)
    model.compute_loss(batch).total.backward()
    idle = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not idle
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert all(".fc." in name or ".dispconvs." in name for name in frozen)
    assert all(p.grad is None for name, p in model.named_parameters() if name in frozen)


def test_batching_the_frames_changes_nothing_but_the_statistics(batch):
    together, apart = module(batch_frames=True).eval(), module(batch_frames=False).eval()
    with torch.no_grad():
        one, other = together.compute_loss(batch), apart.compute_loss(batch)
        assert torch.allclose(one.total, other.total, rtol=1e-4)
        assert torch.allclose(one.coverage, other.coverage, rtol=1e-4)
        for name, term in one.terms.items():
            assert torch.allclose(term, other.terms[name], rtol=1e-4), name
        one, other = (model.train().compute_loss(batch) for model in (together, apart))
    assert one.total != other.total


def test_memory_format_changes_nothing(batch):
    with torch.no_grad():
        one, other = (module(channels_last=choice).eval().compute_loss(batch).total for choice in (True, False))
    assert torch.allclose(one, other, rtol=1e-4)


def test_the_total_is_the_weighted_sum(batch):
    with torch.no_grad():
        loss = module(weights=V1Weights(2.0, 3.0, 5.0)).compute_loss(batch)
    photometric, geometry, smoothness = loss.terms.values()
    assert loss.total == pytest.approx(float(2 * photometric + 3 * geometry + 5 * smoothness), rel=1e-5)


def test_the_loss_of_one_batch_falls(batch):
    model = module()
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=3e-4)
    one = {name: value[:1] for name, value in batch.items()}
    history = []
    for _ in range(12):
        loss = model.compute_loss(one)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        history.append(loss.total.item())
    assert np.isfinite(history).all()
    assert history[-1] < 0.75 * history[0], history


def test_identical_frames_teach_nothing(batch):
    still = {"images": batch["images"][:, :1].repeat(1, 3, 1, 1, 1), "K": batch["K"]}
    model = module()
    model.pose_net.decoder.convs_pose[2].weight.data.zero_()
    model.pose_net.decoder.convs_pose[2].bias.data.zero_()
    loss = model.compute_loss(still)
    loss.total.backward()
    assert loss.coverage == 0 and loss.total == 0
    assert all(not p.grad.any() for p in model.parameters() if p.grad is not None)


class Weights(pl.Callback):
    """DepthNet's first convolution after each step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.seen.append(next(pl_module.depth_net.parameters()).detach().clone())


def test_an_empty_mask_leaves_the_weights(batch):
    """Identical frames leave the auto-mask nothing; the momentum of the step before would still move the weights."""
    still = {"images": batch["images"][:, :1].repeat(1, 3, 1, 1, 1), "K": batch["K"]}
    record, quiet = Weights(), {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, enable_checkpointing=False, callbacks=[record], **quiet)
    model = module(encoder="mobilenet_v3_small", decoder="half")
    trainer.fit(model, torch.utils.data.DataLoader([batch, still, batch], batch_size=None))
    first, second, third = record.seen
    assert torch.equal(first, second) and not torch.equal(second, third)


def validated(model, *batches):
    """What a validation of these batches logs."""
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    return trainer.validate(model, torch.utils.data.DataLoader(batches, batch_size=None), verbose=False)[0]


def test_a_collapsed_model_scores_worst(batch, monkeypatch):
    model = module(validation="photometric")
    assert np.isfinite(validated(model, batch)["val/score"])
    away = torch.tensor([[0.0, 0.0, -1e6, 0.0, 0.0, 0.0]]).repeat(len(batch["K"]) * 4, 1)
    monkeypatch.setattr(model.pose_net, "forward", lambda target, source: away)  # everything is behind the camera
    logged = validated(model, batch)
    assert logged["val/score"] == float("inf") and logged["val/coverage"] == 0


def test_a_still_batch_takes_no_part_in_the_score(batch):
    """Where the robot stood, the auto-mask leaves nothing to compare; that says nothing about the model."""
    model = module(validation="photometric")
    still = {"images": batch["images"][:, :1].repeat(1, 3, 1, 1, 1), "K": batch["K"]}
    moving, both = validated(model, batch), validated(model, batch, still)
    assert both["val/score"] == pytest.approx(moving["val/score"], rel=1e-5)
    assert both["val/coverage"] == pytest.approx(moving["val/coverage"] / 2, rel=1e-5)
    assert validated(model, still)["val/score"] == float("inf")


def test_depth_that_contradicts_itself_does_not_improve_the_score(batch):
    scores = [
        validated(module(validation="photometric", loss=ConsistencyOptions(dynamic_mask=mask)), batch)
        for mask in (True, False)
    ]
    assert scores[0] == scores[1]


def test_depth_validation_by_hand(monkeypatch):
    model = module(validation="depth")
    monkeypatch.setattr(model.depth_net, "forward", lambda image: torch.full((1, 1, 64, 64), 4.0))
    image, truth = torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.full((1, 48, 48), 2.0)
    truth[0, :10] = 4.0
    truth[0, 10:20] = 0.0  # unknown
    logged = validated(model, {"image": image, "depth": truth})
    assert logged["val/score"] == pytest.approx(0.5 * 10 / 38)  # the median is right, ten of 38 rows are off by half
    assert model.depth_validation.ratios == [0.5]


def test_frames_without_depth_are_counted():
    model = module(validation="depth")
    empty = {"image": torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "depth": torch.zeros(1, 48, 48)}
    logged = validated(model, empty, empty | {"depth": torch.ones(1, 48, 48)})
    assert logged["val/frames_without_truth"] == 1 and np.isfinite(logged["val/score"])
    with pytest.raises(DataError, match=r"none of the 1 validation frames .* depth_factor in dataset.yaml"):
        validated(model, empty)


@pytest.mark.parametrize(("asked", "found"), [(None, "7scenes"), ("kitti", "kitti")])
def test_depth_counts_by_the_protocol_of_the_data_set(own_data, asked, found):
    with (own_data / "dataset.yaml").open("a") as file:
        file.write("preset: 7scenes\n")
    model = module(protocol=asked, encoder="mobilenet_v3_small", decoder="half")
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, fast_dev_run=True)
    data = SequenceDataModule(own_data, 64, 64, workers=0)
    assert trainer.validate(model, datamodule=data, verbose=False)[0]["val/score"] > 0
    assert model.depth_validation.protocol == PROTOCOLS[found] and model.hparams["protocol"] == found


def test_settings_of_the_samples_are_checked(tiny_data):
    with pytest.raises(ConfigError, match="at least 64"):
        SequenceDataModule(tiny_data, height=32, width=64)


def test_warm_start_takes_both_networks_from_a_checkpoint_and_one_from_an_inference_file(tmp_path):
    torch.manual_seed(1)
    taught = SCDepthV1(pretrained="none")
    checkpoint, inference = tmp_path / "taught.ckpt", tmp_path / "taught.safetensors"
    torch.save({"state_dict": taught.state_dict(), "hyper_parameters": dict(taught.hparams)}, checkpoint)
    save_weights(inference, taught.depth_net.state_dict(), WeightsMetadata())
    missing = str(tmp_path / "missing.pth")  # a checkpoint fills every network, so ImageNet weights are not asked for
    both = SCDepthV1(pretrained=missing, start=checkpoint)
    one = SCDepthV1(pretrained="none", start=inference)
    with pytest.raises(CheckpointError, match="missing.pth"):
        SCDepthV1(pretrained=missing, start=inference)
    conv = "encoder.encoder.conv1.weight"
    for model, same in ((both, True), (one, False)):
        assert torch.equal(model.depth_net.state_dict()[conv], taught.depth_net.state_dict()[conv])
        assert torch.equal(model.pose_net.state_dict()[conv], taught.pose_net.state_dict()[conv]) is same


def test_warm_start_from_another_encoder_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_weights(path, SCDepthV1(pretrained="none").depth_net.state_dict(), WeightsMetadata())
    with pytest.raises(
        CheckpointError, match="its encoder is resnet18, these settings say resnet50 – set --model.encoder resnet18"
    ):
        SCDepthV1(encoder="resnet50", pretrained="none", start=path)


def test_warm_start_from_a_decoder_that_enlarges_otherwise_says_so(tmp_path, caplog):
    path = tmp_path / "nearest.safetensors"
    save_weights(path, SCDepthV1(pretrained="none").depth_net.state_dict(), WeightsMetadata(upsampling="nearest"))
    SCDepthV1(pretrained="none", start=path)
    assert "was trained with nearest upsampling in its decoder, training goes on with bilinear" in caplog.text
