"""Start training where another one ended: on your own footage, from weights of somewhere else."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from scdepth_core.checkpoint import load_network_state, load_weights, read_training_checkpoint
from scdepth_core.errors import CheckpointError


def warm_start(module: nn.Module, path: Path) -> set[str]:
    """Fill DepthNet from any weights file, and the networks on pairs too where it is a training checkpoint.

    A checkpoint of another version fills what the two have in common: DepthNet and PoseNet.

    Args:
        module: whose children are the networks, under the names that they have in checkpoints.

    Returns:
        names of the networks that were filled.

    Raises:
        CheckpointError: the file cannot be used, or is of another encoder or decoder.
    """
    state, metadata = load_weights(path)
    for name in ("encoder", "decoder"):
        if getattr(metadata, name) != module.hparams[name]:
            raise CheckpointError(
                f"cannot start from '{path}': its {name} is {getattr(metadata, name)}, these settings say "
                f"{module.hparams[name]} – set --model.{name} {getattr(metadata, name)}, or leave --model.start out"
            )
    load_network_state(module.depth_net, state, path)
    if Path(path).suffix == ".safetensors":  # inference files hold DepthNet alone
        return {"depth_net"}
    saved = read_training_checkpoint(path)["state_dict"]
    filled = {"depth_net"}
    for name, network in module.named_children():
        prefix = f"{name}."
        state = {key.removeprefix(prefix): value for key, value in saved.items() if key.startswith(prefix)}
        if state:
            load_network_state(network, state, path)
            filled.add(name)
    return filled
