"""`make demo` end to end, small: three processes over DDS, a bag in, a bag, pictures and figures out."""

from __future__ import annotations

import json
import signal

import cv2
import numpy as np
import pytest
import torch

from scdepth_core.checkpoint import save_weights
from scdepth_core.networks import DepthNet
from scdepth_core.weights_metadata import WeightsMetadata
from scdepth_ros import demo
from scdepth_ros.bag import BagReader
from scdepth_ros.demonstration.report import _keep_some, _spread, _Stream
from scdepth_ros.demonstration.synthetic_bag import DEPTH, IMAGE, INFO, ODOMETRY, START_NS, record_drive
from scdepth_ros.messages import decode_camera_info, decode_depth, decode_image

FRAMES = 12


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    path = tmp_path_factory.mktemp("walk") / "input"
    record_drive(path, seed=900_001, frames=FRAMES, fps=5.0, size=(96, 64), kind="room")
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(path, DepthNet().state_dict(), WeightsMetadata(height=64, width=96, metres_per_unit=2.5))
    return path


def test_the_rendered_bag_is_a_camera(walk):
    with BagReader(walk) as bag:
        assert bag.counts == {IMAGE: FRAMES, INFO: FRAMES, DEPTH: FRAMES, ODOMETRY: FRAMES}
        camera = decode_camera_info(next(bag.messages([INFO])).decode())
        assert (camera.width, camera.height) == (96, 64)
        assert camera.K[0, 0] == pytest.approx(48 / np.tan(np.radians(32.5)))
        assert decode_image(next(bag.messages([IMAGE])).decode()).shape == (64, 96, 3)
        depth = decode_depth(next(bag.messages([DEPTH])).decode())
        assert depth.shape == (64, 96) and np.nanmin(depth) > 0.3 and np.nanmax(depth) < 30


def test_demo_from_bag_to_figures(walk, weights, tmp_path, capsys):
    out = tmp_path / "out"
    assert demo.main(["--bag", str(walk), "--weights", str(weights), "--out", str(out)]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames_in"] == FRAMES
    assert 0 < summary["frames_out"] <= FRAMES and summary["losses"] == []
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p95"]
    errors = summary["depth"]
    assert errors["images"] == summary["frames_out"]
    assert 0 < errors["errors"]["set"]["abs_rel"] < 2
    for picture in ("depth.png", "cloud.png"):
        assert cv2.imread(str(out / picture)).std() > 5
    with BagReader(out / "output.mcap") as bag:
        assert bag.counts["/depth/image_rect"] == summary["frames_out"]
        assert bag.counts["/points"] == summary["clouds_out"] > 0
        first = next(bag.messages(["/depth/image_rect"])).decode()
        assert first.encoding == "32FC1" and first.header.frame_id == "camera_color_optical_frame"
    assert "one scale for all frames" in capsys.readouterr().out
    assert not list(out.glob("*.partial"))


def test_asked_to_end_it_writes_no_report(walk, weights, tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from ros_harness import RosProcess, wait_for

    out = tmp_path / "out"
    process = RosProcess("scdepth_ros.demo", "--bag", str(walk), "--weights", str(weights), "--out", str(out))
    try:
        wait_for((out / "output.mcap.partial").exists, 300, what="the recording")
    finally:
        process.stop(signal.SIGTERM, timeout=30)
    assert process.process.returncode == 130 and "demo: interrupted" in process.output, process.output
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(("name", "reason"), [("taken", "File exists"), ("taken/below", "Not a directory")])
def test_an_output_that_is_a_file_is_one_sentence(walk, weights, tmp_path, capsys, name, reason):
    (tmp_path / "taken").write_text("a text")
    assert demo.main(["--bag", str(walk), "--weights", str(weights), "--out", str(tmp_path / name)]) == 1
    assert f"{name}' cannot be a folder ({reason}) – choose another name" in capsys.readouterr().err
    assert (tmp_path / "taken").read_text() == "a text"


def test_bad_weights_are_one_sentence(tmp_path, capsys):
    assert demo.main(["--weights", str(tmp_path / "none.safetensors"), "--out", str(tmp_path)]) == 1
    assert "none.safetensors' do not exist" in capsys.readouterr().err


def test_streams_pair_by_stamp_and_lose_nothing(walk):
    period = 200_000_000
    with BagReader(walk) as bag:
        stream = _Stream(bag, DEPTH)
        assert stream.nearest(START_NS - period) is None, "before the first: keep it for later"
        assert stream.nearest(START_NS + 1_000_000).header.stamp.nanosec == 0
        assert stream.nearest(START_NS + period // 2) is None, "between two"
        assert stream.nearest(START_NS + 3 * period).header.stamp.nanosec == 600_000_000
        assert stream.nearest(START_NS + 99 * period) is None


def test_pictures_show_the_whole_recording():
    kept = []
    assert list(_keep_some(iter(range(1000)), kept)) == list(range(1000))
    assert 4 <= len(kept) <= 8
    assert kept[0] == 0 and kept[-1] >= 500 and len(set(np.diff(kept))) == 1
    assert _spread([0, 1, 2, 3, 4, 5, 6], 4) == [0, 2, 4, 6]
    assert _spread([1, 2], 4) == [1, 2]
