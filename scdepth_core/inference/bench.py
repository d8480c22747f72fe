"""`scdepth bench infer`: networks by backend and precision, speed beside accuracy, as ratios to plain PyTorch."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from scdepth_core.arguments import image_size
from scdepth_core.errors import ConfigError
from scdepth_core.inference.backends.base import Backend
from scdepth_core.inference.benchmark.accuracy import Accuracy
from scdepth_core.inference.benchmark.candidates import Network, baseline_network, candidates, networks
from scdepth_core.inference.benchmark.measurement import (
    Row,
    load_row,
    measure,
    memory_of,
    note_depth_change,
    plain_of,
    plain_turn,
)
from scdepth_core.inference.benchmark.report import markdown
from scdepth_core.inference.estimator_arguments import add_device_argument
from scdepth_core.inference.threads import limit_threads
from scdepth_core.machine import describe_machine, resolve_device
from scdepth_core.measuring import OwnProcess


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Every way to run the networks takes turns with plain PyTorch: ResNet-18, eager, float32, the same input, in a "
        "process of its own. With --data, AbsRel against its ground truth stands beside the speed."
    )
    parser.add_argument(
        "--weights", type=Path, nargs="+", default=[], help=".safetensors or .ckpt (default: the starter weights)"
    )
    parser.add_argument(
        "--models",
        nargs="+",
        default=[],
        metavar="ENCODER[:DECODER]",
        help="networks without weights, to see how fast they are, such as mobilenet_v3_small:half",
    )
    parser.add_argument(
        "--exported", type=Path, nargs="+", default=[], help="files of 'scdepth export' of the first weights"
    )
    parser.add_argument("--size", type=image_size, metavar="WxH", help="network input (default: that of the weights)")
    parser.add_argument(
        "--backends",
        nargs="+",
        metavar="NAME[:PRECISION]",
        help="such as openvino:bfloat16 (default: all but compiled)",
    )
    parser.add_argument(
        "--frames", type=Path, nargs="+", default=[], help="folders of your camera's images; int8 is calibrated on them"
    )
    parser.add_argument(
        "--data", type=Path, help="data set: its ground truth gives AbsRel, its training images calibrate int8, too"
    )
    add_device_argument(parser)
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
    threads = limit_threads(args.threads)
    device = resolve_device(args.device)
    measured = networks(args.weights, args.models, args.size)
    everyone = candidates(args, measured, device)
    accuracy = None if args.data is None else Accuracy(args.data)
    machine = describe_machine(device)
    loaded = {c.name: load_row(c) for c in tqdm(everyone, unit="row", desc="loading", disable=None)}
    rows = {name: row for name, (row, _) in loaded.items()}
    running = [candidate for candidate in everyone if loaded[candidate.name][1] is not None]
    runs = {candidate.name: loaded[candidate.name][1] for candidate in running}
    network = baseline_network(measured)
    source = network.open()
    with OwnProcess() as process:
        baseline = partial(process.call, plain_turn, network, str(device), threads)
        first = measure(baseline, runs, rows, args.rounds, source.shape[1:3])
    first.network = network.name
    for each in measured:
        of_it = {candidate.name: rows[candidate.name] for candidate in running if candidate.reference == each}
        compare(each, of_it, runs, accuracy, device, first if each == network else Row(each.name))
    if not args.no_memory:
        loads = [(first, partial(plain_of, network, str(device)), str(device))]
        loads += [(rows[candidate.name], candidate.load, candidate.device) for candidate in running]
        for row, load, where in tqdm(loads, unit="row", desc="memory", disable=None):
            row.memory_mb = memory_of(row, load, where, source.shape)
    report = {
        "machine": {**machine, "load_average_after": describe_machine(device)["load_average"]},
        "network": {**asdict(source.metadata), "rounds": args.rounds},
        "accuracy_images": 0 if accuracy is None else accuracy.images,
        "rows": [asdict(row) for row in (first, *rows.values())],
    }
    print(json.dumps(report) if args.json else markdown(report))
    return 0


def compare(
    network: Network,
    rows: dict[str, Row],
    runs: dict[str, Backend],
    accuracy: Accuracy | None,
    device: torch.device,
    plain_row: Row,
) -> None:
    """Note in the rows of a network how far they are from it in plain PyTorch; in its own row, how right that is."""
    source = network.open()
    plain = plain_of(network, str(device))
    judged = accuracy is not None and network.untrained is None
    if judged:
        accuracy.note(plain_row, plain, source.metadata)
    for name, row in rows.items():
        note_depth_change(row, plain, runs[name], source.shape[1:3])
        if judged:
            accuracy.note(row, runs[name], source.metadata, plain_row.abs_rel)
