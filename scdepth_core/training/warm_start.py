"""Start training where another one ended: on your own footage, from weights of somewhere else."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from scdepth_core.checkpoint import load_network_state, load_weights, read_training_checkpoint


def warm_start(depth_net: nn.Module, pose_net: nn.Module, path: Path) -> None:
    """Fill DepthNet from any weights file, and PoseNet too where it is a training checkpoint.

    Raises:
        CheckpointError: the file cannot be used, or is of another encoder.
    """
    state, _ = load_weights(path)
    load_network_state(depth_net, state, path)
    if Path(path).suffix == ".safetensors":  # inference files hold DepthNet alone
        return
    saved = read_training_checkpoint(path)["state_dict"]
    pose = {name.removeprefix("pose_net."): value for name, value in saved.items() if name.startswith("pose_net.")}
    load_network_state(pose_net, pose, path)
