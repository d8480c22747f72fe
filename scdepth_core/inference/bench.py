"""`scdepth bench infer`: the network alone, by backend and precision, as ratios to plain PyTorch.

Another program on the machine slows everything, so a time says little and a ratio much: the candidates take turns with
the baseline (DepthNet as it is trained, eager, float32), round after round, and each round gives one ratio.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from scdepth_core.arguments import image_size
from scdepth_core.errors import BackendError, ConfigError
from scdepth_core.inference.backends import KINDS, check_names, load_backend, resolve_device
from scdepth_core.inference.backends.base import Source
from scdepth_core.inference.exported_file import open_source
from scdepth_core.inference.parity import depth_change, random_frames
from scdepth_core.inference.threads import limit_threads
from scdepth_core.machine import cpu_features, describe_machine, machine_sentence, peak_memory

WARM_UP = 3


@dataclass
class Row:
    """One way to run the network, in the table.

    Attributes:
        name: backend and precision, or the exported file's name.
        median_ms, low_ms, high_ms: of one frame; low and high are the 10th and 90th percentile.
        ratio, ratio_low, ratio_high: times faster than the baseline in the same round, same percentiles.
        cpu_ms: CPU time of one frame, all threads; what is left for the rest of the robot.
        load_s: seconds until ready.
        max_error, mean_error: relative, of depth, against the baseline.
        memory_mb: peak of a process that runs this alone.
        reason: why there are no figures.
    """

    name: str
    median_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    cpu_ms: float | None = None
    load_s: float | None = None
    max_error: float | None = None
    mean_error: float | None = None
    memory_mb: float | None = None
    reason: str = ""


class Plain:
    """The baseline: DepthNet with its batch norms and float32, normalised outside, no compiler."""

    def __init__(self, source: Source, device: torch.device):
        self.network = source.network.to(device, memory_format=torch.channels_last).eval()
        self.device, self.mean, self.std = device, source.metadata.mean, source.metadata.std

    @torch.inference_mode()
    def predict(self, pixels: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()
        return self.network(image.mul_(1 / (255 * self.std)).sub_(self.mean / self.std))[:, 0].cpu().numpy()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, help=".safetensors or .ckpt (default: the starter weights)")
    parser.add_argument(
        "--exported", type=Path, nargs="+", default=[], help="files of 'scdepth export' of these weights"
    )
    parser.add_argument("--size", type=image_size, metavar="WxH", help="network input (default: that of the weights)")
    parser.add_argument(
        "--backends",
        nargs="+",
        metavar="NAME[:PRECISION]",
        help="such as openvino:bfloat16 (default: all but compiled)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores but one, as the node)")
    parser.add_argument("--rounds", type=int, default=30, help="frames of each (default: 30)")
    parser.add_argument(
        "--no-memory", action="store_true", help="leave out memory, which starts a process for each row"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Load everything that runs here, let it take turns, print a Markdown table or JSON."""
    if args.rounds < 1 or args.threads < 0:
        raise ConfigError(f"--rounds is {args.rounds} and --threads {args.threads}, expected at least 1 and 0")
    limit_threads(args.threads)
    device = resolve_device(args.device)
    source = resized(open_source(args.weights), args.size)
    if source.file is not None:
        raise ConfigError(f"'{args.weights}' is an exported file – give it to --exported, and its weights to --weights")
    sources = {name: (source, *name.split(":")) for name in chosen(args.backends, device)}
    sources |= {str(path): (open_source(path), "auto", "auto") for path in args.exported}
    machine = describe_machine(device)
    runs, rows = {}, {}
    for name, (what, backend, precision) in tqdm(sources.items(), unit="backend", desc="loading", disable=None):
        rows[name], runs[name] = load_row(name, what, device, backend, precision)
    plain = Plain(resized(open_source(args.weights), args.size), device)
    runs = {name: ready for name, ready in runs.items() if ready is not None}
    baseline = measure(plain, runs, rows, args.rounds, source.metadata)
    for name, (what, backend, precision) in sources.items():
        if name in runs and not args.no_memory:
            weights, device_used = what.file or args.weights, str(runs[name].device)
            rows[name].memory_mb = memory_alone(weights, args.size, device_used, backend, precision)
    report = {
        "machine": {**machine, "load_average_after": describe_machine(device)["load_average"]},
        "network": {**asdict(source.metadata), "rounds": args.rounds},
        "rows": [asdict(row) for row in (baseline, *rows.values())],
    }
    print(json.dumps(report) if args.json else markdown(report))
    return 0


