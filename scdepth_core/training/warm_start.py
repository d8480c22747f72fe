"""Start training where another one ended: on your own footage, from weights of somewhere else."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from scdepth_core.checkpoint import PREFIXES, load_network_state, load_networks, network_state
from scdepth_core.errors import CheckpointError
from scdepth_core.weights_metadata import WeightsMetadata

logger = logging.getLogger(__name__)


def warm_start(module: nn.Module, path: Path) -> set[str]:
    """Fill DepthNet from any weights file, and the networks on pairs too where it is a training checkpoint.

    A checkpoint of another version fills what the two have in common: DepthNet and PoseNet.

    Args:
        module: whose children are the networks, under the names that they have in checkpoints.

    Returns:
        names of the networks that were filled.

    Raises:
        CheckpointError: the file cannot be used, holds no DepthNet, or is of another encoder or decoder.
    """
    networks, metadata = load_networks(path)
    for name in ("encoder", "decoder"):
        if getattr(metadata, name) != module.hparams[name]:
            raise CheckpointError(
                f"cannot start from '{path}': its {name} is {getattr(metadata, name)}, these settings say "
                f"{module.hparams[name]} – set --model.{name} {getattr(metadata, name)}, or leave --model.start out"
            )
    if metadata.upsampling != WeightsMetadata.upsampling:
        logger.warning(
            "'%s' was trained with %s upsampling in its decoder, training goes on with %s: its depth is not quite that "
            "of the file at first",
            path,
            metadata.upsampling,
            WeightsMetadata.upsampling,
        )
    children = {name: PREFIXES[name].removesuffix(".") for name in PREFIXES if name == "DepthNet" or name in networks}
    filled = {name: child for name, child in children.items() if hasattr(module, child)}
    for name, child in filled.items():
        load_network_state(getattr(module, child), network_state(name, networks, path), path)
    return set(filled.values())
