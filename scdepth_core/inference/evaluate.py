"""`scdepth evaluate`: depth errors under a benchmark's protocol, and how steady the scale is."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from scdepth_core.data.scene_folder import SceneFolder, read_depth, read_image
from scdepth_core.errors import DataError
from scdepth_core.inference.estimator import DepthEstimator
from scdepth_core.metrics import ALIGNMENTS, PROTOCOLS, Evaluation, evaluate, protocol_named

COLUMNS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "a1", "a2", "a3")
TITLES = {"image": "per-image median", "set": "one scale for the set", "none": "as it stands"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="data set in the scene-folder format")
    parser.add_argument("--weights", type=Path, help=".safetensors or .ckpt (default: the starter weights)")
    parser.add_argument(
        "--split",
        choices=("auto", "test", "val"),
        default="auto",
        help="testing/, or the scenes of val.txt (auto: either)",
    )
    parser.add_argument(
        "--protocol", choices=tuple(PROTOCOLS), default="custom", help="range and crop (default: custom)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print a table, or JSON."""
    folder = SceneFolder(args.data)
    pairs = frames_with_depth(folder, args.split)
    estimator = DepthEstimator.load(args.weights, args.device)
    predictions = predict_pairs(estimator, pairs, folder.depth_factor)
    result = evaluate(
        tqdm(predictions, total=len(pairs), unit="image", desc="evaluating", disable=None),
        protocol_named(args.protocol),
    )
    print(json.dumps(_plain(dataclasses.asdict(result)), allow_nan=False) if args.json else table(result))
    return 0


def _plain(value):
    """Numbers that JSON has no word for (NaN: an image without ground truth) become null."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def frames_with_depth(folder: SceneFolder, split: str) -> list[tuple[Path, Path]]:
    """(image, ground truth) files of the test images, or of the validation scenes."""
    if split == "auto":
        split = "test" if (folder.root / "testing" / "color").is_dir() else "val"
    if split == "test":
        return folder.testing
    pairs = [
        (image, depth)
        for scene in folder.validation
        for image, depth in zip(scene.images, scene.depths)
        if depth is not None
    ]
    if not pairs:
        raise DataError(
            f"no validation scene of '{folder.root}' has ground-truth depth – there is nothing to compare with"
        )
    return pairs


def predict_pairs(
    estimator: DepthEstimator, pairs: list[tuple[Path, Path]], depth_factor: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Prediction (metres where the weights know their scale, else network units) and truth (metres) of each pair."""
    scale = np.float32(estimator.metadata.metres_per_unit or 1.0)
    for image, depth in pairs:
        yield estimator.predict(read_image(image)) * scale, read_depth(depth, depth_factor)


def table(result: Evaluation) -> str:
    """Errors by alignment as a Markdown table, and the scale in a sentence."""
    lines = ["| alignment | " + " | ".join(COLUMNS) + " |", "|---|" + "---|" * len(COLUMNS)]
    rows = {TITLES[alignment]: result.errors[alignment] for alignment in ALIGNMENTS}
    rows["constant depth, one scale"] = result.constant
    for title, errors in rows.items():
        lines.append(f"| {title} | " + " | ".join(f"{errors[name]:.3f}" for name in COLUMNS) + " |")
    lines.append("")
    lines.append(
        f"{result.images} images ({result.skipped} without ground truth). One scale {result.scale:.4f} m a unit, "
        f"scale spread {result.scale_spread:.3f}."
    )
    if result.constant["abs_rel"] > 0:  # it is 0 on a flat wall seen head-on
        ratio = result.errors["set"]["abs_rel"] / result.constant["abs_rel"]
        lines[-1] += f" abs_rel is {ratio:.2f} of what a constant depth scores."
    if result.coverage < 1:
        lines[-1] += f" Predictions have a value at {result.coverage:.1%} of the pixels with ground truth."
    return "\n".join(lines)
