"""`scdepth check`: the data-set doctor. What is wrong, in which file, and how to cure it, before training finds out."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from tqdm import tqdm

from scdepth_core.data.doctor import Examination, SceneFigures, examine
from scdepth_core.data.frame_index import write_frame_index
from scdepth_core.data.scene_folder import SceneFolder
from scdepth_core.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Reads a whole data set and lists what is wrong with it: missing partners, wrong sizes, intrinsics that do not "
        "fit, static or blurred stretches, too little parallax, scenes that are too short; says how much of the motion "
        "is rotation, and so whether V1 or V2 is to be trained, and ends with the command for it. Exit status 1 where "
        "there are errors, 0 with warnings."
    )
    parser.add_argument("data", type=Path, help="data set in the scene-folder format")
    parser.add_argument("--frames", type=int, metavar="N", help="look into the first N frames of each scene only")
    parser.add_argument(
        "--write-frame-index",
        action="store_true",
        help="write training/<scene>/frame_index.txt, which leaves out frames that stand still or are blurred, for "
        "'scdepth train --samples.frame_index true'; scenes with unreadable frames get none",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Examine and print; 1 where there are errors."""
    if args.frames is not None and args.frames < 1:
        raise ConfigError(f"--frames is {args.frames}, expected at least 1")
    if args.write_frame_index and args.frames is not None:
        raise ConfigError("--write-frame-index judges whole scenes – leave --frames out")
    folder = SceneFolder(args.data)
    with tqdm(unit="image", desc="checking", disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        result = examine(folder, args.frames, progress)
    if args.write_frame_index:
        for scene, places in result.kept.items():
            write_frame_index(scene, places)
    print(json.dumps(as_dict(folder, result)) if args.json else as_text(folder, result))
    if args.write_frame_index and not args.json:
        frames = sum(map(len, result.kept.values()))
        print(f"frame_index.txt in {len(result.kept)} scenes, {frames} frames: train with --samples.frame_index true")
    return 1 if result.errors else 0


def as_dict(folder: SceneFolder, result: Examination) -> dict:
    """Everything that was found, as plain values."""
    return {
        "data": str(folder.root),
        "errors": result.errors,
        "warnings": result.warnings,
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
        "scenes": [dataclasses.asdict(scene) for scene in result.scenes],
        "testing": result.testing,
        "rotation_share": result.rotation_share,
        "advice": result.advice,
        "train": result.training_line(folder.root),
    }


def as_text(folder: SceneFolder, result: Examination) -> str:
    """For people: a table of scenes, the findings, what to train."""
    lines = [*_table(result.scenes), ""] if result.scenes else []
    lines += [str(finding) for finding in result.findings]
    frames = sum(scene.frames for scene in result.scenes)
    lines.append(
        f"{folder.root}: {len(result.scenes)} scenes with {frames} frames, {result.testing} test images; "
        f"{result.errors} errors, {result.warnings} warnings"
    )
    lines.append(result.advice)
    if command := result.training_line(folder.root):
        lines.append(f"{'when the errors are cured, train' if result.errors else 'train'} with: {command}")
    return "\n".join(lines)


def _table(scenes: list[SceneFigures]) -> list[str]:
    rows = [("scene", "split", "frames", "size", "depth", "motion", "parallax", "rotation", "static", "blurred")]
    for s in scenes:
        size = "-" if s.width is None else f"{s.width}x{s.height}"
        pixels = ["-" if value is None else f"{value:.1f} px" for value in (s.motion, s.parallax)]
        share = "-" if s.rotation_share is None else f"{s.rotation_share:.2f}"
        counts = (str(s.static), str(s.blurred))
        rows.append((s.name, s.split, str(s.frames), size, str(s.depths), *pixels, share, *counts))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
