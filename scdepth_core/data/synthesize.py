"""`scdepth synthesize`: a data set of synthetic video with exact depth, poses and intrinsics."""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from scdepth_core.arguments import image_size
from scdepth_core.data.scene_writer import IMAGE_OPTIONS, DatasetWriter, depth_to_units, write_picture
from scdepth_core.data.synthetic import KINDS, STYLES, Mount, Renderer, make_path, make_scene, pinhole_camera
from scdepth_core.errors import ConfigError, DataError
from scdepth_core.machine import cpu_cores

TEST_FRAMES_PER_SCENE = 10
TEST_SPACING = 10  # frames of a path between two test images


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Renders walks through random furnished rooms and corridors: images, depth, poses, intrinsics. "
        "Images are those of an ideal pinhole camera, as training wants them. The same seed gives the same data set."
    )
    parser.add_argument("out", help="folder to make; must not exist")
    parser.add_argument("--scenes", type=int, default=60, help="training scenes (default: %(default)s)")
    parser.add_argument("--validation-scenes", type=int, default=6, help="scenes for val.txt (default: %(default)s)")
    parser.add_argument("--test-frames", type=int, default=100, help="test images, of yet other scenes (default: 100)")
    parser.add_argument("--frames", type=int, default=60, help="frames of each scene (default: %(default)s)")
    parser.add_argument(
        "--size", type=image_size, default=(128, 96), metavar="WxH", help="image size (default: 128x96)"
    )
    parser.add_argument("--fov", type=float, default=65.0, help="horizontal field of view, degrees (default: 65)")
    parser.add_argument("--fov-spread", type=float, default=0.0, help="draw each scene's field of view within +- this")
    parser.add_argument("--fps", type=float, default=5.0, help="frames a second (default: %(default)s)")
    parser.add_argument("--kind", choices=KINDS, default="mixed", help="rooms, corridors or both (default: mixed)")
    parser.add_argument(
        "--style", choices=(*STYLES, "mixed"), default="handheld", help="camera motion (default: handheld)"
    )
    parser.add_argument("--rotation", type=float, default=1.0, help="camera shake: 0 none, 3 strong (default: 1)")
    parser.add_argument("--speed", type=float, help="metres a second (default: drawn from 0.6 to 1.0 for each scene)")
    parser.add_argument("--camera-height", type=float, help="metres above the floor (default: drawn for each scene)")
    parser.add_argument(
        "--pitch", type=float, help="degrees that the camera looks down (default: drawn for each scene)"
    )
    parser.add_argument(
        "--yaw",
        type=float,
        help="degrees that the camera looks to the left of its way (default: drawn; handheld looks around)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything (default: %(default)s)")
    parser.add_argument("--image-format", choices=tuple(IMAGE_OPTIONS), default="png", help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=cpu_cores(), help="processes (default: all cores)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Writes the data set and prints a summary.

    Raises:
        ConfigError: for numbers that make no data set. DataError: if `out` exists or cannot be written.
    """
    started = time.perf_counter()
    jobs = _jobs(args)
    width, height = args.size
    attributes = {"source": "scdepth synthesize"}
    attributes |= {name: getattr(args, name) for name in ("fps", "seed", "kind", "style", "rotation", "fov")}
    attributes |= {"mount": asdict(Mount(args.camera_height, args.pitch, args.yaw))}
    writer = DatasetWriter(args.out, width=width, height=height, image_format=args.image_format, attributes=attributes)
    with writer as dataset:
        for split in ("color", "depth") if args.test_frames else ():
            (dataset.partial / "testing" / split).mkdir(parents=True)
        for name, split, *_ in jobs:
            if split != "test":
                getattr(dataset, split).append(name)
        total = sum(frames for *_, frames in jobs)
        with tqdm(total=total, unit="frame", desc="rendering", disable=None) as progress:
            for frames in _render_all(args, dataset, jobs):
                progress.update(frames)
    seconds = time.perf_counter() - started
    summary = {
        "out": str(Path(args.out).absolute()),
        "training_scenes": args.scenes,
        "validation_scenes": args.validation_scenes,
        "test_frames": args.test_frames,
        "frames": total,
        "width": width,
        "height": height,
        "seconds": round(seconds, 2),
        "frames_per_second": round(total / seconds, 1),
    }
    if args.json:
        print(json.dumps(summary))
    else:
        print(
            f"{args.out}: {args.scenes} training and {args.validation_scenes} validation scenes of {args.frames} "
            f"frames, {args.test_frames} test images, {width}x{height}; {total} frames in {seconds:.0f} s "
            f"({total / seconds:.0f} a second)"
        )
    return 0


def _jobs(args) -> list[tuple[str, str, int, int]]:
    """(name, split, scene seed, frames) of every scene to render; no two have the same seed."""
    if args.scenes < 1 or args.frames < 1 or args.validation_scenes < 0 or args.test_frames < 0 or args.workers < 1:
        raise ConfigError(
            f"--scenes {args.scenes} --frames {args.frames} --workers {args.workers} have to be at least 1, "
            f"--validation-scenes {args.validation_scenes} --test-frames {args.test_frames} at least 0"
        )
    if not 0 <= args.seed < 10_000:
        raise ConfigError(f"--seed is {args.seed}, expected 0 to 9999")
    if not 20 <= args.fov - args.fov_spread <= args.fov + args.fov_spread <= 130:
        raise ConfigError(f"--fov {args.fov:g} with --fov-spread {args.fov_spread:g} leaves 20 to 130 degrees")
    base = 1_000_000 * args.seed
    jobs = [(f"train_{i:04d}", "train", base + i, args.frames) for i in range(args.scenes)]
    jobs += [(f"val_{i:04d}", "val", base + 500_000 + i, args.frames) for i in range(args.validation_scenes)]
    left = args.test_frames
    for i in range(-(-left // TEST_FRAMES_PER_SCENE)):
        jobs.append((f"test_{i:04d}", "test", base + 800_000 + i, min(left, TEST_FRAMES_PER_SCENE)))
        left -= TEST_FRAMES_PER_SCENE
    return jobs


def _render_all(args, dataset, jobs):
    """Yields the number of frames of each finished scene."""
    workers = min(args.workers, len(jobs))
    if workers == 1:
        for job in jobs:
            yield _render_scene(args, dataset, job)
        return
    # Not forked: a forked child of a process with threads (OpenCV, torch) can hang.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        try:
            for done in as_completed([pool.submit(_render_scene, args, dataset, job) for job in jobs]):
                yield done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _one_thread() -> None:
    cv2.setNumThreads(1)


def _render_scene(args, dataset: DatasetWriter, job) -> int:
    name, split, seed, frames = job
    mount = Mount(args.camera_height, args.pitch, args.yaw)
    for attempt in range(5):
        scene = make_scene(seed + 100_000_000 * attempt, args.kind)
        rng = np.random.default_rng([scene.seed, 7])
        style = rng.choice(STYLES) if args.style == "mixed" else args.style
        spacing = TEST_SPACING if split == "test" else 1
        try:
            poses = make_path(scene, 0, frames * spacing, args.fps, style, args.rotation, args.speed, mount)[::spacing]
            break
        except DataError:
            if attempt == 4:
                raise
    fov = args.fov + args.fov_spread * rng.uniform(-1, 1)
    camera = pinhole_camera(*args.size, fov)
    renderer = Renderer(scene, camera)
    if split == "test":
        _write_test(dataset, name, renderer, poses)
        return frames
    folder = dataset.new_scene(name, camera.K)
    for index, pose in enumerate(poses):
        image, depth = renderer.render(pose)
        folder.add(image, stamp_ns=round(index * 1e9 / args.fps), depth=depth, pose=pose)
    folder.close()
    return frames


def _write_test(dataset: DatasetWriter, name: str, renderer: Renderer, poses) -> None:
    testing = dataset.partial / "testing"
    for index, pose in enumerate(poses):
        image, depth = renderer.render(pose)
        stem = f"{name}_{index:03d}"
        files = {
            testing / "color" / f"{stem}.{dataset.image_format}": image[..., ::-1],
            testing / "depth" / f"{stem}.png": depth_to_units(depth, dataset.depth_factor),
        }
        for path, pixels in files.items():
            write_picture(path, pixels)
