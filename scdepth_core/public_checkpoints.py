"""Checkpoints of the public SC-Depth code: how it names parameters and settings, and what that means here.

sc_depth_pl (.ckpt) names parameters as this package does, and keeps its options in an argparse.Namespace.
SC-SfMLearner (.pth.tar) has one file per network, a state dict without settings. Its decoder numbers its layers: ten
upconvolutions, coarse to fine, then the four outputs; and it enlarges by repeating pixels.
"""

from __future__ import annotations

from reprlib import repr as shortened

from torch import Tensor

from scdepth_core.errors import CheckpointError
from scdepth_core.presets import PRESETS

PUBLIC_NAMES = {"kitti": "kitti_raw"}  # data sets that the public code calls otherwise than presets.yaml
SFM_SIZE = PRESETS["kitti_raw"]  # not stored in the files; that of the published KITTI models


def lightning_settings(options: dict) -> dict:
    """WeightsMetadata fields from the options that sc_depth_pl stores.

    Raises:
        CheckpointError: an option that decides about others is of another kind.
    """
    dataset, layers = options.get("dataset_name", ""), options.get("resnet_layers", 18)
    for name, value, kind, allowed in (
        ("dataset_name", dataset, str, "text"),
        ("resnet_layers", layers, int, "a whole number"),
    ):
        if not isinstance(value, kind) or isinstance(value, bool):
            raise CheckpointError(f"{name} is {shortened(value)}, expected {allowed}")
    preset = PRESETS.get(PUBLIC_NAMES.get(dataset, dataset), PRESETS["custom"])
    return {
        "version": options.get("model_version", "v1"),
        "encoder": f"resnet{layers}",
        "height": preset.height,
        "width": preset.width,
        "dataset": dataset,
    }


def is_sfm_depth(state: dict[str, Tensor]) -> bool:
    """Whether a state dict is SC-SfMLearner's depth network."""
    return "encoder.encoder.conv1.weight" in state and "decoder.decoder.0.conv.conv.weight" in state


def is_sfm_pose(state: dict[str, Tensor]) -> bool:
    """Whether a state dict is SC-SfMLearner's pose network."""
    return "encoder.encoder.conv1.weight" in state and "decoder.net.0.weight" in state


def sfm_depth_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """DepthNet's state from SC-SfMLearner's depth network."""
    return {_renamed(name, _depth_layer): value for name, value in state.items()}


def sfm_pose_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """PoseNet's state from SC-SfMLearner's pose network."""
    return {_renamed(name, _pose_layer): value for name, value in state.items()}


def sfm_settings(state: dict[str, Tensor]) -> dict:
    """WeightsMetadata fields of SC-SfMLearner's depth network."""
    deep = "encoder.encoder.layer1.0.conv3.weight" in state
    return {
        "version": "v1",
        "encoder": "resnet50" if deep else "resnet18",
        "height": SFM_SIZE.height,
        "width": SFM_SIZE.width,
        "upsampling": "nearest",
    }


def _renamed(name: str, layer) -> str:
    """A parameter's name here; what is no numbered layer of the decoder keeps its own."""
    parts = name.split(".")
    numbered = parts[:2] in (["decoder", "decoder"], ["decoder", "net"]) and len(parts) > 2 and parts[2].isdecimal()
    if not numbered:
        return name
    return ".".join(["decoder", layer(int(parts[2])), *parts[3:]])


def _depth_layer(number: int) -> str:
    return f"upconvs{number % 2}.{number // 2}" if number < 10 else f"dispconvs.{number - 10}"


def _pose_layer(number: int) -> str:
    return "conv_squeeze" if number == 0 else f"convs_pose.{number - 1}"
