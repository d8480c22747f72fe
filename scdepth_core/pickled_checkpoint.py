"""Pickles of PyTorch, read without running code from them."""

from __future__ import annotations

import argparse
import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from scdepth_core.errors import CheckpointError, first_line

EXPORTED_ENDINGS = (".onnx", ".xml", ".pt2")  # of `scdepth export`: without parameters by name


def read_training_checkpoint(path: str | Path) -> dict:
    """Everything in a training checkpoint, on the CPU, read without running code from it.

    Raises:
        CheckpointError: the file is missing, broken, unsafe or not a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint '{path}' does not exist – give a .ckpt file")
    refuse_exported(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen kinds for files that are not checkpoints
        raise CheckpointError(
            f"'{path}' cannot be loaded safely ({_reason(error)}) – only plain tensors are accepted"
        ) from error
    state = saved.get("state_dict") if isinstance(saved, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"'{path}' has no 'state_dict' of tensors – give a training checkpoint")
    for name, value in state.items():
        _check_parameter(name, value, path)
    return saved


def _check_parameter(name: object, value: Tensor, path: Path) -> None:
    """Raise CheckpointError for what cannot be a parameter of a network of this package."""
    if not isinstance(name, str):
        raise CheckpointError(f"'{path}' names a parameter {name!r}, expected text – give a training checkpoint")
    dense = value.layout == torch.strided and not (value.is_nested or value.is_quantized or value.is_meta)
    if not dense or value.is_complex():
        raise CheckpointError(
            f"'{path}' has '{name}' as {value.dtype}, {value.layout}, on {value.device}, expected dense, plain tensors "
            "of real numbers – give the checkpoint as it was trained"
        )


def refuse_exported(path: Path) -> None:
    """Raise CheckpointError for a file of `scdepth export`, by its name."""
    if path.suffix in EXPORTED_ENDINGS:
        raise CheckpointError(f"'{path}' is an exported network – give the weights that it was exported from")


def _reason(error: Exception) -> str:
    """Why torch.load refused a file; its own words about pickles tell people to switch the safety off."""
    if not isinstance(error, pickle.UnpicklingError):
        return first_line(error)
    found = re.search(r"GLOBAL (\S+)", str(error))
    return f"it holds {found[1]}, which is code" if found else "it is no checkpoint, or damaged"
