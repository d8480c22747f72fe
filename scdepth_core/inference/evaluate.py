"""`scdepth evaluate`: depth errors under a benchmark's protocol, and how steady the scale is."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from scdepth_core.arguments import WEIGHTS_HELP
from scdepth_core.checkpoint import STARTER_WEIGHTS
from scdepth_core.data.depth_units import warn_of_guessed_units
from scdepth_core.data.scene_folder import SceneFolder, pair_by_stem, read_depth, read_image
from scdepth_core.errors import ConfigError, DataError
from scdepth_core.evaluation import ALIGNMENTS, evaluate
from scdepth_core.inference.estimator import DepthEstimator
from scdepth_core.inference.estimator_arguments import add_estimator_arguments, load_estimator, weights_in_words
from scdepth_core.inference.evaluation_report import COLUMNS, markdown_row, save_sheet, table
from scdepth_core.metrics import PROTOCOLS, protocol_named
from scdepth_core.text_file import read_text

MASK_SUFFIXES, DYNAMIC_COLORS = (".png",), "dynamic_colors.txt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Depth errors with a scale for each image, one for the set, and as it stands; how much the scale drifts. "
        "Memory does not grow with the set: what is compared waits in a temporary file, 8 bytes a pixel (TMPDIR)."
    )
    parser.add_argument("--data", type=Path, required=True, help="data set in the scene-folder format")
    parser.add_argument("--weights", type=Path, help=WEIGHTS_HELP)
    parser.add_argument(
        "--split",
        choices=("auto", "test", "val"),
        default="auto",
        help="testing/, or the scenes of val.txt (auto: either)",
    )
    parser.add_argument(
        "--protocol", choices=tuple(PROTOCOLS), help="range and crop (default: of the data set's preset, else custom)"
    )
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="FOLDER",
        help="8-bit PNG masks, by stem (FOLDER/STEM.png, or FOLDER/SCENE/STEM.png), not 0 where things move, or in the "
        "colours of a dynamic_colors.txt ('red green blue' a line): errors of dynamic and static regions apart",
    )
    parser.add_argument(
        "--align",
        choices=ALIGNMENTS,
        default="image",
        help="scale that --markdown and --sheet show: of each image, one of the set, none (default: image)",
    )
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="pictures of the best, median and worst frames")
    add_estimator_arguments(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print everything as JSON on stdout")
    output.add_argument(
        "--markdown",
        action="store_true",
        help=f"print a row of a Markdown table: weights, data, protocol, alignment, {', '.join(COLUMNS)}, scale spread",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate and print a table, a row of one, or JSON."""
    if args.sheet is not None and args.sheet.suffix.lower() != ".png":
        raise ConfigError(f"--sheet is '{args.sheet}', expected a name that ends in .png")
    folder = SceneFolder(args.data)
    pairs, left_out = frames_with_depth(folder, args.split)
    masks = None if args.masks is None else masks_of([image for image, _ in pairs], args.masks)
    protocol = args.protocol or folder.preset.protocol
    warn_of_guessed_units(folder, protocol, (depth for _, depth in pairs))
    estimator = load_estimator(args)
    frames = predict_frames(estimator, pairs, folder.depth_factor, masks)
    result = evaluate(
        tqdm(frames, total=len(pairs), unit="image", desc="evaluating", disable=None), protocol_named(protocol)
    )
    result = dataclasses.replace(result, skipped=result.skipped + left_out)
    if args.sheet is not None:
        save_sheet(args.sheet, estimator, pairs, folder.depth_factor, result, args.align, protocol_named(protocol))
    known, data = estimator.metadata.metres_per_unit, folder.root.resolve().name
    if args.json:
        measured = {"weights": str(args.weights or STARTER_WEIGHTS), "data": str(folder.root), "protocol": protocol}
        measured |= {"metres_per_unit": result.scale * (known or 1)}
        print(json.dumps(_plain(dataclasses.asdict(result) | measured), allow_nan=False))
    elif args.markdown:
        print(
            markdown_row(result, "starter" if args.weights is None else args.weights.name, data, protocol, args.align)
        )
    else:
        print(table(result, f"{weights_in_words(args)} on {data}", known))
        print(f"Protocol '{protocol}', {folder.depth_factor:g} units a metre in 16-bit depth.")
    return 0


