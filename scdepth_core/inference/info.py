"""`scdepth info`: everything that a weights file, checkpoint or exported network says about itself."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from reprlib import repr as shortened

import torch
from torch import Tensor

from scdepth_core.arguments import WEIGHTS_HELP
from scdepth_core.checkpoint import STARTER_WEIGHTS, load_networks
from scdepth_core.errors import CheckpointError
from scdepth_core.inference.exported_file import exported_source
from scdepth_core.network_fingerprint import network_fingerprint
from scdepth_core.pickled_checkpoint import EXPORTED_ENDINGS, read_training_checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, nargs="?", default=STARTER_WEIGHTS, help=WEIGHTS_HELP)
    parser.add_argument("--json", action="store_true", help="print everything as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Read the file, without running code from it, and print what it holds."""
    found = describe(args.file)
    print(json.dumps(found) if args.json else as_text(found))
    return 0


def describe(path: Path) -> dict:
    """What is in a file: metadata, networks with their parameters, precision, size, and how far it was trained.

    Raises:
        CheckpointError: it holds no network of this package, or cannot be read safely.
        BackendError: the library that reads an exported file is not installed.
    """
    if path.suffix in EXPORTED_ENDINGS:
        return _describe_exported(path)
    networks, metadata = load_networks(path)
    floats = (value for state in networks.values() for value in state.values() if value.is_floating_point())
    found = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "networks": {name: sum(value.numel() for value in state.values()) for name, state in networks.items()},
        "precision": sorted({str(value.dtype).removeprefix("torch.") for value in floats}),
        "depth_net": network_fingerprint(networks["DepthNet"]) if "DepthNet" in networks else "",
        **dataclasses.asdict(metadata),
    }
    if path.suffix != ".safetensors":
        saved = read_training_checkpoint(path)
        found |= {name: _count(saved.get(name), name, path) for name in ("epoch", "global_step")}
    return found


def _count(value: object, name: str, path: Path) -> int | None:
    """How far a checkpoint was trained, which some keep as a tensor; None where it does not say."""
    if isinstance(value, Tensor) and value.numel() == 1 and value.layout == torch.strided:
        value = value.item()
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise CheckpointError(
            f"'{path}' has {name} {shortened(value)}, expected a whole number – give a training checkpoint"
        )
    return value


def _describe_exported(path: Path) -> dict:
    """The same of a file of `scdepth export`, whose parameters are no longer by the name of a network."""
    source = exported_source(path)
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    return {
        "file": str(path),
        "bytes": sum(file.stat().st_size for file in files),
        "networks": {},
        "precision": [source.file_precision],
        "depth_net": source.fingerprint,
        **dataclasses.asdict(source.metadata),
    }


def as_text(found: dict) -> str:
    """One line a fact, with units."""
    unit = found["metres_per_unit"]
    depths = (found["min_depth"], found["max_depth"])
    lines = {
        "file": f"{found['file']}, {found['bytes']:,} bytes, {', '.join(found['precision'])}",
        "version": f"SC-Depth {found['version']}",
        "networks": ", ".join(f"{name} ({count:,} parameters)" for name, count in found["networks"].items())
        or "DepthNet, exported",
        "encoder": found["encoder"],
        "decoder": f"{found['decoder']} width, {found['upsampling']} upsampling",
        "input": f"{found['width']}x{found['height']} (WxH)",
        "normalisation": f"(x / 255 - {found['mean']:g}) / {found['std']:g}",
        "scale": f"{unit:g} metres a unit" if unit else "not known: depth is in network units",
        "depth range": f"{depths[0]:.4g} to {depths[1]:.4g} network units"
        + (f", {unit * depths[0]:.3g} to {unit * depths[1]:.3g} m" if unit else ""),
        "depth network": f"fingerprint {found['depth_net'] or 'not noted'}",
        "data set": f"{found['dataset'] or 'not noted'}, fingerprint {found['fingerprint'] or 'not noted'}",
    }
    if found.get("global_step") is not None:
        lines["trained"] = f"{found['global_step']} steps, epoch {found['epoch']}"
    elif found.get("epoch") is not None:
        lines["trained"] = f"epoch {found['epoch']}"
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())
