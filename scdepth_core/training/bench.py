"""`scdepth bench train`: an optimisation step of V1, V2 and V3 as ratios to a plain implementation, and the loader.

A step is forward, loss, backward and Adam. The plain implementation (`plain.py`) runs a network pass for each frame and
each pair, in float32, with PyTorch's convolutions and the usual memory layout; it takes turns with the modules as
`scdepth train` runs them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from scdepth_core.arguments import add_device_argument, image_size
from scdepth_core.compiling import compiler_explained
from scdepth_core.errors import ConfigError
from scdepth_core.machine import (
    MemoryMeter,
    cpu_cores,
    describe_machine,
    keep_freed_memory,
    machine_sentence,
    resolve_device,
)
from scdepth_core.measuring import Timing, memory_alone, spread, take_turns
from scdepth_core.training.loader_speed import LoaderSpeed, loader_speed
from scdepth_core.training.precision import MIXED
from scdepth_core.training.timed_step import FRAMES, Step, moving_batch
from scdepth_core.training.versions import VERSIONS

PRECISIONS = ("32-true", *MIXED)
WARM_UP = 2  # steps; the second one has the optimiser's state


@dataclass
class Row(Timing):
    """One way to run a step, in the table; the baseline is the version's plain step.

    Attributes:
        version: of SC-Depth.
        how: 'plain', 'batched' or 'frame by frame'.
        loss: of the first step, the same weights and batch for all rows of a version.
        images_per_s: frames that a step learns from, by its median.
        over_v1, over_v1_low, over_v1_high: of V3, what it takes beyond V1's step of the same round, as a share of that.
    """

    version: str
    how: str
    loss: float | None = None
    images_per_s: float | None = None
    over_v1: float | None = None
    over_v1_low: float | None = None
    over_v1_high: float | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--versions", nargs="+", choices=list(VERSIONS), default=list(VERSIONS), help="(default: all)")
    parser.add_argument("--size", type=image_size, default=(320, 256), metavar="WxH", help="(default: 320x256)")
    parser.add_argument("--batch", type=int, default=8, help="samples of a step, three frames each (default: 8)")
    parser.add_argument("--precision", choices=PRECISIONS, default="32-true", help="of ours (default: 32-true)")
    parser.add_argument("--compile", action="store_true", help="torch.compile ours, as --model.compile true does")
    parser.add_argument(
        "--winograd",
        action=argparse.BooleanOptionalAction,
        help="3x3 convolutions of ours by Winograd, or not, as --model.winograd has it (default: where it pays)",
    )
    add_device_argument(parser)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    parser.add_argument("--rounds", type=int, default=10, help="steps of each (default: 10)")
    parser.add_argument(
        "--no-memory", action="store_true", help="leave out memory, which starts a process for each row"
    )
    parser.add_argument(
        "--data", type=Path, help="data set that the loader reads (default: a generated one, 640x480 JPEG)"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Build every row, let them take turns, measure the loader; print a Markdown table or JSON."""
    device = _checked(args)
    torch.set_num_threads(args.threads or cpu_cores())
    keep_freed_memory()
    machine = describe_machine(device)
    loader = loader_speed(args.data, args.size)
    rows = [Row(version, how) for version in dict.fromkeys(args.versions) for how in _ways(version)]
    with compiler_explained("measure without: leave --compile out"):
        measure(rows, args, device)
    for row in tqdm([] if args.no_memory else rows, unit="process", desc="memory", disable=None):
        step = (row.version, row.how, args, torch.get_num_threads())
        row.memory_mb = memory_alone(f"{row.version}, {row.how}", _peak_of_steps, *step)
    report = {
        "machine": {**machine, "load_average_after": describe_machine(device)["load_average"]},
        "step": {
            "width": args.size[0],
            "height": args.size[1],
            "batch": args.batch,
            "precision": args.precision,
            "compile": args.compile,
            "winograd": args.winograd,
            "rounds": args.rounds,
        },
        "rows": [asdict(row) for row in rows],
        "loader": asdict(loader),
    }
    print(json.dumps(report) if args.json else markdown(report))
    return 0


