"""`scdepth bench node`: real processes, figures beside the network of the same run. How large they are is no test."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout, suppress
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from scdepth_core import cli
from scdepth_core.inference import DepthEstimator
from scdepth_ros.benchmark.pipeline import STAGES
from scdepth_ros.benchmark.report import goals, markdown
from scdepth_ros.benchmark.soak import verdict
from scdepth_ros.benchmark.transport import Spell
from scdepth_ros.child_process import held_by_the_living
from scdepth_ros.topics import CLOUD, DEPTH

pytestmark = pytest.mark.timeout(280)
SMALL = ("--image", "96x64", "--distorted", "--backend", "auto", "--device", "cpu", "--threads", "1")


def abandoned_segments() -> set[str]:
    """Fast DDS's shared memory that nobody alive has mapped; files that end in _el are its locks."""
    return {str(path) for path in Path("/dev/shm").glob("fastrtps_*[!l]")} - held_by_the_living()


@pytest.fixture(scope="module")
def report(untrained_weights):
    """All three parts, short, as JSON; nothing is left in shared memory."""
    before, out = abandoned_segments(), io.StringIO()
    weights = ("--weights", str(untrained_weights), "--cloud-layout", "packed")
    command = ("bench", "node", *weights, *SMALL, "--parts", "pipeline", "dds", "soak")
    with redirect_stdout(out):
        status = cli.main([*command, *("--rounds", "2", "--rates", "20", "--seconds", "1", "--frames", "10", "--json")])
    report = json.loads(out.getvalue())
    assert status == (0 if report["soak"]["flat"] else 1) and not abandoned_segments() - before
    return report


def test_every_stage_of_a_frame_is_timed(report):
    assert report["network"]["size"] == "96x64" and report["machine"]["versions"]["torch"]
    expected = DepthEstimator.load(device="cpu").backend.name
    assert (report["network"]["backend"], report["network"]["precision"]) == (expected, "float32")
    assert set(report["pipeline"]) == {"full cloud", "full cloud, packed", "cloud by 2"}
    for way in report["pipeline"].values():
        assert set(way["stages"]) == set(STAGES)
        for figures in (*way["stages"].values(), way["total"], way["around"], way["around_share"]):
            assert 0 <= figures["low"] <= figures["median"] <= figures["high"]
        assert way["stages"]["rectify"]["median"] > 0 and way["around"]["median"] < way["total"]["median"]


def test_the_node_answers_the_camera_over_dds(report):
    (row,), relay = report["dds"]["node"], report["dds"]["relay"]
    assert row["rate"] == relay["rate"] == 20 and row["sent"] > 5 and 0 < row["reached_share"] <= 1
    for figures in (row, relay):
        assert figures["depth_hz"] > 0 and figures["cloud_hz"] > 0
        assert 0 < figures["latency_p50_ms"] <= figures["latency_p95_ms"]
    assert row["cpu_ms"] > 0 and row["network_in_node_ms"] > 0


def test_the_soak_logs_memory(report):
    log = report["soak"]["log"]
    assert log[-1]["frames_out"] >= 10 and log[-1]["frames_in"] >= log[-1]["frames_out"]
    assert all(sample["memory_mb"] > 50 for sample in log) and log == sorted(log, key=lambda s: s["seconds"])


def test_the_report_for_people_has_goals_and_whole_tables(report):
    for text in ("relay without a network", "all but the network", "latency without the relay's", "memory off its"):
        assert text in markdown(report)
    rows = [line for line in markdown(report).splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows) and "nan" not in markdown(report)
    assert {goal["what"] for goal in report["goals"]} == {goal.what for goal in goals(report)}


def sample(frames_out, megabytes):
    return {"seconds": 0, "frames_in": frames_out, "frames_out": frames_out, "memory_mb": megabytes}


def test_memory_is_flat_within_two_percent_after_the_first_tenth():
    log = [sample(0, 300.0), sample(99, 400.0), sample(100, 500.0), sample(600, 509.0), sample(1000, 500.0)]
    assert verdict(log, 1000)["flat"] and verdict(log, 1000)["largest_deviation"] == pytest.approx(0.018)
    log[-1]["memory_mb"] = 520.0  # median 509: 2.2 % above
    assert not verdict(log, 1000)["flat"] and verdict(log, 1000)["highest_mb"] == 520


