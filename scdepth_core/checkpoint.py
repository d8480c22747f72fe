"""Weights on disk: our inference files (safetensors with metadata), training checkpoints, and the public code's.

Nothing here runs code from a file: safetensors hold no code, and pickles are read by pickled_checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as shortened

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from scdepth_core import public_checkpoints as public
from scdepth_core.errors import CheckpointError
from scdepth_core.finished_file import finished_file
from scdepth_core.pickled_checkpoint import read_training_checkpoint, refuse_exported
from scdepth_core.weights_metadata import REFERENCE_SIZE, WeightsMetadata, metadata_from_json

FORMAT = "scdepth-weights-1"
STARTER_WEIGHTS = Path(__file__).parent / "weights" / "starter.safetensors"
NEVER_RUN = ("encoder.encoder.fc.", "decoder.dispconvs.1.", "decoder.dispconvs.2.", "decoder.dispconvs.3.")
PREFIXES = {"DepthNet": "depth_net.", "PoseNet": "pose_net.", "RectifyNet": "rectify_net."}  # in training checkpoints


def save_weights(
    path: str | Path,
    state: dict[str, Tensor],
    metadata: WeightsMetadata,
    dtype: torch.dtype = torch.float32,
    motion: dict[str, dict[str, Tensor]] | None = None,
) -> None:
    """Write DepthNet's state as an inference file; what never runs is left out. Replaces the file in one step.

    Args:
        motion: states of PoseNet and, for V2, of RectifyNet by the name of their class, to go along.

    Raises:
        CheckpointError: a value is not finite, or does not fit into `dtype`.
    """
    path = Path(path)
    for network, part in (motion or {}).items():
        state = state | {PREFIXES[network] + name: value for name, value in part.items() if not never_runs(name)}
    kept = {name: value.to(dtype).contiguous().cpu() for name, value in state.items() if not never_runs(name)}
    _check_finite(kept, path)
    _save(path, kept, metadata)


def write_scale(path: str | Path, metres_per_unit: float, out: str | Path | None = None) -> WeightsMetadata:
    """Put the scale into the metadata of an inference file; its numbers stay as they are, to the bit.

    Args:
        out: file to write; None replaces `path`, in one step.

    Returns:
        The metadata as written.

    Raises:
        CheckpointError: `path` is not an inference file, or the scale not a number above 0.
    """
    path = Path(path)
    check_holds_scale(path)
    _, metadata = load_weights(path)
    metadata = dataclasses.replace(metadata, metres_per_unit=float(metres_per_unit))
    with safe_open(path, framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    _save(Path(path if out is None else out), stored, metadata)
    return metadata


def check_holds_scale(path: Path) -> None:
    """Raise CheckpointError for a name that no inference file has, with the way to one."""
    refuse_exported(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"'{path}' has no place for a scale – make an inference file of it with 'scdepth pack'")


def load_weights(path: str | Path | None = None) -> tuple[dict[str, Tensor], WeightsMetadata]:
    """DepthNet's state (float32, on the CPU) and its metadata from any file that this package knows.

    Args:
        path: an inference file (.safetensors), a checkpoint of `scdepth train` or of the public code (.ckpt,
            .pth.tar), or None for the starter weights that ship with the package.

    Raises:
        CheckpointError: the file is missing, broken, unsafe or holds something else.
    """
    networks, metadata = load_networks(STARTER_WEIGHTS if path is None else path)
    return network_state("DepthNet", networks, path), metadata


def load_networks(path: str | Path) -> tuple[dict[str, dict[str, Tensor]], WeightsMetadata]:
    """The state of each network in a file, as stored, by the name of its class.

    Raises:
        CheckpointError: as load_weights; also where none of the networks of this package is in it.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"weights '{path}' are a folder – give a file, such as '{path / 'weights.safetensors'}'")
    if not path.is_file():
        raise CheckpointError(f"weights '{path}' do not exist – give a .safetensors, .ckpt or .pth.tar file")
    networks, metadata = (_load_inference_file if path.suffix == ".safetensors" else _load_training_checkpoint)(path)
    if not networks:
        raise CheckpointError(f"'{path}' holds no DepthNet and no PoseNet – give a training checkpoint")
    return networks, metadata


def network_state(name: str, networks: dict[str, dict[str, Tensor]], path: str | Path | None) -> dict[str, Tensor]:
    """One of the networks that load_networks found in a file, in float32.

    Raises:
        CheckpointError: it is not among them, or has a value that is not finite.
    """
    if name not in networks:
        raise CheckpointError(
            f"'{path}' holds {', '.join(networks)}, but no {name} – give a training checkpoint (.ckpt) that has one"
        )
    state = {key: value.float() if value.is_floating_point() else value for key, value in networks[name].items()}
    _check_finite(state, path)
    return state