def _checked(args: argparse.Namespace) -> torch.device:
    if min(args.rounds, args.batch) < 1 or args.threads < 0:
        raise ConfigError(
            f"--rounds is {args.rounds}, --batch {args.batch}, --threads {args.threads}, expected at least 1, 1 and 0"
        )
    width, height = args.size
    if width % 32 or height % 32 or min(width, height) < 64:
        raise ConfigError(f"--size is {width}x{height}, expected multiples of 32, at least 64")
    device = resolve_device(args.device)
    if args.precision == "16-mixed" and device.type == "cpu":
        raise ConfigError("--precision is 16-mixed, which needs CUDA – use bf16-mixed or 32-true on the CPU")
    return device


def _ways(version: str) -> tuple[str, ...]:
    """How to run a step of a version; what V1 shows of running frame by frame holds for the others."""
    return ("plain", "batched", "frame by frame") if version == "v1" else ("plain", "batched")


def _step(version: str, how: str, args: argparse.Namespace, device: torch.device) -> Step:
    batch = moving_batch(args.batch, args.size[1], args.size[0], device)
    if how == "plain":
        return Step(version, batch, device, plain=True)
    ours = {"batch_frames": how == "batched", "winograd": args.winograd}
    return Step(version, batch, device, args.precision, args.compile, **ours)


def measure(rows: list[Row], args: argparse.Namespace, device: torch.device) -> None:
    """Fill the rows: every round runs a step of each."""
    steps = {(row.version, row.how): _step(row.version, row.how, args, device) for row in rows}
    turns = take_turns(steps, args.rounds, WARM_UP)
    for row in rows:
        mine, plain = turns[row.version, row.how], turns[row.version, "plain"]
        row.loss = steps[row.version, row.how].first_loss
        row.note(mine, plain)
        row.images_per_s = FRAMES * args.batch / row.median_ms * 1e3
        if row.version == "v3" and ("v1", row.how) in turns:
            over = mine.wall_ms / turns["v1", row.how].wall_ms - 1
            row.over_v1_low, row.over_v1, row.over_v1_high = spread(over)


def _peak_of_steps(version: str, how: str, args: argparse.Namespace, threads: int) -> float:
    torch.set_num_threads(threads)
    keep_freed_memory()
    device = resolve_device(args.device)
    memory, step = MemoryMeter(device), _step(version, how, args, device)
    for _ in range(WARM_UP):
        step()
    return memory.peak(device)


def markdown(report: dict) -> str:
    """The report for people: what was measured where, the table, the loader."""
    step = report["step"]
    lines = [
        machine_sentence(report["machine"]),
        f"A step of {step['batch']} samples, {step['width']}x{step['height']}; plain in 32-true, ours in "
        f"{step['precision']}{', compiled' if step['compile'] else ''}; {step['rounds']} rounds; median (10–90 %).",
        "",
        "| how | ms a step | times plain | images/s | CPU ms | beyond V1 | first loss | memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in (Row(**entry) for entry in report["rows"]):
        beyond = "" if row.over_v1 is None else f"{row.over_v1:.0%} ({row.over_v1_low:.0%} – {row.over_v1_high:.0%})"
        milliseconds, ratio, memory = row.cells()
        lines.append(
            f"| {row.version}, {row.how} | {milliseconds} | {ratio} | {row.images_per_s:.1f} | {row.cpu_ms:.0f} "
            f"| {beyond} | {row.loss:.5f} | {memory} |"
        )
    loader = LoaderSpeed(**report["loader"])
    lines += [
        "",
        f"Loader: {loader.per_core:.1f} samples a second and core (three frames each, {loader.frame_width}x"
        f"{loader.frame_height} {loader.kind} to {step['width']}x{step['height']}, {loader.samples} loaded); one takes "
        f"{loader.decode_ms:.1f} ms to decode, {loader.resize_ms:.1f} to resize, {loader.augment_ms:.1f} to augment.",
    ]
    return "\n".join(lines)