def resized(source: Source, size: tuple[int, int] | None) -> Source:
    """The same network for another input (width, height); how fast it is does not depend on its weights."""
    if size is None or source.file is not None:
        return source
    return Source(replace(source.metadata, width=size[0], height=size[1]), network=source.network)


def chosen(names: list[str] | None, device: torch.device) -> list[str]:
    """backend:precision of each row: those that were asked for, or all that this kind of device can have."""
    if names is None:
        every = [(name, p) for name, kind in KINDS.items() if name != "compiled" for p in kind.precisions(device)]
        return [f"{name}:{precision}" for name, precision in every if precision != "int8"]
    for name in names:
        check_names("auto", *(name.split(":") + ["auto"])[:2])
    return [name if ":" in name else f"{name}:auto" for name in names]


def load_row(name: str, source: Source, device: torch.device, backend: str, precision: str):
    """A row and its backend; where it cannot run here, the reason and None."""
    where = "cpu" if source.file is not None and source.file.suffix == ".xml" else str(device)
    if source.file_precision == "int8" and "int8" not in cpu_features():
        return Row(name, reason="this CPU has no instructions for int8 (VNNI or AMX)"), None
    started = time.perf_counter()
    try:
        ready = load_backend(source, where, backend, precision)
    except BackendError as error:
        return Row(name, reason=str(error)), None
    return Row(name, load_s=time.perf_counter() - started), ready


def measure(plain: Plain, runs: dict, rows: dict[str, Row], rounds: int, metadata) -> Row:
    """Fill the rows: every round runs the baseline, then each candidate, on the same frame; returns the baseline's."""
    frames = random_frames(metadata.height, metadata.width)
    for name, ready in runs.items():
        change = depth_change(plain.predict, ready.predict, frames)
        rows[name].max_error, rows[name].mean_error = change.max, change.mean
    everyone = {"": plain, **runs}
    for ready in everyone.values():
        for _ in range(WARM_UP):
            ready.predict(frames[0])
    wall = {name: [] for name in everyone}
    cpu = {name: [] for name in everyone}
    for index in tqdm(range(rounds), unit="round", desc="measuring", disable=None):
        for name, ready in everyone.items():
            started = time.perf_counter(), time.process_time()
            ready.predict(frames[index % len(frames)])
            wall[name].append((time.perf_counter() - started[0]) * 1e3)
            cpu[name].append((time.process_time() - started[1]) * 1e3)
    baseline = Row("plain PyTorch, eager float32", ratio=1.0)
    for name, row in {"": baseline, **rows}.items():
        if name in wall:
            row.low_ms, row.median_ms, row.high_ms = np.percentile(wall[name], (10, 50, 90)).tolist()
            ratios = np.array(wall[""]) / np.array(wall[name])
            row.ratio_low, row.ratio, row.ratio_high = np.percentile(ratios, (10, 50, 90)).tolist()
            row.cpu_ms = float(np.median(cpu[name]))
    return baseline


def memory_alone(*what) -> float:
    """Peak memory, MB, of a fresh process that runs three frames: weights, size, device, backend and precision."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_of_run, (*what, torch.get_num_threads()))


def _peak_of_run(weights, size, device, backend, precision, threads) -> float:
    limit_threads(threads)
    source = resized(open_source(weights), size)
    ready = load_backend(source, device, backend, precision)
    for _ in range(WARM_UP):
        ready.predict(np.zeros(source.shape, np.uint8))
    return peak_memory(ready.device)


def markdown(report: dict) -> str:
    """The report for people: a sentence about the machine, and the table."""
    machine, network = report["machine"], report["network"]
    lines = [
        machine_sentence(machine, machine["load_average_after"]),
        f"{network['encoder']}, {network['width']}x{network['height']}, {network['rounds']} rounds; median (10–90 %).",
        "",
        "| how | ms a frame | times plain PyTorch | CPU ms | depth error max / mean | ready in | memory |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in (Row(**entry) for entry in report["rows"]):
        if row.reason:
            lines.append(f"| {row.name} | not applicable: {row.reason} | | | | | |")
            continue
        error = "" if row.max_error is None else f"{row.max_error:.1e} / {row.mean_error:.1e}"
        load = "" if row.load_s is None else f"{row.load_s:.1f} s"
        memory = "" if row.memory_mb is None else f"{row.memory_mb:.0f} MB"
        lines.append(
            f"| {row.name} | {row.median_ms:.1f} ({row.low_ms:.1f} – {row.high_ms:.1f}) "
            f"| {row.ratio:.2f} ({row.ratio_low:.2f} – {row.ratio_high:.2f}) | {row.cpu_ms:.1f} | {error} | {load} "
            f"| {memory} |"
        )
    return "\n".join(lines)
