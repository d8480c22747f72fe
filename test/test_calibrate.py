"""`scdepth calibrate` on a rendered recording whose scale is known."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bag_samples import cut

from scdepth_core import cli
from scdepth_core.checkpoint import load_weights, write_scale
from scdepth_core.errors import CheckpointError
from scdepth_core.geometry.rectification import Rectifier
from scdepth_core.scale import Measurement, ScaleSettings
from scdepth_ros import calibrate
from scdepth_ros.bag import BagReader
from scdepth_ros.bursts import Bursts
from scdepth_ros.demonstration.synthetic_bag import DEPTH, IMAGE, ROBOT, image_message, record_drive
from scdepth_ros.extraction.frame_stream import FrameStream
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.messages import decode_depth, decode_image
from scdepth_ros.scale_measurement import measure

SCALE = 2.6
SIZE = (240, 180)


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp("bags") / "drive"
    record_drive(path, seed=4, frames=60, size=SIZE)
    return path


class Oracle:
    """Predicts the bag's own depth in units of SCALE metres, with 5 % noise."""

    def __init__(self, bag):
        with BagReader(bag) as reader:
            self.depths = [decode_depth(message.decode()) for message in reader.messages([DEPTH])]
        self.rng = np.random.default_rng(0)

    def predict(self, rgb):
        depth = self.depths.pop(0)
        return (depth / SCALE * np.exp(0.05 * self.rng.standard_normal(depth.shape))).astype(np.float32)


def test_every_source_finds_the_scale(bag):
    sources = {
        "reference_depth": ScaleSettings("reference_depth").make_source(),
        "odometry": ScaleSettings("odometry", lever_arm=0).make_source(),
        "camera_height": ScaleSettings(
            "camera_height", camera_height=ROBOT.height, camera_pitch=ROBOT.pitch
        ).make_source(),
    }
    with BagReader(bag) as reader:
        outcomes = measure(FrameStream(reader, ExtractionSettings()), Oracle(bag), sources, most=60)
    for name, tolerance in (("reference_depth", 0.01), ("odometry", 0.03), ("camera_height", 0.03)):
        scale, sigma = outcomes[name].scale()
        assert scale == pytest.approx(SCALE, rel=tolerance) and sigma < 0.03, name
    assert len(outcomes["reference_depth"].logs) == 60
    assert outcomes["odometry"].refused["first frame"] == 1


def test_images_are_spread_over_the_bag(bag):
    sources = {"reference_depth": ScaleSettings("reference_depth").make_source()}
    oracle = Oracle(bag)
    oracle.depths = oracle.depths[::4]
    with BagReader(bag) as reader:
        outcomes = measure(FrameStream(reader, ExtractionSettings()), oracle, sources, most=15)
    assert len(outcomes["reference_depth"].logs) == 15
    assert outcomes["reference_depth"].scale()[0] == pytest.approx(SCALE, rel=0.01)


class Unsteady(Oracle):
    """Its unit is another one in every picture, by a quarter or so."""

    def predict(self, rgb):
        return super().predict(rgb) * np.float32(np.exp(0.25 * self.rng.standard_normal()))


def test_a_scale_that_is_uncertain_is_written_with_a_warning(bag, monkeypatch, caplog):
    monkeypatch.setattr(calibrate, "load_estimator", lambda args: Unsteady(bag))
    assert cli.main(["calibrate", str(bag), "--dry-run", "--source", "reference_depth", "--frames", "6"]) == 0
    assert "the scale of reference_depth is uncertain: " in caplog.text and "expected at most 10% – " in caplog.text


def test_sources_that_contradict_each_other_are_named(bag, monkeypatch, caplog):
    monkeypatch.setattr(calibrate, "load_estimator", lambda args: Oracle(bag))
    right, wrong = ROBOT.height, 1.5 * ROBOT.height
    command = ["calibrate", str(bag), "--dry-run", "--camera-pitch", str(ROBOT.pitch), "--camera-height"]
    assert cli.main([*command, str(right)]) == 0
    assert not caplog.records
    assert cli.main([*command, str(wrong)]) == 0
    assert "and camera_height 3.8" in caplog.text and "further apart than their uncertainties allow" in caplog.text
    assert "and odometry" not in caplog.text  # it agrees with reference depth


