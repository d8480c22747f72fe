"""`scdepth pack`: an inference file out of any weights; in float16, and with the scale, where that is asked for."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import torch

from scdepth_core.arguments import check_scale, image_size
from scdepth_core.checkpoint import load_networks, network_state, save_weights
from scdepth_core.data.scene_folder import SceneFolder
from scdepth_core.errors import ConfigError
from scdepth_core.weights_metadata import WeightsMetadata


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path, help=".ckpt, .pth.tar or .safetensors")
    parser.add_argument("out", type=Path, help="file to write, .safetensors; may be the same as WEIGHTS")
    parser.add_argument("--metres-per-unit", type=float, help="the one scale; 'scdepth evaluate' measures it")
    parser.add_argument("--dataset", help="what it was trained on, in words")
    parser.add_argument(
        "--size", type=image_size, metavar="WxH", help="network input, for a .pth.tar, which does not say it (832x256)"
    )
    parser.add_argument("--data", type=Path, help="the data set it was trained on: its fingerprint is written in")
    parser.add_argument(
        "--with-motion",
        action="store_true",
        help="take PoseNet along (and V2's RectifyNet) out of a checkpoint, for temporal_tolerance of depth_node and "
        "for scdepth odometry; an inference file keeps what it has",
    )
    parser.add_argument("--half", action="store_true", help="float16: half the size; a file in float16 stays in it")
    parser.add_argument("--json", action="store_true", help="print what the file says of itself as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Write the file in one step."""
    if args.out.suffix != ".safetensors":
        raise ConfigError(f"output is '{args.out}', expected a name that ends in .safetensors")
    check_scale(args.metres_per_unit)
    depth, motion, metadata, dtype = _contents(args)
    fingerprint = _fingerprint(args, metadata)
    given = {"metres_per_unit": args.metres_per_unit, "dataset": args.dataset, "fingerprint": fingerprint}
    given |= {} if args.size is None else dict(zip(("width", "height"), args.size))
    metadata = dataclasses.replace(metadata, **{name: value for name, value in given.items() if value is not None})
    save_weights(args.out, depth, metadata, dtype, motion)
    if args.json:
        written = {"out": str(args.out), "bytes": args.out.stat().st_size, "networks": ["DepthNet", *motion]}
        written |= {"precision": str(dtype).removeprefix("torch."), **dataclasses.asdict(metadata)}
        print(json.dumps(written))
        return 0
    scale = f"{metadata.metres_per_unit:g} m a unit" if metadata.metres_per_unit else "scale unknown"
    size = f"{metadata.width}x{metadata.height}"
    network = "".join((f"{metadata.encoder}, {metadata.decoder} decoder", *(f", {name}" for name in motion)))
    print(f"'{args.out}': {network}, {size}, {scale}, {args.out.stat().st_size} bytes")
    return 0


def _fingerprint(args: argparse.Namespace, metadata: WeightsMetadata) -> str | None:
    """That of --data; None without it.

    Raises:
        ConfigError: the weights know that they were trained on another data set, and --dataset does not name this one.
    """
    if args.data is None:
        return None
    fingerprint = SceneFolder(args.data).fingerprint
    if args.dataset is None and metadata.fingerprint not in ("", fingerprint):
        raise ConfigError(
            f"'{args.weights}' says that it was trained on '{metadata.dataset}' (fingerprint {metadata.fingerprint}), "
            f"and '{args.data}' is another data set ({fingerprint}) – leave --data out, or name that one with --dataset"
        )
    return fingerprint


def _contents(args: argparse.Namespace) -> tuple[dict, dict[str, dict], WeightsMetadata, torch.dtype]:
    """State of DepthNet, those of the networks of motion by name, metadata, and the precision to write.

    What an inference file holds stays in it, motion and half precision; out of a checkpoint comes what was asked for.

    Raises:
        CheckpointError: as load_networks does; also where a network that was asked for is not in the file.
    """
    networks, metadata = load_networks(args.weights)
    is_packed = args.weights.suffix == ".safetensors"
    depth = network_state("DepthNet", networks, args.weights)
    wanted = {"PoseNet", *networks} if args.with_motion else set(networks) if is_packed else set()
    motion = {name: network_state(name, networks, args.weights) for name in sorted(wanted - {"DepthNet"})}
    is_half = is_packed and any(value.dtype == torch.float16 for value in networks["DepthNet"].values())
    return depth, motion, metadata, torch.float16 if args.half or is_half else torch.float32