def test_figures_of_a_spell_count_what_was_measured_only():
    """Frames every 100 ms; the first is warm-up, the last got no cloud; latencies of 10, 20 and 30 ms."""
    ms = 10**6
    arrivals = {DEPTH: [(0, 99 * ms), (100 * ms, 110 * ms), (200 * ms, 220 * ms), (300 * ms, 330 * ms)]}
    arrivals[CLOUD] = arrivals[DEPTH][:-1]
    spell = Spell(10.0, 4, [100 * ms, 200 * ms, 300 * ms], reached=4, done=2, cpu_seconds=0.5, network_ms=[7.0, 9.0])
    row = spell.figures(arrivals)
    assert row["sent_hz"] == pytest.approx(10) and row["depth_hz"] == pytest.approx(10)
    assert row["cloud_hz"] == pytest.approx(20 / 3) and row["latency_p50_ms"] == pytest.approx(20)
    assert (row["reached_share"], row["cpu_ms"], row["network_in_node_ms"]) == (1, 250, 8)


@pytest.mark.parametrize(
    ("rate", "sent_hz", "depth_hz", "expected"),
    [
        (60, 59.98, 59.98, (59.98, True)),  # a camera of the wanted rate, whose frames all came
        (60, 59.98, 58.0, (59.98, False)),
        (90, 90.0, 60.5, (60.0, True)),
        (0, 500.0, 59.0, (60.0, False)),  # as fast as possible
        (30, 30.0, 30.0, None),  # says nothing of 60 Hz
    ],
)
def test_a_rate_is_asked_of_a_node_whose_camera_is_that_fast(rate, sent_hz, depth_hz, expected):
    milliseconds = {"median": 7.0}
    network = {"device": "cpu", "encoder": "mobilenet_v3_small", "precision": "float32"}
    network |= {"milliseconds": milliseconds, "cpu_milliseconds": milliseconds}
    row = {"rate": rate, "sent_hz": sent_hz, "depth_hz": depth_hz, "reached_share": 1.0, "cpu_ms": 9.0}
    row |= {"latency_p50_ms": 9.0, "latency_p95_ms": 12.0}
    found = goals({"network": network, "dds": {"node": [row], "relay": row}})
    of_rate = [(goal.bound, goal.met) for goal in found if goal.what.startswith("depth and cloud")]
    assert of_rate == ([] if expected is None else [expected])


def programs(pid: int) -> set[str]:
    """Children of a process that run a module of ours, by process id."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {child for child in children if b"scdepth_ros." in Path(f"/proc/{child}/cmdline").read_bytes()}


MEASURE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born deaf to it
from scdepth_ros.benchmark.subject import Cloud, Network, View
from scdepth_ros.benchmark.transport import measure_transport
measure_transport(Network(device="cpu", backend="torch"), View(96, 64), [10.0], 100.0, Cloud())
"""


def test_ctrl_c_ends_what_it_started():
    before, started = abandoned_segments(), set()
    bench = subprocess.Popen([sys.executable, "-c", MEASURE], stderr=subprocess.PIPE, text=True)
    while len(started) < 3 and bench.poll() is None:  # receiver, node, and, when the node is active, camera
        with suppress(FileNotFoundError):  # one that has ended since
            started |= programs(bench.pid)
        time.sleep(0.05)
    time.sleep(1.0)  # the last one is under the bench's care by now
    bench.send_signal(signal.SIGINT)
    _, error = bench.communicate(timeout=120)
    assert error.strip().endswith("KeyboardInterrupt") and bench.returncode != 0
    assert len(started) == 3 and not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    assert not abandoned_segments() - before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--rounds", "0"], "--rounds is 0, expected at least 1"),
        (["--cloud", "0"], "--cloud is 0, expected at least 1"),
        (["--weights", "missing.safetensors"], "missing.safetensors"),
        (["--size", "100x64"], "expected multiples of 32"),
    ],
)
def test_bench_node_refuses(capsys, options, sentence):
    assert cli.main(["bench", "node", "--backend", "torch", *options]) == 1
    assert sentence in capsys.readouterr().err