class Distorted(FrameStream):
    """As if the lens were a pincushion, whose rectified image shows nothing at its edges."""

    def frames(self, progress):
        for frame in super().frames(progress):
            distortion = {"distortion_model": "plumb_bob", "D": np.array([0.3, 0, 0, 0, 0])}
            yield replace(frame, camera=replace(frame.camera, **distortion))


def test_nothing_is_measured_where_rectification_shows_nothing(bag):
    seen = []

    class Looks:
        def measure(self, view):
            seen.append(view.depth)
            return Measurement.none("only looking")

        def restart(self):
            pass

    with BagReader(bag) as reader:
        stream = Distorted(reader, ExtractionSettings())
        measure(stream, Oracle(bag), {"looks": Looks()}, most=5)
        camera = next(iter(stream.frames(lambda: None))).camera
    valid = Rectifier(camera).valid
    assert not valid.all() and all(np.array_equal(np.isfinite(depth), valid) for depth in seen)


class Cropped(FrameStream):
    """The depth of another view."""

    def frames(self, progress):
        for frame in super().frames(progress):
            depth = decode_depth(frame.depth)[::2]
            yield replace(frame, depth=image_message(depth, "32FC1", frame.stamp_ns))


def test_depth_that_cannot_be_used_says_why(bag, monkeypatch, capsys):
    """And not that there was none; the command shows the sentence, whichever source it takes."""
    monkeypatch.setattr(calibrate, "FrameStream", Cropped)
    monkeypatch.setattr(calibrate, "load_estimator", lambda args: Oracle(bag))
    sentence = "depth image is 240x90 for a colour image of 240x180: it is not registered to the colour camera"
    assert cli.main(["calibrate", str(bag), "--dry-run", "--lever-arm", "0"]) == 0
    text = capsys.readouterr().out
    assert f"reference_depth without: 60 x {sentence}" in text and "from odometry, not written" in text
    assert cli.main(["calibrate", str(bag), "--dry-run", "--source", "reference_depth", "--frames", "5"]) == 1
    assert f"reference_depth: 0 measurements, 5 x {sentence}" in capsys.readouterr().err