def _plain(value):
    """Numbers that JSON has no word for (NaN: an image without ground truth) become null."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def frames_with_depth(folder: SceneFolder, split: str) -> tuple[list[tuple[Path, Path]], int]:
    """(image, ground truth) files of the test images, or of the validation scenes; how many frames have no truth."""
    if split == "auto":
        split = "test" if (folder.root / "testing" / "color").is_dir() else "val"
    if split == "test":
        return folder.testing, 0
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
    return pairs, sum(len(scene.images) for scene in folder.validation) - len(pairs)


def masks_of(images: list[Path], folder: Path) -> list[Path]:
    """The mask of each image, by stem; in FOLDER/<scene>/ where there is such a folder.

    Raises:
        DataError: a mask is missing, or images of several scenes would share one.
    """
    if not folder.is_dir():
        raise DataError(f"masks '{folder}' are not a folder – give one with <name of the image>.png in it")
    scenes: dict[Path, list[Path]] = {}
    for image in images:
        scenes.setdefault(image.parent, []).append(image)
    flat = [scene for scene in scenes if not (folder / scene.name).is_dir()]
    if flat and len(scenes) > 1:
        raise DataError(f"masks of {len(scenes)} scenes need a folder each, '{folder / flat[0].name}' is missing")
    found: dict[Path, Path] = {}
    for scene, members in scenes.items():
        masks = pair_by_stem(members, folder if scene in flat else folder / scene.name, MASK_SUFFIXES)
        found |= zip(members, masks)
    return [found[image] for image in images]


def read_mask(path: Path) -> np.ndarray:
    """(H, W) bool, True where things move: not 0, or one of the colours in dynamic_colors.txt beside the file.

    Raises:
        DataError: the file is neither an 8-bit picture of one channel nor a coloured one with its dynamic_colors.txt.
    """
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if mask is not None and mask.dtype == np.uint8:
        if mask.ndim == 2:
            return mask > 0
        colors = path.with_name(DYNAMIC_COLORS)
        if colors.exists():
            red, green, blue = np.moveaxis(mask[..., 2::-1].astype(np.int64), 2, 0)
            return np.isin(red << 16 | green << 8 | blue, [r << 16 | g << 8 | b for r, g, b in _read_colors(colors)])
    found = "not a picture" if mask is None else f"{mask.dtype} {mask.shape}"
    raise DataError(
        f"mask '{path}' is {found}, expected an 8-bit PNG of one channel, not 0 where things move, or a coloured one "
        f"with the colours of moving things, 'red green blue' a line, in {DYNAMIC_COLORS} beside it"
    )


def _read_colors(path: Path) -> list[tuple[int, int, int]]:
    """Red, green and blue of each line."""
    colors = []
    for line in filter(str.strip, read_text(path).splitlines()):
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            values = []
        if len(values) != 3 or not all(value in range(256) for value in values):
            raise DataError(f"'{path}' has the line '{line}', expected red, green and blue, each from 0 to 255")
        colors.append(tuple(map(int, values)))
    return colors


def predict_frames(
    estimator: DepthEstimator, pairs: list[tuple[Path, Path]], depth_factor: float, masks: list[Path] | None
) -> Iterator[tuple[np.ndarray, ...]]:
    """Prediction (metres where the weights know their scale, else network units), truth (metres) and mask of each."""
    scale = np.float32(estimator.metadata.metres_per_unit or 1.0)
    for index, (image, depth) in enumerate(pairs):
        frame = estimator.predict(read_image(image)) * scale, read_depth(depth, depth_factor)
        yield frame if masks is None else (*frame, read_mask(masks[index]))
