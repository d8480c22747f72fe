"""`scdepth import`: KITTI, TUM RGB-D and 7-Scenes as their authors publish them, into a data set to train on."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from scdepth_core.arguments import image_size
from scdepth_core.data.frame_selection import SelectionSettings
from scdepth_core.data.importers import (
    BenchmarkFrame,
    SourceScene,
    convert,
    kitti_odometry_scenes,
    kitti_raw_scenes,
    kitti_test_frames,
    read_split,
    seven_scenes,
    tum_scenes,
    write_benchmark,
)
from scdepth_core.data.importers.kitti_odometry import WITHOUT_POSES
from scdepth_core.data.scene_writer import IMAGE_OPTIONS, DatasetWriter
from scdepth_core.errors import ConfigError, DataError
from scdepth_core.presets import PRESETS


@dataclasses.dataclass(frozen=True)
class Layout:
    """How somebody publishes recordings: name of the preset, what lists the scenes, which come along only by name."""

    preset: str
    find: Callable
    by_name: tuple[str, ...] = ()


LAYOUTS = {
    "kitti-raw": Layout("kitti_raw", kitti_raw_scenes),
    "kitti-odometry": Layout("kitti_odometry", kitti_odometry_scenes, by_name=WITHOUT_POSES),
    "tum": Layout("tum", tum_scenes),
    "7scenes": Layout("7scenes", seven_scenes),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes recordings in the layout of their authors as a data set: images rectified and scaled, intrinsics that "
        "follow, depth (laser scans projected at the recorded size) and poses where the layout has them. The data set "
        "says its preset, so that evaluation takes the right protocol."
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
        help="scenes for val.txt (default: the published split, 09 and 10 of kitti-odometry for one, else the last, "
        "else the end of the only one)",
    )
    parser.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help="list of kitti-raw test frames, such as Eigen's, with lines 'DATE/DRIVE_sync 0000000005 l' or "
        "'DATE/DRIVE_sync/image_02/data/0000000005.jpg': they become testing/, as recorded and with depth as published "
        "figures count it, and their drives are neither for training nor for validation",
    )
    parser.add_argument(
        "--min-motion",
        type=float,
        default=0.0,
        metavar="PIXELS",
        help="leave out frames that moved less (default: keep all)",
    )
    parser.add_argument(
        "--intrinsics",
        type=float,
        nargs=4,
        metavar=("FX", "FY", "CX", "CY"),
        help="of a tum sequence (default: those that 'export-tum' wrote beside it, else those of the camera it names)",
    )
    parser.add_argument(
        "--depth-factor",
        type=float,
        metavar="N",
        help="units a metre of a tum sequence's depth (default: what 'export-tum' wrote beside it, else TUM's 5000)",
    )
    parser.add_argument("--image-format", choices=tuple(IMAGE_OPTIONS), default="jpg", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Write the data set and print what became of each scene."""
    for option, layout in (("intrinsics", "tum"), ("depth_factor", "tum"), ("split", "kitti-raw")):
        if getattr(args, option) is not None and args.layout != layout:
            name = option.replace("_", "-")
            raise ConfigError(f"--{name} is for {layout}, '{args.layout}' brings its own – leave it out")
    if args.depth_factor is not None and not 0 < args.depth_factor < float("inf"):
        raise ConfigError(f"--depth-factor is {args.depth_factor:g}, expected units a metre above 0, as 1000 or 5000")
    if not args.src.is_dir():
        raise DataError(f"'{args.src}' is not a folder – give the recordings as they are unpacked")
    preset = PRESETS[LAYOUTS[args.layout].preset]
    tests, test_scenes = _tests(args)
    scenes, left_out = _chosen(args, test_scenes)
    width, height = args.size or (preset.width, preset.height)
    selection = SelectionSettings(min_motion=args.min_motion, min_sharpness=0) if args.min_motion else None
    attributes = {"preset": LAYOUTS[args.layout].preset, "source": f"scdepth import {args.layout}"}
    attributes |= {"split": args.split.name} if args.split else {}
    factor = min((scene.depth_factor for scene in scenes if scene.depth_factor), default=preset.depth_factor)
    options = {"depth_factor": factor, "image_format": args.image_format, "attributes": attributes}
    total = sum(len(scene.frames) for scene in scenes) + len(tests)
    with (
        DatasetWriter(args.out, width=width, height=height, **options) as writer,
        tqdm(total=total, unit="frame", desc="importing", disable=None) as bar,
    ):
        write_benchmark(tests, writer, bar.update)
        converted = []
        if scenes or args.validation:
            converted = convert(scenes, writer, args.validation, selection, bar.update)
    rows = [dataclasses.asdict(scene) for scene in converted]
    result = {"out": str(args.out), "width": width, "height": height, "scenes": rows, "left_out": left_out}
    result["testing"] = {"frames": len(tests), "scenes": sorted(test_scenes)}
    print(json.dumps(result) if args.json else _sentences(result))
    return 0