def test_messages_that_are_lost_are_counted(bag, monkeypatch, capsys):
    def lose(self, bag, settings):
        FrameStream.__init__(self, bag, settings)
        self.dropped["broken image messages"] = 3
        self.depth_dropped["broken depth messages"] = 2

    monkeypatch.setattr(calibrate, "FrameStream", type("Lossy", (FrameStream,), {"__init__": lose}))
    monkeypatch.setattr(calibrate, "load_estimator", lambda args: Oracle(bag))
    assert cli.main(["calibrate", str(bag), "--dry-run", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["dropped"] == {"broken image messages": 3}
    assert summary["depth_dropped"] == {"broken depth messages": 2}


def test_a_bag_that_was_cut_off_is_measured_and_called_damaged(bag, untrained_weights, tmp_path, capsys):
    damaged = cut(Path(shutil.copytree(bag, tmp_path / "cut")), 0.6)
    command = ["calibrate", str(damaged), "--weights", str(untrained_weights), "--dry-run", "--frames", "5"]
    assert cli.main([*command, "--source", "reference_depth"]) == 0
    assert re.search(r"DAMAGED: .* breaks off.*; what could be read was measured", capsys.readouterr().out)
    assert cli.main([*command, "--source", "reference_depth", "--json"]) == 0
    assert "breaks off" in json.loads(capsys.readouterr().out)["truncated"]
    assert cli.main([*command, "--source", "odometry", "--min-travel", "50"]) == 1
    assert "breaks off" in capsys.readouterr().err


class Long(FrameStream):
    """The same drive again and again."""

    times = 20

    def __init__(self, bag):
        super().__init__(bag, ExtractionSettings())
        bag.counts = {topic: self.times * count for topic, count in bag.counts.items()}
        bag.end_ns += (self.times - 1) * (bag.end_ns - bag.start_ns)

    def frames(self, progress):
        kept = list(super().frames(progress))
        for _ in range(self.times):
            yield from kept


class Known(Oracle):
    """The same, whichever picture of the bag it is shown."""

    def __init__(self, bag):
        super().__init__(bag)
        with BagReader(bag) as reader:
            pictures = [decode_image(message.decode()).tobytes() for message in reader.messages([IMAGE])]
        self.by_picture, self.asked = dict(zip(pictures, self.depths)), 0

    def predict(self, rgb):
        self.asked += 1
        self.depths = [self.by_picture[rgb.tobytes()]]
        return super().predict(rgb)


def test_odometry_finds_the_scale_on_a_long_recording(bag):
    """60 of 1200 images: as single ones they would be 1.6 m apart."""
    sources = {"odometry": ScaleSettings("odometry", lever_arm=0).make_source()}
    oracle = Known(bag)
    with BagReader(bag) as reader:
        outcome = measure(Long(reader), oracle, sources, most=60)["odometry"]
    assert oracle.asked == 60 and outcome.refused["first frame"] == 5
    assert len(outcome.logs) > 20 and outcome.scale()[0] == pytest.approx(SCALE, rel=0.05)


@pytest.mark.parametrize("neighbours", [True, False])
@pytest.mark.parametrize(
    "images, seconds, most", [(54000, 1800, 300), (600, 20, 300), (61, 6, 60), (60, 6, 8), (0, 0, 5)]
)
def test_bursts_are_all_over_the_recording(images, seconds, most, neighbours):
    bursts = Bursts.of(images, seconds, most, neighbours)
    taken = [index for index in range(images) if bursts.takes(index)]
    assert len(taken) <= most and len(taken) >= min(images, most) // 2
    gaps = np.diff(taken)
    for index, gap in zip(taken[1:], gaps):
        assert bursts.begins(index) == (gap > bursts.step)
    if images > 1000:  # half an hour at 30 Hz: ten bursts of 3 s, or an image every 6 s
        assert (taken[-1] > 48000) and set(gaps) == ({3, 5313} if neighbours else {180})


def test_the_command_writes_what_it_prints(bag, untrained_weights, tmp_path, capsys):
    out = tmp_path / "scaled.safetensors"
    options = ("--source", "reference_depth", "--frames", "8", "--json", "--out", str(out))
    assert cli.main(["calibrate", str(bag), "--weights", str(untrained_weights), *options]) == 0
    printed = json.loads(capsys.readouterr().out)
    state, metadata = load_weights(out)
    assert metadata.metres_per_unit == printed["metres_per_unit"] > 0 and printed["written"] == str(out)
    before, old = load_weights(untrained_weights)
    assert old.metres_per_unit is None and all(torch.equal(state[name], before[name]) for name in before)


@pytest.mark.parametrize(
    "options, words",
    [
        (("--weights", "a.ckpt"), "make an inference file of it with 'scdepth pack'"),
        (("--weights", "a.xml"), "'a.xml' is an exported network – give the weights that it was exported from"),
        (("--out", "a.xml"), "--out is 'a.xml', expected a name that ends in .safetensors"),
        ((), "the starter weights stay as they are"),
        (("--dry-run", "--source", "camera_height"), "it needs --camera-height"),
        (("--dry-run", "--no-depth", "--no-poses"), "it needs a depth or odometry topic, or --camera-height"),
        (("--dry-run", "--frames", "2"), "--frames is 2"),
        (("--dry-run", "--lever-arm", "inf"), "lever_arm is inf, expected metres, at least 0"),
        (("--dry-run", "--no-depth", "--min-travel", "50", "--frames", "5"), "fewer than 5 measurements"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(bag, options, words, capsys):
    assert cli.main(["calibrate", str(bag), *options]) == 1
    assert words in capsys.readouterr().err


def test_the_backend_is_a_choice(bag, untrained_weights, capsys):
    options = ("--weights", str(untrained_weights), "--device", "cpu", "--dry-run", "--backend", "cuda-graph")
    assert cli.main(["calibrate", str(bag), *options]) == 1
    assert "backend cuda-graph runs on CUDA only, the device is cpu" in capsys.readouterr().err


def test_half_precision_stays_and_the_scale_is_replaced(untrained_network, tmp_path):
    from safetensors import safe_open

    from scdepth_core.checkpoint import save_weights
    from scdepth_core.weights_metadata import WeightsMetadata

    path = tmp_path / "half.safetensors"
    save_weights(path, untrained_network.state_dict(), WeightsMetadata(metres_per_unit=1.0), torch.float16)
    write_scale(path, 2.5)
    assert load_weights(path)[1].metres_per_unit == 2.5
    with safe_open(path, framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118
    assert [p.name for p in tmp_path.iterdir()] == ["half.safetensors"]
    with pytest.raises(CheckpointError, match="metres_per_unit is -1.0"):
        write_scale(path, -1)
