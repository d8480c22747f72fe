"""How training checkpoints reach the disk and come back: whole or not at all, and without running code from them."""

from __future__ import annotations

from pathlib import Path

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from scdepth_core.data.scene_folder import SceneFolder
from scdepth_core.errors import CheckpointError
from scdepth_core.finished_file import finished_file
from scdepth_core.pickled_checkpoint import read_training_checkpoint

RESUMABLE = ("optimizer_states", "loops", "hyper_parameters")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the final name and renames, so that a killed run keeps its last complete checkpoint.

    Lightning moves a file from the folder for temporary files, which is a copy where that is another disk.
    """

    def save_checkpoint(self, checkpoint: dict, path: str | Path, storage_options=None) -> None:
        save_whole(checkpoint, Path(path))

    def load_checkpoint(self, path: str | Path, map_location=None, weights_only=None) -> dict:
        checkpoint = read_training_checkpoint(path)
        batches = checkpoint.get("loops", {}).get("fit_loop", {}).get("epoch_loop.batch_progress")
        if batches and not batches["is_last_batch"]:
            # The run was ended within an epoch, and goes on with the next one: Lightning would fill the rest of the old
            # one with the first samples of the next, and pass over the others.
            batches["current"] = dict.fromkeys(batches["current"], 0)
        for state in checkpoint.get("callbacks", {}).values():
            if state.get("best_model_path"):
                _find_again(state, Path(path).resolve().parent)
        return checkpoint


def _find_again(state: dict, folder: Path) -> None:
    """Let a ModelCheckpoint know its best file beside the checkpoint, where the folder of the run has moved.

    Lightning forgets the best score if the folder has another name, and then the next validation, however bad, would
    take the place of the best weights.
    """
    if not (folder / Path(state["best_model_path"]).name).is_file():
        return
    for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[name] = state[name] and str(folder / Path(state[name]).name)
    state["best_k_models"] = {str(folder / Path(path).name): score for path, score in state["best_k_models"].items()}
    state["dirpath"] = str(folder)


def save_whole(contents: dict, path: Path) -> None:
    """torch.save under a name that appears only when the file is complete."""
    with finished_file(path) as partial:
        torch.save(contents, partial)


def check_resumable(
    path: Path,
    version: str,
    encoder: str,
    decoder: str = "full",
    averages: bool = False,
    validation: str = "depth",
    size: tuple[int, int] | None = None,
    data: SceneFolder | None = None,
) -> tuple[int, int]:
    """How many epochs and steps are behind the checkpoint, from which training of this model goes on.

    Args:
        averages: whether the run keeps averaged weights (--ema).
        validation: what it is judged by; scores of different kinds cannot be compared.
        size: (width, height) of the samples, pixels; None for any.
        data: what it is to go on with, wherever that lies by now; None for anything.

    Raises:
        CheckpointError: it cannot go on from there.
    """
    if path.suffix == ".safetensors":
        raise CheckpointError(
            f"cannot resume from '{path}': it is an inference file, which holds weights alone – begin a new run from "
            f"them with --model.start '{path}', or give a last.ckpt of 'scdepth train'"
        )
    saved = read_training_checkpoint(path)
    missing = [name for name in RESUMABLE if name not in saved]
    if missing:
        raise CheckpointError(
            f"cannot resume from '{path}': it has no '{missing[0]}' – give a last.ckpt of 'scdepth train'"
        )
    if _within_an_epoch(saved["loops"]["fit_loop"]):
        raise CheckpointError(
            f"cannot resume from '{path}': it was kept within an epoch, whose first frames would come again in place "
            "of its others – give the last.ckpt beside it, or begin a new run with --model.start"
        )
    trained = saved["hyper_parameters"]
    before = {"decoder": "full", "validation": validation}  # of runs that did not note it
    settings = {"version": version, "encoder": encoder, "decoder": decoder, "validation": validation}
    for name, wanted in settings.items():
        found = trained.get(name, before.get(name))
        if found != wanted:
            raise CheckpointError(
                f"cannot resume from '{path}': its {name} is {found}, these settings say {wanted} – "
                "use the settings of that run, or another --out"
            )
    if ("averaging_state" in saved) != averages:
        wanted = "leave --ema out" if averages else "add --ema, with the decay of that run"
        raise CheckpointError(
            f"cannot resume from '{path}': it was trained {'without' if averages else 'with'} --ema – {wanted}"
        )
    _check_samples(path, saved.get("datamodule_hyper_parameters", {}), size, data)
    return saved["loops"]["fit_loop"]["epoch_progress"]["current"]["ready"], saved.get("global_step", 0)


def _check_samples(path: Path, trained: dict, size: tuple[int, int] | None, data: SceneFolder | None) -> None:
    """Raise CheckpointError where scores of the samples could not be compared with those of the run so far."""
    anew = f"begin a new run from these weights with --model.start '{path}' and another --out"
    before = trained.get("width"), trained.get("height")
    if None not in (size, *before) and before != size:
        raise CheckpointError(
            f"cannot resume from '{path}': its samples are {before[0]}x{before[1]} pixels, these settings say "
            f"{size[0]}x{size[1]} – set --samples.width {before[0]} --samples.height {before[1]}, or {anew}"
        )
    fingerprint = trained.get("fingerprint")
    if data is not None and fingerprint and fingerprint != data.fingerprint:
        raise CheckpointError(
            f"cannot resume from '{path}': it was trained on '{trained.get('dataset', '')}' (fingerprint "
            f"{fingerprint}), '{data.root}' is another data set ({data.fingerprint}) – give that of the run, or {anew}"
        )


def _within_an_epoch(progress: dict) -> bool:
    """Whether a validation before the end of an epoch wrote a checkpoint."""
    epochs = progress["epoch_progress"]["current"]
    return epochs["processed"] < epochs["ready"] and not progress["epoch_loop.batch_progress"]["is_last_batch"]