def _tests(args: argparse.Namespace) -> tuple[list[BenchmarkFrame], set[str]]:
    """The frames of --split, and the scenes that they are of, which are for nothing else."""
    if args.split is None:
        return [], set()
    split = read_split(args.split)
    return kitti_test_frames(args.src, split), {frame.drive for frame in split}


def _chosen(args: argparse.Namespace, test_scenes: set[str]) -> tuple[list[SourceScene], list[str]]:
    """The scenes for training and validation, and the names of those left out; these are not read.

    Raises:
        DataError: a name is unknown or of a test scene, or there is none left and nothing to test on.
    """
    layout = LAYOUTS[args.layout]
    given = (args.intrinsics, args.depth_factor) if args.layout == "tum" else ()
    readers = layout.find(args.src, *given)
    named = [*(args.scene or ()), *(args.validation or ())]
    for name in args.scene or ():
        if name not in readers:
            raise DataError(f"scene '{name}' is not in '{args.src}', expected some of {', '.join(readers)}")
    for name in named:
        if name in test_scenes:
            raise DataError(f"scene '{name}' has test frames of '{args.split}', so it can only be for testing")
    left_out = [name for name in layout.by_name if name in readers and name not in named]
    wanted = [name for name in readers if not args.scene or name in args.scene]
    chosen = [name for name in wanted if name not in test_scenes and name not in left_out]
    if not chosen and not test_scenes:
        raise DataError(f"'{args.src}' has only scenes that come along by name – name some of {', '.join(left_out)}")
    scenes = [readers[name]() for name in tqdm(chosen, unit="scene", desc="listing", disable=None)]
    return scenes, [] if args.scene else left_out


def _sentences(result: dict) -> str:
    """A line for each scene, one for what was left out, one for the test frames, one for all."""
    lines = []
    for row in result["scenes"]:
        dropped = "".join(f", {count} {reason}" for reason, count in row["dropped"].items())
        kept = f"{row['kept']} frames{dropped}, {row['depths']} depths, {row['poses']} poses"
        lines.append("; ".join([f"{row['name']} ({row['split']}): {kept}", *row["notes"]]))
    if result["left_out"]:
        lines.append(f"left out, as no poses of them are published: {', '.join(result['left_out'])} (see --scene)")
    if result["testing"]["frames"]:
        drives = len(result["testing"]["scenes"])
        lines.append(f"testing: {result['testing']['frames']} frames of {drives} scenes, which are for nothing else")
    if result["scenes"] and not any(row["split"] == "train" for row in result["scenes"]):
        lines.append(
            "train.txt is empty, as no scene is for training – take more scenes, or name others in --validation"
        )
    kept = sum(row["kept"] for row in result["scenes"] if row["split"] != "none")
    return "\n".join([*lines, f"{result['out']}: {kept} frames of {result['width']}x{result['height']}"])
