"""`scdepth odometry`: the motion of each scene as trajectory files, and its errors where poses are known.

The files are read by `evo` as they are, for plots and further figures:

    evo_ape tum DATA/training/SCENE/poses.txt OUT/SCENE.tum.txt --align --correct_scale --plot
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from scdepth_core.arguments import check_output_folder, check_scale
from scdepth_core.data.scene_folder import Scene, SceneFolder, read_image
from scdepth_core.errors import ConfigError, DataError
from scdepth_core.geometry.trajectory import Trajectory, chain, read_stamps, read_tum
from scdepth_core.geometry.trajectory_errors import TrajectoryErrors, trajectory_errors
from scdepth_core.inference.estimator_arguments import add_device_argument
from scdepth_core.inference.motion_estimator import MotionEstimator

Motion = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # MotionEstimator.relative, or another source
ALIGNMENT = "similarity over the whole scene: scale, rotation, translation (7 degrees of freedom)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Chains the camera motion between neighbouring frames into a trajectory for each scene: SCENE.tum.txt and "
        "SCENE.kitti.txt, starting at the origin, in metres where the weights or --metres-per-unit say the scale, else "
        "in network units. Where a scene has poses.txt, the trajectory is aligned to it by one similarity (scale, "
        "rotation, translation) and ATE, RPE and, from 100 m on, KITTI's t_err and r_err are told. The written files "
        "are not aligned."
    )
    parser.add_argument("data", type=Path, help="data set in the scene-folder format")
    parser.add_argument(
        "--weights",
        "--checkpoint",
        type=Path,
        required=True,
        help=".ckpt, .pth.tar of the pose network, or .safetensors of 'scdepth pack --with-motion'",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the trajectory files")
    parser.add_argument(
        "--split", choices=("train", "val"), default="val", help="which scenes (default: those of val.txt)"
    )
    parser.add_argument("--scene", nargs="+", metavar="NAME", help="only these scenes of the split")
    parser.add_argument(
        "--metres-per-unit", type=float, help="factor on the translations (default: the weights' own, else 1)"
    )
    add_device_argument(parser)
    parser.add_argument("--json", action="store_true", help="print everything as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Write the trajectories and print the errors."""
    check_scale(args.metres_per_unit)
    check_output_folder(args.out)
    scenes = chosen_scenes(SceneFolder(args.data), args.split, args.scene)
    for scene in scenes:  # what does not fit is said before the work, not after it
        stamps_of(scene), truth_of(scene)
    estimator = MotionEstimator.load(args.weights, args.device)
    known = args.metres_per_unit or estimator.metadata.metres_per_unit
    rows = []
    with tqdm(total=sum(len(s.images) - 1 for s in scenes), unit="pair", desc="odometry", disable=None) as bar:
        for scene in scenes:
            trajectory = estimate(scene, estimator.relative, known or 1.0, bar.update)
            trajectory.write_tum(args.out / f"{scene.name}.tum.txt")
            trajectory.write_kitti(args.out / f"{scene.name}.kitti.txt")
            rows.append({"scene": scene.name, "frames": len(scene.images), **_judged(scene, trajectory)})
    if args.json:
        plain = [row | {"errors": row["errors"] and dataclasses.asdict(row["errors"])} for row in rows]
        scale = {"unit": "metres" if known else "network units", "metres_per_unit": known}
        print(json.dumps({"out": str(args.out), **scale, "alignment": ALIGNMENT, "scenes": plain}))
    else:
        print(table(rows))
        for row in rows:
            if row["note"]:
                print(f"{row['scene']} has no errors: {row['note']}")
        print(f"trajectories of {len(rows)} scenes in '{args.out}', {unit_in_words(known)}")
        print(f"errors after alignment by {ALIGNMENT}")
    return 0


