"""Weights on disk: our inference files (safetensors with metadata), training checkpoints, and the public code's.

Nothing here runs code from a file: safetensors hold no code, and pickles are read with weights_only.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from scdepth_core.errors import CheckpointError

FORMAT = "scdepth-weights-1"
STARTER_WEIGHTS = Path(__file__).parent / "weights" / "starter.safetensors"
NEVER_RUN = ("encoder.encoder.fc.", "decoder.dispconvs.1.", "decoder.dispconvs.2.", "decoder.dispconvs.3.")
REFERENCE_SIZE = (256, 320)


@dataclass(frozen=True)
class WeightsMetadata:
    """What a weights file needs beside its numbers to be used rightly.

    Attributes:
        version: which SC-Depth trained it: v1, v2 or v3.
        encoder: backbone of DepthNet.
        height, width: network input, pixels.
        metres_per_unit: the one factor from network units to metres; None when nobody has measured it.
        dataset: what it was trained on, in words.
        mean, std: of the normalisation (x / 255 - mean) / std.
    """

    version: str = "v1"
    encoder: str = "resnet18"
    height: int = REFERENCE_SIZE[0]
    width: int = REFERENCE_SIZE[1]
    metres_per_unit: float | None = None
    dataset: str = ""
    mean: float = 0.45
    std: float = 0.225


def save_weights(
    path: str | Path, state: dict[str, Tensor], metadata: WeightsMetadata, dtype: torch.dtype = torch.float32
) -> None:
    """Write DepthNet's state as an inference file; what never runs is left out. Replaces the file in one step."""
    path = Path(path)
    kept = {
        name: (value.to(dtype) if value.is_floating_point() else value).contiguous().cpu()
        for name, value in state.items()
        if not name.startswith(NEVER_RUN) and not name.endswith("num_batches_tracked")
    }
    described = {"format": FORMAT, "metadata": json.dumps(dataclasses.asdict(metadata))}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(kept, partial, described)
    partial.replace(path)


def load_weights(path: str | Path | None = None) -> tuple[dict[str, Tensor], WeightsMetadata]:
    """DepthNet's state (float32, on the CPU) and its metadata from any file that this package knows.

    Args:
        path: an inference file (.safetensors), a checkpoint of `scdepth train` or of the public Lightning code (.ckpt),
            or None for the starter weights that ship with the package.

    Raises:
        CheckpointError: the file is missing, broken, unsafe or holds something else.
    """
    path = STARTER_WEIGHTS if path is None else Path(path)
    if not path.is_file():
        raise CheckpointError(f"weights '{path}' do not exist – give a .safetensors or .ckpt file")
    if path.suffix == ".safetensors":
        return _load_inference_file(path)
    return _load_pickle(path)


def load_depth_net_state(network: torch.nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    """Fill DepthNet strictly: only what never runs may be missing."""
    absent, unexpected = network.load_state_dict(state, strict=False)
    absent = [n for n in absent if not n.startswith(NEVER_RUN) and not n.endswith("num_batches_tracked")]
    if absent or unexpected:
        example = (absent or unexpected)[0]
        raise CheckpointError(
            f"'{path}' does not fit DepthNet: {len(absent)} parameters missing, {len(unexpected)} unknown, "
            f"the first is '{example}' – was it trained with another encoder?"
        )


def _load_inference_file(path: Path) -> tuple[dict[str, Tensor], WeightsMetadata]:
    try:
        with safe_open(path, framework="pt") as file:
            described = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"'{path}' is not a readable safetensors file ({error}) – export or copy it again"
        ) from error
    if described.get("format") != FORMAT:
        raise CheckpointError(
            f"'{path}' has format '{described.get('format')}', expected '{FORMAT}' – write it with 'scdepth train'"
        )
    known = {field.name for field in dataclasses.fields(WeightsMetadata)}
    entries = json.loads(described["metadata"])
    return state, WeightsMetadata(**{name: value for name, value in entries.items() if name in known})


def _load_pickle(path: Path) -> tuple[dict[str, Tensor], WeightsMetadata]:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen kinds for files that are not checkpoints
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"'{path}' cannot be loaded safely ({reason}) – only plain tensors are accepted"
        ) from error
    state = saved.get("state_dict") if isinstance(saved, dict) else None
    depth = {k.removeprefix("depth_net."): v for k, v in (state or {}).items() if k.startswith("depth_net.")}
    if not depth:
        raise CheckpointError(f"'{path}' holds no DepthNet (no 'depth_net.*' parameter) – give a training checkpoint")
    return depth, _metadata_of(saved.get("hyper_parameters", {}), saved.get("datamodule_hyper_parameters", {}))


def _metadata_of(saved: dict, samples: dict) -> WeightsMetadata:
    """Metadata from the hyper-parameters of our checkpoints, or of the public code's nested Namespace."""
    if "hparams" in saved:
        options = vars(saved["hparams"]) if isinstance(saved["hparams"], argparse.Namespace) else dict(saved["hparams"])
        dataset = options.get("dataset_name", "")
        height, width = {"kitti": (256, 832), "ddad": (384, 640)}.get(dataset, REFERENCE_SIZE)
        return WeightsMetadata(
            version=options.get("model_version", "v1"),
            encoder=f"resnet{options.get('resnet_layers', 18)}",
            height=height,
            width=width,
            dataset=dataset,
        )
    return WeightsMetadata(
        version=saved.get("version", "v1"),
        encoder=saved.get("encoder", "resnet18"),
        height=samples.get("height", REFERENCE_SIZE[0]),
        width=samples.get("width", REFERENCE_SIZE[1]),
        dataset=samples.get("dataset", ""),
    )
