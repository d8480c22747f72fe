"""`scdepth import`: KITTI, TUM RGB-D and 7-Scenes as their authors publish them, into a data set to train on."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from tqdm import tqdm

from scdepth_core.arguments import image_size
from scdepth_core.data.frame_selection import SelectionSettings
from scdepth_core.data.importers import (
    SourceScene,
    convert,
    kitti_odometry_scenes,
    kitti_raw_scenes,
    seven_scenes,
    tum_scenes,
)
from scdepth_core.data.scene_writer import IMAGE_OPTIONS, DatasetWriter
from scdepth_core.errors import ConfigError, DataError
from scdepth_core.presets import PRESETS

LAYOUTS = {
    "kitti-raw": ("kitti_raw", kitti_raw_scenes),
    "kitti-odometry": ("kitti_odometry", kitti_odometry_scenes),
    "tum": ("tum", tum_scenes),
    "7scenes": ("7scenes", seven_scenes),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes recordings in the layout of their authors as a data set: images rectified and scaled, intrinsics that "
        "follow, depth (laser scans projected) and poses where the layout has them. The data set says its preset, so "
        "that evaluation takes the right protocol."
    )
    parser.add_argument("layout", choices=tuple(LAYOUTS), help="whose layout SRC has")
    parser.add_argument("src", type=Path, help="folder of dates, sequences or scenes, as unpacked")
    parser.add_argument("out", type=Path, help="folder to make; must not exist")
    parser.add_argument("--size", type=image_size, metavar="WxH", help="of the images to write (default: the preset's)")
    parser.add_argument("--scene", nargs="+", metavar="NAME", help="only these drives, sequences or scenes")
    parser.add_argument(
        "--validation",
        nargs="+",
        metavar="NAME",
        help="scenes for val.txt (default: the authors' test split, else the last, else the end of the only one)",
    )
    parser.add_argument(
        "--min-motion",
        type=float,
        default=0.0,
        metavar="PIXELS",
        help="leave out frames that moved less (default: keep all)",
    )
    parser.add_argument("--intrinsics", type=float, nargs=4, metavar=("FX", "FY", "CX", "CY"), help="of a tum sequence")
    parser.add_argument("--image-format", choices=tuple(IMAGE_OPTIONS), default="jpg", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Write the data set and print what became of each scene."""
    if args.intrinsics and args.layout != "tum":
        raise ConfigError(f"--intrinsics are for tum, '{args.layout}' brings its own")
    if not args.src.is_dir():
        raise DataError(f"'{args.src}' is not a folder – give the recordings as they are unpacked")
    preset_name, _ = LAYOUTS[args.layout]
    preset = PRESETS[preset_name]
    scenes = _chosen(args)
    width, height = args.size or (preset.width, preset.height)
    selection = SelectionSettings(min_motion=args.min_motion, min_sharpness=0) if args.min_motion else None
    attributes = {"preset": preset_name, "source": f"scdepth import {args.layout}"}
    options = {"depth_factor": preset.depth_factor, "image_format": args.image_format, "attributes": attributes}
    total = sum(len(scene.frames) for scene in scenes)
    with (
        DatasetWriter(args.out, width=width, height=height, **options) as writer,
        tqdm(total=total, unit="frame", desc="importing", disable=None) as bar,
    ):
        converted = convert(scenes, writer, args.validation, selection, bar.update)
    rows = [dataclasses.asdict(scene) for scene in converted]
    if args.json:
        print(json.dumps({"out": str(args.out), "width": width, "height": height, "scenes": rows}))
        return 0
    for row in rows:
        dropped = "".join(f", {count} {reason}" for reason, count in row["dropped"].items())
        kept = f"{row['kept']} frames{dropped}, {row['depths']} depths, {row['poses']} poses"
        print("; ".join([f"{row['name']} ({row['split']}): {kept}", *row["notes"]]))
    print(f"{args.out}: {sum(row['kept'] for row in rows if row['split'] != 'none')} frames of {width}x{height}")
    return 0


def _chosen(args: argparse.Namespace) -> list[SourceScene]:
    """The scenes asked for; others are not read, and may be incomplete."""
    _, find = LAYOUTS[args.layout]
    readers = find(args.src, args.intrinsics) if args.layout == "tum" else find(args.src)
    unknown = [name for name in args.scene or () if name not in readers]
    if unknown:
        raise DataError(f"scene '{unknown[0]}' is not in '{args.src}', expected some of {', '.join(readers)}")
    chosen = [read for name, read in readers.items() if not args.scene or name in args.scene]
    return [read() for read in tqdm(chosen, unit="scene", desc="listing", disable=None)]
