"""`make demo`: the whole line in one command, over real DDS.

One process plays a recording (rendered, or BAG), depth_node in a second one makes depth and clouds of it, and this one
records them, compares depth with what was measured, and writes pictures and figures.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np

from scdepth_core.checkpoint import load_weights
from scdepth_core.errors import BackendError, ConfigError, ScDepthError
from scdepth_core.finished_file import finished_file
from scdepth_ros.bag import BagReader, BagWriter
from scdepth_ros.child_process import private_ros_environment, process
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.extraction.topics import Topics, base_topic, find_topics
from scdepth_ros.lost_messages import loss_sentences
from scdepth_ros.messages import decode_camera_info
from scdepth_ros.ros_arguments import INTERRUPTED, positive_number
from scdepth_ros.topics import CLOUD, DEPTH

UNSEEN_SEED = 900_007  # no data set of `scdepth synthesize` has it
START_TIMEOUT, QUIET = 120.0, 3.0  # seconds for the node to become active; without depth until the demo is over
CLOUD_COLUMNS = 160
QUEUE_CURE = "they came faster than this machine records – try a smaller --rate"


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; a known error becomes one line and exit status 1, SIGINT or SIGTERM end it without a report."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("demo_output"), help="folder for everything it makes")
    parser.add_argument("--bag", type=Path, help="play this recording instead of a rendered one")
    parser.add_argument("--weights", type=Path, help=".safetensors or .ckpt (default: the starter weights)")
    parser.add_argument("--rate", type=positive_number, default=1.0, help="speed of the player")
    parser.add_argument("--seed", type=int, default=UNSEEN_SEED, help="of the rendered drive")
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print_summary(run(args), args.out)
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return INTERRUPTED
    except ScDepthError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def run(args: argparse.Namespace) -> dict:
    """Play, compute, record, compare; returns what summary.json holds.

    Raises:
        BackendError: when depth_node or the player fails.
        ConfigError: when there can be no folder `out`.
    """
    started = time.perf_counter()
    load_weights(args.weights)  # a bad file is better refused now than by the node
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out '{args.out}' cannot be a folder ({error.strerror}) – choose another name") from error
    source = args.bag or render(args.out / "input", args.seed)
    with BagReader(source) as bag:
        topics = find_topics(bag, ExtractionSettings())
        played = bag.counts[topics.image]
        width = decode_camera_info(next(bag.messages([topics.camera_info])).decode()).width
    with private_ros_environment():
        recorded = play_and_record(source, args.out / "output.mcap", topics, width, args)

    from scdepth_ros.demonstration.report import write_report

    errors = write_report(source, args.out / "output.mcap", topics, args.out)
    summary = {
        "bag": str(args.bag or "rendered drive"),
        "weights": str(args.weights or "starter weights"),
        "frames_in": played,
        **recorded,
        "depth": errors,
        "seconds": round(time.perf_counter() - started, 1),
    }
    with finished_file(args.out / "summary.json") as partial:
        partial.write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def render(path: Path, seed: int) -> Path:
    """A bag of a drive that no training saw."""
    from scdepth_ros.demonstration.synthetic_bag import record_drive

    shutil.rmtree(path, ignore_errors=True)
    record_drive(path, seed)
    return path


def play_and_record(source: Path, output: Path, topics: Topics, width: int, args: argparse.Namespace) -> dict:
    """Start node and player, record until the node falls silent; frames out, latency."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from scdepth_ros.demonstration.depth_recorder import DepthRecorder

    output.unlink(missing_ok=True)
    shutil.rmtree(output.with_name(output.name + ".partial"), ignore_errors=True)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)  # its own would end the recorder alone
    try:
        with BagWriter(output) as bag, process(node_command(topics, width, args)) as node:
            recorder = DepthRecorder(bag, topics.image, topics.camera_info)
            try:
                if not recorder.wait_for_node("depth_node", START_TIMEOUT, lambda: node.poll() is None):
                    raise BackendError("depth_node did not become active – its log above says why")
                with process(player_command(source, topics, args)) as player:
                    if status := player.wait():
                        raise BackendError(f"play_bag failed with status {status} – its lines above say why")
                while time.monotonic() - recorder.last < QUIET:
                    time.sleep(0.1)
                if (status := node.poll()) is not None:
                    raise BackendError(f"depth_node ended on the way, with status {status} – its log above says why")
            finally:
                recorder.close()
            return {
                "frames_out": recorder.received[f"/{DEPTH}"],
                "clouds_out": recorder.received[f"/{CLOUD}"],
                "losses": loss_sentences(recorder.lost, QUEUE_CURE),
                "latency_ms": {
                    name: round(1e3 * float(np.percentile(recorder.latencies or [float("nan")], share)), 1)
                    for name, share in (("p50", 50), ("p95", 95))
                },
            }
    finally:
        rclpy.try_shutdown()


def node_command(topics: Topics, width: int, args: argparse.Namespace) -> list[str]:
    """depth_node on the bag's topics, with a cloud that keeps the output small for images of this width."""
    parameters = {
        "weights": str(args.weights.resolve()) if args.weights else "",
        "image_transport": "compressed" if topics.image.endswith("/compressed") else "raw",
        "cloud_decimation": max(1, width // CLOUD_COLUMNS),
    }
    command = [sys.executable, "-m", "scdepth_ros.depth_node", "--ros-args"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value!r}" if isinstance(value, str) else f"{name}:={value}"]
    return [*command, "-r", f"image:={base_topic(topics.image)}", "-r", f"camera_info:={topics.camera_info}"]


def player_command(source: Path, topics: Topics, args: argparse.Namespace) -> list[str]:
    """play_bag with the camera's topics, which depth_node and the recorder wait for."""
    played = ["--topics", topics.image, topics.camera_info]
    waiting = ["--rate", str(args.rate), "--wait-for-subscribers", "10", "--subscribers", "2"]
    return [sys.executable, "-m", "scdepth_ros.play_bag", str(source), *played, *waiting]


def print_summary(summary: dict, out: Path) -> None:
    """The figures, for people."""
    latency = summary["latency_ms"]
    print(f"\n{summary['bag']} with {summary['weights']}, {summary['seconds']:.0f} s in all")
    print(f"  frames   {summary['frames_in']} in, {summary['frames_out']} depth and {summary['clouds_out']} clouds out")
    for sentence in summary["losses"]:
        print(f"  lost     {sentence}")
    print(f"  latency  {latency['p50']:.0f} ms p50, {latency['p95']:.0f} ms p95 (image received to depth received)")
    depth = summary["depth"]
    if depth:
        print(
            f"  abs_rel  {depth['errors']['set']['abs_rel']:.3f} with one scale for all frames, "
            f"{depth['errors']['image']['abs_rel']:.3f} with a scale for each, "
            f"{depth['errors']['none']['abs_rel']:.3f} as published; a constant depth scores "
            f"{depth['constant']['abs_rel']:.3f}"
        )
        print(f"  scale    spread {depth['scale_spread']:.3f} (std / mean over frames)")
    print(f"  look at  {out / 'depth.png'}, {out / 'cloud.png'}; {out / 'output.mcap'} opens in RViz or Foxglove")


if __name__ == "__main__":
    sys.exit(main())