def unit_in_words(metres_per_unit: float | None) -> str:
    """What the trajectories are in, and with it what the alignment's scale says."""
    if metres_per_unit is None:
        return "in network units: scale is metres a unit"
    return f"in metres, at {metres_per_unit:g} m a network unit: scale is 1 where that is right"


def chosen_scenes(folder: SceneFolder, split: str, names: list[str] | None) -> list[Scene]:
    """The scenes of a split, or some of them by name; all have at least two frames."""
    scenes = folder.training if split == "train" else folder.validation
    known = {scene.name: scene for scene in scenes}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ConfigError(f"scene '{unknown[0]}' is not in {split}.txt, expected one of {', '.join(known)}")
    chosen = [known[name] for name in names] if names else scenes
    for scene in chosen:
        if len(scene.images) < 2:
            raise DataError(f"scene '{scene.name}' has one frame, odometry needs two – leave it out with --scene")
    return chosen


def estimate(
    scene: Scene, motion: Motion, metres_per_unit: float = 1.0, progress: Callable[[int], object] = lambda done: None
) -> Trajectory:
    """The trajectory of a scene, chained from the motion between neighbouring frames."""

    def relative() -> Iterator[np.ndarray]:
        for first, second in pairwise(map(read_image, scene.images)):
            transform = np.array(motion(first, second, scene.K), np.float64)
            transform[:3, 3] *= metres_per_unit
            yield transform
            progress(1)

    return Trajectory(stamps_of(scene), chain(relative()))


def stamps_of(scene: Scene) -> list[str]:
    """Seconds of each frame: of timestamps.txt or poses.txt, and where there is neither, its number."""
    folder = scene.images[0].parent
    if (folder / "timestamps.txt").exists():
        return _for_each_frame(scene, folder / "timestamps.txt", read_stamps(folder / "timestamps.txt"))
    if (folder / "poses.txt").exists():
        return _for_each_frame(scene, folder / "poses.txt", read_tum(folder / "poses.txt").stamps)
    return [str(index) for index in range(len(scene.images))]


def truth_of(scene: Scene) -> Trajectory | None:
    """The scene's poses.txt; None where there is none. DataError when it does not fit the frames."""
    path = scene.images[0].parent / "poses.txt"
    if not path.exists():
        return None
    truth = read_tum(path)
    _for_each_frame(scene, path, truth.stamps)
    return truth


def errors_of(scene: Scene, trajectory: Trajectory) -> TrajectoryErrors | None:
    """Errors against the scene's poses.txt; None where there is none.

    Raises:
        DataError: as trajectory_errors, such as for a camera that stood still.
    """
    truth = truth_of(scene)
    return None if truth is None else trajectory_errors(trajectory.poses, truth.poses)


def _judged(scene: Scene, trajectory: Trajectory) -> dict:
    """`errors`, or why there are none in `note`: one scene that cannot be compared does not end the others."""
    try:
        return {"errors": errors_of(scene, trajectory), "note": ""}
    except DataError as error:
        return {"errors": None, "note": str(error)}


def table(rows: list[dict]) -> str:
    """Errors of each scene as a Markdown table; '-' where there is no truth, or not enough of it."""
    lines = [
        "| scene | frames | length m | scale | ATE m | RPE m | RPE ° | t_err % | r_err °/100m |",
        "|---|" + "---|" * 8,
    ]
    names = ("length", "scale", "ate", "rpe_translation", "rpe_rotation", "kitti_t", "kitti_r")
    for row in rows:
        values = [getattr(row["errors"], name, None) for name in names]
        cells = " | ".join("-" if value is None else f"{value:.3f}" for value in values)
        lines.append(f"| {row['scene']} | {row['frames']} | {cells} |")
    return "\n".join(lines)


def _for_each_frame(scene: Scene, path: Path, entries: list[str]) -> list[str]:
    if len(entries) != len(scene.images):
        raise DataError(
            f"'{path}' has {len(entries)} entries for {len(scene.images)} frames – write one for each frame, or "
            "remove the file"
        )
    return entries