def load_network_state(network: torch.nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    """Fill a network strictly: only what never runs may be missing.

    Raises:
        CheckpointError: a parameter is missing, unknown or of another shape.
    """
    own = network.state_dict()
    state = {name: value for name, value in own.items() if never_runs(name)} | state
    wrong = {
        "missing": [name for name in own if name not in state],
        "unknown": [name for name in state if name not in own],
        "of another shape": [name for name in state if name in own and state[name].shape != own[name].shape],
    }
    if any(wrong.values()):
        counts = ", ".join(f"{len(names)} {kind}" for kind, names in wrong.items() if names)
        first = next(names[0] for names in wrong.values() if names)
        raise CheckpointError(
            f"'{path}' does not fit {type(network).__name__}, of its parameters are {counts}, the first is '{first}' – "
            "was it trained with another encoder or decoder?"
        )
    network.load_state_dict(state, strict=True)


def _save(path: Path, tensors: dict[str, Tensor], metadata: WeightsMetadata) -> None:
    described = {"format": FORMAT, "metadata": json.dumps(dataclasses.asdict(metadata))}
    with finished_file(path) as partial:
        save_file(tensors, partial, described)


def never_runs(name: str) -> bool:
    """Whether a parameter has no say in what a network computes, so that files may leave it out."""
    return name.startswith(NEVER_RUN) or name.endswith("num_batches_tracked")


def _check_finite(state: dict[str, Tensor], path: str | Path | None) -> None:
    for name, value in state.items():
        if not value.isfinite().all():
            raise CheckpointError(
                f"'{path}' has NaN or infinity in '{name}' ({value.dtype}) – the training diverged, "
                "or the values are too large for 16 bits: use an earlier checkpoint, or float32"
            )


def _load_inference_file(path: Path) -> tuple[dict[str, dict[str, Tensor]], WeightsMetadata]:
    try:
        with safe_open(path, framework="pt") as file:
            described = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"'{path}' is not a readable safetensors file ({error}) – export or copy it again"
        ) from error
    if described.get("format") != FORMAT:
        raise CheckpointError(
            f"'{path}' has format '{described.get('format')}', expected '{FORMAT}' – write it with 'scdepth train'"
        )
    with _readable_metadata(path):
        return _split(state), metadata_from_json(json.loads(described["metadata"]))


@contextmanager
def _readable_metadata(path: Path) -> Iterator[None]:
    """Metadata that is malformed in any way becomes a CheckpointError that names the file."""
    try:
        yield
    except (CheckpointError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"metadata of '{path}' cannot be used ({error}) – export or copy it again") from error


def _split(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The networks of an inference file: those of motion have prefixes, DepthNet has none."""
    motion = {name: _with_prefix(state, PREFIXES[name]) for name in ("PoseNet", "RectifyNet")}
    prefixes = tuple(PREFIXES[name] for name in motion)
    depth = {name: value for name, value in state.items() if not name.startswith(prefixes)}
    return {"DepthNet": depth} | {name: part for name, part in motion.items() if part}


def _with_prefix(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _load_training_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], WeightsMetadata]:
    saved = read_training_checkpoint(path)
    state = saved["state_dict"]
    if public.is_sfm_depth(state):
        return {"DepthNet": public.sfm_depth_state(state)}, WeightsMetadata(**public.sfm_settings(state))
    if public.is_sfm_pose(state):
        return {"PoseNet": public.sfm_pose_state(state)}, WeightsMetadata(**public.sfm_settings(state))
    networks = {network: _with_prefix(state, prefix) for network, prefix in PREFIXES.items()}
    with _readable_metadata(path):
        return {name: part for name, part in networks.items() if part}, _metadata_of(saved)


def _metadata_of(saved: dict) -> WeightsMetadata:
    """Metadata from the hyper-parameters of our checkpoints, or of the public code's nested Namespace."""
    model, samples = _entries(saved, "hyper_parameters"), _entries(saved, "datamodule_hyper_parameters")
    if "hparams" in model:
        return WeightsMetadata(**public.lightning_settings(_entries(model, "hparams")))
    return WeightsMetadata(
        version=model.get("version", "v1"),
        encoder=model.get("encoder", "resnet18"),
        decoder=model.get("decoder", "full"),
        height=samples.get("height", REFERENCE_SIZE[0]),
        width=samples.get("width", REFERENCE_SIZE[1]),
        dataset=samples.get("dataset", ""),
        fingerprint=samples.get("fingerprint", ""),
    )


def _entries(saved: dict, name: str) -> dict:
    """A group of settings in a checkpoint, stored as a dict or as a Namespace; empty where there is none."""
    group = saved.get(name)
    if group is not None and not isinstance(group, (dict, argparse.Namespace)):
        raise CheckpointError(f"{name} is {shortened(group)}, expected a dict or a Namespace")
    return vars(group) if isinstance(group, argparse.Namespace) else dict(group or {})
