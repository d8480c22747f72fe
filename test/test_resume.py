"""Runs that are interrupted, and runs that go on from a checkpoint: at another learning rate."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys

import pytest
import torch

from scdepth_core import cli
from scdepth_core.data import SceneFolder, SequenceDataset

SMALL = (
    *("--model.encoder", "mobilenet_v3_small", "--model.decoder", "half", "--model.pretrained", "none"),
    *("--samples.height", "64", "--samples.width", "64", "--samples.batch_size", "2", "--samples.workers", "0"),
    *("--samples.validation_stride", "4", "--trainer.accelerator", "cpu", "--trainer.num_sanity_val_steps", "0"),
    *("--trainer.limit_train_batches", "4", "--trainer.enable_progress_bar", "false", "--pictures", "0"),
)


def train(data, out, *options):
    return cli.main(["train", "--data", str(data), "--out", str(out), *SMALL, *options])


def weights(checkpoint):
    """The convolutions of DepthNet; statistics of batch norms change in every step, whatever the learning rate."""
    return {name: w for name, w in checkpoint["state_dict"].items() if name.startswith("depth_net") and w.ndim == 4}


@pytest.fixture(scope="module")
def run(tiny_data, tmp_path_factory):
    """A run of one epoch, four steps, validated after three of them."""
    out = tmp_path_factory.mktemp("resume") / "run"
    options = ("--trainer.max_epochs", "1", "--trainer.limit_val_batches", "1", "--trainer.val_check_interval", "3")
    with contextlib.redirect_stdout(sys.stderr):
        assert train(tiny_data, out, *options) == 0
    yield out
    shutil.rmtree(out)


def test_a_resumed_run_takes_the_learning_rate_of_its_settings(run, tiny_data, tmp_path):
    last, out = run / "checkpoints" / "last.ckpt", tmp_path / "run"
    options = ("--trainer.max_epochs", "2", "--trainer.limit_val_batches", "0", "--trainer.limit_train_batches", "1")
    assert train(tiny_data, out, "--resume", str(last), "--model.learning_rate", "0", *options) == 0
    before, after = (torch.load(path, weights_only=True) for path in (last, out / "checkpoints" / "last.ckpt"))
    assert after["global_step"] == before["global_step"] + 1
    assert all(torch.equal(weights(after)[name], weight) for name, weight in weights(before).items())


def test_a_run_that_was_moved_keeps_its_best_weights(run, tiny_data, tmp_path):
    """Another folder, and a validation worse than the best one, which scored 0."""
    out = tmp_path / "moved"
    shutil.copytree(run, out)
    best, last = (out / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    kept, checkpoint = best.read_bytes(), torch.load(last, weights_only=True)
    (state,) = (s for s in checkpoint["callbacks"].values() if s.get("monitor") == "val/score")
    zero = torch.zeros(())
    state |= {"best_model_score": zero, "kth_value": zero, "best_k_models": {state["best_model_path"]: zero}}
    torch.save(checkpoint, last)
    options = ("--trainer.max_epochs", "2", "--trainer.limit_val_batches", "1")
    assert train(tiny_data, out, "--resume", "last", *options) == 0
    assert best.read_bytes() == kept


def test_a_checkpoint_from_within_an_epoch_is_no_run_to_resume(run, tiny_data, tmp_path, capsys):
    best = run / "checkpoints" / "best.ckpt"
    assert torch.load(best, weights_only=True)["global_step"] == 3
    assert train(tiny_data, tmp_path / "run", "--resume", str(best)) == 1
    said = capsys.readouterr().err
    assert "within an epoch" in said and "give the last.ckpt beside it" in said and said.count("\n") == 1


def test_a_run_that_ended_within_an_epoch_goes_on_with_the_next_one(tiny_data, tmp_path, monkeypatch):
    """Three of four batches, then four of the second epoch, in the order of a run that was never stopped."""

    def samples(out, *options):
        read, original = [], SequenceDataset.__getitem__
        with monkeypatch.context() as patch:
            patch.setattr(SequenceDataset, "__getitem__", lambda self, key: read.append(key) or original(self, key))
            assert train(tiny_data, out, "--trainer.limit_val_batches", "0", *options) == 0
        return read

    unbroken = samples(tmp_path / "unbroken", "--trainer.max_epochs", "2")
    first = samples(tmp_path / "run", "--trainer.max_steps", "3")
    second = samples(tmp_path / "run", "--trainer.max_steps", "7", "--resume", "last")
    assert first[:6] == unbroken[:6] and second[:8] == unbroken[8:16] and unbroken[8][0] == 1
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 7


def test_another_kind_of_validation_is_no_run_to_resume(run, tiny_data, tmp_path, capsys):
    last = run / "checkpoints" / "last.ckpt"
    assert train(tiny_data, tmp_path / "run", "--resume", str(last), "--model.validation", "photometric") == 1
    assert "its validation is depth, these settings say photometric" in capsys.readouterr().err


def test_an_inference_file_is_no_run_to_resume(run, tiny_data, tmp_path, capsys):
    weights = run / "weights.safetensors"
    assert train(tiny_data, tmp_path / "run", "--resume", str(weights)) == 1
    said = capsys.readouterr().err
    assert "it is an inference file" in said and f"--model.start '{weights}'" in said and said.count("\n") == 1


def test_another_input_size_is_no_run_to_resume(run, tiny_data, tmp_path, capsys):
    last = run / "checkpoints" / "last.ckpt"
    assert train(tiny_data, tmp_path / "run", "--resume", str(last), "--samples.width", "96") == 1
    said = capsys.readouterr().err
    assert "its samples are 64x64 pixels, these settings say 96x64" in said and said.count("\n") == 1
    assert f"--model.start '{last}'" in said and not (tmp_path / "run").exists()


def test_another_data_set_is_no_run_to_resume(run, tiny_data, own_data, tmp_path, capsys):
    """One that was copied to another folder is the same."""
    resume = ("--resume", str(run / "checkpoints" / "last.ckpt"), "--trainer.max_epochs", "2")
    resume += ("--trainer.limit_val_batches", "0", "--trainer.limit_train_batches", "1")
    listing = own_data / "training" / "train.txt"
    assert train(own_data, tmp_path / "copied", *resume) == 0
    listing.write_text(listing.read_text().splitlines()[0])
    assert train(own_data, tmp_path / "other", *resume) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "it was trained on 'tiny, 2 training scenes' (fingerprint " in said and "--model.start" in said
    assert all(SceneFolder(data).fingerprint in said for data in (tiny_data, own_data))


@pytest.mark.parametrize(("unit", "reached", "end"), [("epoch", 1, 1), ("epoch", 1, 0), ("step", 4, 4), ("step", 4, 3)])
def test_a_run_that_has_nothing_left_says_so(run, tiny_data, tmp_path, capsys, unit, reached, end):
    last = run / "checkpoints" / "last.ckpt"
    assert train(tiny_data, tmp_path / "run", "--resume", str(last), f"--trainer.max_{unit}s", str(end)) == 1
    said = capsys.readouterr()
    assert f"{unit} {reached} was reached already" in said.err and f"raise --trainer.max_{unit}s" in said.err
    assert said.err.count("\n") == 1 and not said.out


def test_an_interrupted_run_says_so_and_how_to_go_on(tiny_data, tmp_path, monkeypatch, capsys):
    original, handler = SequenceDataset.__getitem__, signal.getsignal(signal.SIGINT)

    def read(self, key):
        if isinstance(key, tuple) and key[0] == 1:
            raise KeyboardInterrupt
        return original(self, key)

    monkeypatch.setattr(SequenceDataset, "__getitem__", read)
    try:
        options = ("--trainer.limit_val_batches", "0", "--trainer.limit_train_batches", "1")
        assert train(tiny_data, tmp_path / "run", "--trainer.max_epochs", "2", *options) == 130
    finally:
        signal.signal(signal.SIGINT, handler)  # the trainer ignores further ones
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said == "scdepth: interrupted – go on from the last epoch with --resume last"
