"""`scdepth predict`: depth of image files, as arrays or 16-bit PNG, and as pictures."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from scdepth_core.arguments import WEIGHTS_HELP, check_output_folder, check_scale
from scdepth_core.checkpoint import STARTER_WEIGHTS
from scdepth_core.data.scene_folder import image_files, read_image
from scdepth_core.errors import ConfigError, DataError
from scdepth_core.finished_file import finished_file
from scdepth_core.inference.estimator_arguments import add_estimator_arguments, load_estimator, weights_in_words
from scdepth_core.visualization import colorize_depth

FORMATS = ("npy", "png")
LARGEST_FACTOR = 1e6  # of depth, PNG units per metre; beyond, 16 bits hold nothing of use


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, nargs="+", help="images, or folders of images (*.jpg, *.png)")
    parser.add_argument("--out", type=Path, required=True, help="folder for NAME.npy or NAME.png, and NAME_color.png")
    parser.add_argument("--weights", type=Path, help=WEIGHTS_HELP)
    parser.add_argument(
        "--format", choices=FORMATS, default="npy", help="npy: float32; png: 16 bits, --depth-factor (default: npy)"
    )
    parser.add_argument("--depth-factor", type=float, default=1000.0, help="PNG units per metre (default: 1000)")
    parser.add_argument("--metres-per-unit", type=float, help="scale to metres (default: the weights' own, else 1)")
    parser.add_argument("--range", type=float, nargs=2, metavar=("NEAR", "FAR"), help="fixed range of the colours")
    parser.add_argument("--no-color", action="store_true", help="leave the pictures out")
    add_estimator_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Predict every image; each file appears under its final name only when it is complete."""
    _check_numbers(args)
    check_output_folder(args.out)
    images = collect_images(args.input)
    _check_outputs(images, args)
    estimator = load_estimator(args)
    scale = args.metres_per_unit or estimator.metadata.metres_per_unit or 1.0
    metric = bool(args.metres_per_unit or estimator.metadata.metres_per_unit)
    args.out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    lost = 0.0
    for name, path in tqdm(images.items(), unit="image", desc="depth", disable=None):
        depth = estimator.predict(read_image(path)) * np.float32(scale)
        lost += save_depth(args.out / f"{name}.{args.format}", depth, args.depth_factor) / len(images)
        if not args.no_color:
            near, far = args.range or np.percentile(depth, (2, 98))
            save_png(args.out / f"{name}_color.png", colorize_depth(depth, near, far)[..., ::-1])
    summary = {
        "weights": str(args.weights or STARTER_WEIGHTS),
        "images": len(images),
        "out": str(args.out),
        "unit": "metres" if metric else "network units",
        "beyond_16_bits": round(lost, 4),
        "seconds": round(time.perf_counter() - started, 2),
    }
    said = f"{weights_in_words(args)}: {len(images)} depth maps in '{args.out}', in {summary['unit']}"
    print(json.dumps(summary) if args.json else said)
    if lost and not args.json:
        print(f"{lost:.1%} of the pixels are too far for 16 bits and are 0 (no value) – lower --depth-factor")
    return 0


def collect_images(inputs: list[Path]) -> dict[str, Path]:
    """Output name -> file, for files and folders; names that would overwrite each other are an error."""
    images: dict[str, Path] = {}
    for entry in inputs:
        if not entry.exists():
            raise DataError(f"'{entry}' does not exist – give images or folders of images")
        files = image_files(entry) if entry.is_dir() else [entry]
        if not files:
            raise DataError(f"folder '{entry}' has no *.jpg or *.png")
        for path in files:
            if path.stem in images:
                raise ConfigError(f"'{images[path.stem]}' and '{path}' would both become '{path.stem}' – use two runs")
            images[path.stem] = path
    return images


def _check_numbers(args: argparse.Namespace) -> None:
    check_scale(args.metres_per_unit)
    if not 0 < args.depth_factor <= LARGEST_FACTOR:
        raise ConfigError(
            f"--depth-factor is {args.depth_factor:g}, expected a number above 0, up to {LARGEST_FACTOR:g}"
        )
    if args.range and not 0 < args.range[0] < args.range[1]:
        raise ConfigError(f"--range is {args.range[0]:g} {args.range[1]:g}, expected 0 < NEAR < FAR")


def _check_outputs(images: dict[str, Path], args: argparse.Namespace) -> None:
    """No output may replace an input, or another output, or become a picture beside those that are read."""
    endings = [f".{args.format}"] + ([] if args.no_color else ["_color.png"])
    outputs = Counter((args.out / f"{name}{ending}").resolve() for name in images for ending in endings)
    inputs = {path.resolve() for path in images.values()}
    for path, times in outputs.items():
        if times > 1:
            raise ConfigError(f"'{path.name}' would be written twice – use --no-color, or rename the images")
        if path in inputs:
            raise ConfigError(f"'{path}' is an input and would be replaced by its depth – choose another --out")
    writes_pictures = args.format == "png" or not args.no_color
    if writes_pictures and args.out.resolve() in {path.parent for path in inputs}:
        raise ConfigError(
            f"--out is '{args.out}', which images are read from: pictures of depth would count as its images, also in "
            "training – choose another folder"
        )


def save_depth(path: Path, depth: np.ndarray, depth_factor: float) -> float:
    """(H, W) float32 as .npy, or as 16-bit PNG in 1/depth_factor units, 0 beyond what 16 bits hold.

    Returns:
        the share of the pixels that 16 bits could not hold.
    """
    if path.suffix == ".npy":
        with finished_file(path) as partial, partial.open("wb") as file:
            np.save(file, depth)
        return 0.0
    units = np.rint(depth * depth_factor)
    fits = units <= np.iinfo(np.uint16).max
    save_png(path, np.where(fits, units, 0).astype(np.uint16))
    return float(1 - fits.mean())


def save_png(path: Path, image: np.ndarray) -> None:
    """Write a PNG in one step (BGR order where it has colours)."""
    done, encoded = cv2.imencode(".png", image)
    if not done:
        raise DataError(f"'{path}' cannot be encoded from {image.dtype} {image.shape}")
    with finished_file(path) as partial:
        partial.write_bytes(encoded.tobytes())
