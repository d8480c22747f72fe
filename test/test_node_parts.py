"""The parts of depth_node that need neither a network nor a second process."""

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from noise_samples import measured_depth

from scdepth_core.errors import ConfigError
from scdepth_ros.child_process import process
from scdepth_ros.frame_statistics import Snapshot, Statistics, Troubles
from scdepth_ros.lost_messages import LostMessages, loss_sentences
from scdepth_ros.messages import converter, decode_image
from scdepth_ros.messages.layout import COLOR_ENCODINGS
from scdepth_ros.newest_slot import NewestSlot
from scdepth_ros.parameters import PARAMETERS, NodeSettings, markdown_table
from scdepth_ros.worker import FrameWorker

DEFAULTS = {p.name: p.default for p in PARAMETERS}


def test_the_slot_keeps_the_newest():
    slot = NewestSlot()
    assert [slot.put(item) for item in (1, 2, 3)] == [False, True, True]
    assert slot.take() == 3
    assert slot.put(4) is False
    assert [slot.close(), slot.close()] == [True, False]  # what waited is dropped, once
    assert slot.take() is None and slot.put(5) is False


def test_a_closed_slot_lets_go_of_who_waits():
    slot, taken = NewestSlot(), []
    thread = threading.Thread(target=lambda: taken.append(slot.take()))
    thread.start()
    slot.close()
    thread.join(2)
    assert taken == [None]


def test_the_worker_takes_the_newest_and_finishes_what_it_began():
    started, go, done = threading.Event(), threading.Event(), []

    def handle(item):
        started.set()
        go.wait(5)
        done.append(item)

    worker = FrameWorker()
    worker.start(handle)
    worker.submit("first")
    started.wait(5)
    assert [worker.submit(item) for item in ("second", "third")] == [False, True]
    threading.Timer(0.05, go.set).start()
    assert worker.close() and worker.stop(5) and done == ["first"]  # in work: finished; waiting: dropped
    assert worker.submit("late") is False


def test_one_thread_loads_the_network_and_runs_it_each_time_the_node_is_active():
    worker, threads = FrameWorker(), []
    threads.append(worker.call(threading.current_thread))
    for _ in range(2):
        worker.start(lambda handled: (threads.append(threading.current_thread()), handled.set()))
        worker.submit(handled := threading.Event())
        assert handled.wait(5) and worker.stop(5)
    worker.end()
    threads[0].join(5)
    assert len(threads) == 3 and len(set(threads)) == 1 and threads[0] is not threading.current_thread()
    assert not threads[0].is_alive()


def test_what_cannot_be_loaded_is_raised_where_it_was_asked_for():
    worker = FrameWorker()
    with pytest.raises(ConfigError, match="no such file"):
        worker.call(lambda: _raise(ConfigError("no such file")))
    assert worker.call(lambda: "and on it goes") == "and on it goes"
    worker.end()


def _raise(error):
    raise error


def test_a_worker_that_hangs_is_reported_and_ends_when_it_can():
    release = threading.Event()
    worker = FrameWorker()
    thread = worker.call(threading.current_thread)
    worker.start(lambda _: release.wait(5))
    worker.submit("stuck")
    time.sleep(0.05)
    assert worker.stop(0.05) is False
    worker.end()
    release.set()
    thread.join(5)
    assert not thread.is_alive()


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_rates_and_latencies_of_the_last_five_seconds():
    clock = Clock()
    statistics = Statistics(clock)
    for k in range(100):  # ten a second for ten seconds, the second half slower to answer
        clock.now += 0.1
        statistics.image_arrived(stamp_age=0.25)
        if k % 2:
            statistics.depth_published(latency=0.02 if k < 50 else 0.04)
    seen = statistics.snapshot()
    assert seen.rate_in == pytest.approx(10, abs=0.3) and seen.rate_out == pytest.approx(5, abs=0.3)
    assert seen.latency == pytest.approx((40, 40)) and seen.stamp_age == 0.25 and seen.since_image == 0
    assert seen.counts == {"frames_in": 100, "frames_out": 50}
    statistics.restart()
    assert statistics.snapshot().counts == {} and np.isnan(statistics.snapshot().latency[0])


def test_each_kind_of_trouble_is_said_once_in_ten_seconds():
    clock, said = Clock(), []
    troubles = Troubles(Statistics(clock), said.append, period=10, clock=clock)
    for _ in range(30):
        clock.now += 1
        troubles.report("wrong_size", "too big")
    troubles.report("empty_data", "nothing")
    assert said == [f"too big [wrong_size: {n} so far]" for n in (1, 11, 21)] + ["nothing [empty_data: 1 so far]"]


def report(**changes):
    diagnostics = pytest.importorskip("scdepth_ros.diagnostics", reason="diagnostic_msgs is not installed")
    values = {"state": "active", "image_topic": "/image", "info_topic": "/info", "scale": 1.0, "is_metric": True}
    return diagnostics.NodeReport(**{**values, **changes})


def statuses(node_report, **changes):
    """(level, message) by part, after one second in which `counts` happened."""
    from builtin_interfaces.msg import Time

    from scdepth_ros.diagnostics import DiagnosticsWriter

    seen = {"counts": Counter(), "rate_in": 9.5, "rate_out": 9.0, "latency": (20.0, 30.0), "stamp_age": 0.0}
    snapshot = Snapshot(**{**seen, "since_image": 0.1, **changes})
    array = DiagnosticsWriter("depth_node").array(Time(), node_report, snapshot)
    return {s.name.partition(": ")[2]: (int.from_bytes(s.level, "little"), s.message) for s in array.status}


def scale_state(**changes):
    from scdepth_core.scale import ScaleState

    known = {"value": None, "sigma": np.inf, "frozen": False, "is_measured": False, "is_contradicted": False}
    return ScaleState(**{**known, "count": 0, "refused": Counter(), "last_refusal": "", **changes})


def test_diagnostics_say_that_the_scale_cannot_be_measured():
    silent = {"scale_source": "odometry", "scale_topic": "/odom", "scale_silence": "nobody publishes it"}
    said = statuses(report(**silent, scale_state=scale_state()))
    sentence = "metric, 1 metres per unit, not measured yet; nothing comes on /odom: nobody publishes it"
    assert said["scale"] == (1, sentence)
    said = statuses(report(**silent, scale_state=scale_state(is_measured=True, sigma=0.02, count=60)))
    assert said["scale"] == (1, "metric, 1 metres per unit ± 2 %; nothing comes on /odom: nobody publishes it")
    said = statuses(report(**silent, is_metric=False, scale_state=scale_state()))
    assert said["scale"][1] == "not metric: depth is in network units – nothing comes on /odom: nobody publishes it"


def test_diagnostics_count_measurements_that_do_not_suffice_yet():
    odometry = {"scale_source": "odometry", "scale_topic": "/odom"}
    said = statuses(report(**odometry, is_metric=False, scale_state=scale_state(count=3)))
    assert said["scale"][1].endswith("– 3 measurements by odometry are too few yet")
    said = statuses(report(**odometry, is_metric=False, scale_state=scale_state(count=30, is_contradicted=True)))
    assert said["scale"][1].endswith("– 30 measurements by odometry do not agree yet")
    said = statuses(report(**odometry, scale_state=scale_state(count=3, last_refusal="mostly rotation")))
    assert said["scale"] == (
        0,
        "metric, 1 metres per unit, not measured yet, 3 measurements so far (mostly rotation)",
    )


def test_diagnostics_say_what_is_wrong():
    said = statuses(report(), since_image=6.2)
    assert said["input"] == (2, "no image for 6 s on /image")
    said = statuses(report(silence="nobody publishes it"), since_image=6.2)
    assert said["input"] == (2, "no image for 6 s on /image: nobody publishes it")
    said = statuses(report(), counts=Counter(wrong_step=3))
    assert said["input"] == (1, "3 frames could not be used in the last second: wrong_step")
    said = statuses(report(), counts=Counter(no_camera_info=3))
    assert said["camera_info"][0] == 1 and said["camera_info"][1].startswith("no camera_info on /info: no cloud")
    said = statuses(report(is_metric=False))
    assert said["scale"][0] == 1 and said["scale"][1].startswith("not metric")
    state = scale_state(refused=Counter(x=2), last_refusal="x")
    said = statuses(report(is_metric=False, scale_source="odometry", scale_state=state))
    assert said["scale"] == (1, "not metric: depth is in network units – waiting for odometry (x)")
    said = statuses(report(is_metric=False, scale_source="odometry", scale_state=state), counts=Counter(no_transform=2))
    assert said["scale"][1].endswith("waiting for odometry (x, 2 no_transform in the last second)")
    said = statuses(report(scale_source="odometry", scale_state=state), counts=Counter(bad_odometry=3))
    assert said["scale"][0] == 1 and said["scale"][1].startswith("metric, 1 metres per unit, not measured yet; ")
    assert said["scale"][1].endswith("in the last second: 3 bad_odometry")
    said = statuses(
        report(state="unconfigured", failure="configure failed: weights 'x' do not exist", scale=None), since_image=60
    )
    assert said["depth"] == (2, "configure failed: weights 'x' do not exist")
    assert said["input"] == (0, "unconfigured, no images expected")


def test_diagnostics_name_the_cure_of_images_lost_on_the_way():
    cure = "start the camera driver with the transport profile"
    level, sentence = statuses(report(), counts=Counter(frames_lost=7))["input"]
    assert level == 1 and sentence.startswith("7 images were lost on the way in the last second: ") and cure in sentence
    level, sentence = statuses(report(), counts=Counter(frames_lost=7), since_image=6.2)["input"]
    assert level == 2 and sentence.startswith("no image for 6 s on /image, 7 images were lost") and cure in sentence
    assert statuses(report(frames_overtaken=3))["input"][0] == 0  # the newest frame wins, as it should


def heard(lost, *events):
    """Messages as (number, publishers), and reports of losses as a number."""
    for event in events:
        if isinstance(event, tuple):
            lost.came(*event)
        else:
            lost.report(SimpleNamespace(total_count_change=event))
    return lost.on_the_way, lost.in_queue


def test_lost_messages_are_told_by_reports_and_by_gaps_in_the_numbers():
    one = [(number, 1) for number in range(100)]
    assert heard(LostMessages(), *one[8:20]) == (0, 0)  # what was sent before is not lost
    assert heard(LostMessages(), one[3], 4, one[8]) == heard(LostMessages(), one[3], one[8], 4) == (4, 0)
    assert heard(LostMessages(), one[3], one[8]) == (0, 4)
    assert heard(LostMessages(), one[3], 2, one[4], one[5], one[12]) == (2, 4)  # reported before the queue was empty
    assert heard(LostMessages(), one[50], one[53], one[2], one[4]) == (0, 3)  # a publisher that began anew
    assert heard(LostMessages(), one[3], one[5], (90, 2), (6, 2), 7, (92, 2), one[40], one[42]) == (7, 2)
    assert heard(LostMessages(), 5, 2) == (7, 0)  # ROS 2 Humble tells no numbers
    reported = []
    heard(LostMessages(reported.append), 3, one[4], 1)
    assert reported == [3, 1]


def test_losses_are_told_with_cause_and_cure():
    lost = {"/image": LostMessages(), "/quiet": LostMessages(), "/cloud": LostMessages()}
    heard(lost["/image"], (1, 1), 3, (5, 1))
    heard(lost["/cloud"], (1, 1), (4, 1))
    way, queue = loss_sentences(lost, "write less")
    assert way.startswith("messages were lost on the way, 3 of /image: most often the shared-memory segment")
    assert queue == "messages were lost in the queue, 2 of /cloud: write less"
    assert loss_sentences({"/quiet": LostMessages()}, "write less") == []


def test_diagnostics_are_quiet_when_all_is_well():
    said = statuses(report(), counts=Counter(frames_in=10, frames_out=9))
    assert all(level == 0 for level, _ in said.values())
    assert said["input"][1] == "9.5 images a second on /image" and said["depth"][1] == "9.0 depth images a second"


def test_the_defaults_are_allowed_and_the_yaml_file_has_them_all():
    NodeSettings.of(DEFAULTS)
    written = yaml.safe_load((Path(__file__).parents[1] / "config" / "depth_node.yaml").read_text())
    nested = {}
    for name, value in DEFAULTS.items():
        *groups, last = name.split(".")
        inner = nested
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    assert written == {"/**": {"ros__parameters": nested}}
    assert all(f"| `{name}` |" in markdown_table() for name in DEFAULTS)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"device": "cuda:x"}, "device is 'cuda:x', expected auto, cpu, cuda or cuda:N"),
        ({"threads": -1}, "threads is -1, expected 0 to 256"),
        ({"threads": 2.0}, "threads is 2.0, expected an integer"),
        ({"weights": None}, "weights is None, expected text"),
        ({"autostart": 1}, "expected true or false"),
        ({"max_depth": float("nan")}, "max_depth is nan"),
        ({"scale.lever_arm": float("inf")}, "scale.lever_arm is inf, expected 0 to 100"),
        ({"scale.source": "guess"}, "scale.source is 'guess', expected fixed, odometry, camera_height or reference"),
        ({"scale.source": "camera_height"}, "scale.camera_height is 0, expected its metres"),
        ({"min_depth": 5, "max_depth": 5}, "min_depth is 5 and max_depth is 5, expected min_depth below max_depth"),
    ],
)
def test_a_setting_outside_its_range_is_one_sentence(values, words):
    with pytest.raises(ConfigError) as caught:
        NodeSettings.of({**DEFAULTS, **values})
    assert words in str(caught.value)


def test_settings_of_the_pipeline_are_the_settings_of_the_node():
    from scdepth_core.inference.pipeline import PipelineSettings

    settings = PipelineSettings(**NodeSettings.of(DEFAULTS).for_pipeline())
    assert settings.metres_per_unit is None and settings.max_depth == 100


def test_a_scale_that_is_set_while_it_is_measured_is_where_measuring_begins():
    """Weights of 3.6 metres a unit, 1.8 set while the node runs, and 1.8 measured: no way back to 3.6."""
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from scdepth_core.inference.pipeline import FramePipeline
    from scdepth_core.scale import ScaleSettings, View
    from scdepth_ros.frame_processor import FrameProcessor
    from scdepth_ros.node_scale import NodeScale

    pipeline = FramePipeline(SimpleNamespace(metadata=SimpleNamespace(metres_per_unit=3.6)))
    statistics = Statistics()
    troubles = Troubles(statistics, print)
    scale = NodeScale(ScaleSettings("reference_depth"), pipeline, troubles)
    processor = FrameProcessor(pipeline, None, None, None, statistics, troubles, scale)
    depth = np.linspace(0.5, 2, 48 * 64, dtype=np.float32).reshape(48, 64)

    def measure(metres_per_unit, times=10):
        for _ in range(times):
            scale.tracker.observe(View(depth, np.eye(3), reference=measured_depth(depth, metres_per_unit)))
        scale.apply()
        return pipeline.scale

    def give(**values):
        processor.apply(NodeSettings.of({**DEFAULTS, **values}))
        return pipeline.scale

    assert measure(3.6) == pytest.approx(3.6, rel=1e-3)
    assert give(metres_per_unit=1.8) == 1.8 and scale.tracker.state.value == 1.8
    assert measure(1.8) == pytest.approx(1.8, rel=1e-3) and scale.tracker.state.is_measured
    assert give(metres_per_unit=1.8, max_depth=5.0) == pytest.approx(1.8, rel=1e-3) and scale.tracker.state.is_measured
    scale.tracker.reset()
    scale.apply()
    assert pipeline.scale == scale.tracker.state.value == pytest.approx(1.8)
    scale.tracker.freeze(True)
    assert give(metres_per_unit=2.5) == 2.5 and scale.tracker.state.frozen
    assert give(metres_per_unit=0.0) == 3.6 and scale.tracker.state.value == pytest.approx(3.6)


class AtOnce:
    """Stands in for ScaleInputs: every frame has this depth message."""

    def __init__(self, depth):
        self.depth, self.frames = depth, []

    def add(self, header, frame):
        self.frames = [frame]

    def ready(self):
        from scdepth_ros.camera_transforms import CameraPlace
        from scdepth_ros.scale_inputs import Matched

        return [Matched(frame, self.depth, None, CameraPlace()) for frame in self.frames]


@pytest.mark.parametrize("limits", [{"min_depth": 3.0}, {"max_depth": 0.4}, {"edge_slope": 1e-6}])
def test_the_scale_is_measured_on_what_the_network_said_and_not_on_what_settings_leave_of_it(limits):
    """Limits are metres of the scale that is under test. Where rectification shows nothing, nothing is measured."""
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from std_msgs.msg import Header

    from scdepth_core.geometry.camera import Camera
    from scdepth_core.inference.pipeline import FramePipeline
    from scdepth_core.scale import ScaleSettings
    from scdepth_ros.messages import encode_depth
    from scdepth_ros.node_scale import NodeScale

    K = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])
    camera = Camera(64, 48, K, "plumb_bob", np.array([0.3, 0, 0, 0, 0]))  # pincushion: edges are unseen
    units = np.linspace(0.5, 2, 48 * 64, dtype=np.float32).reshape(48, 64)
    network = SimpleNamespace(metadata=SimpleNamespace(metres_per_unit=None), predict=lambda rgb: units.copy())
    pipeline = FramePipeline(network, **limits)
    scale = NodeScale(ScaleSettings("reference_depth"), pipeline, Troubles(Statistics(), print))
    nearer = units * (1 + 0.02 * np.sin(np.arange(units.size)).reshape(units.shape))  # a sensor's noise
    scale.inputs = AtOnce(encode_depth(3.2 * nearer, Header()))
    views, observe = [], scale.tracker.observe
    scale.tracker.observe = lambda view: (views.append(view), observe(view))
    for _ in range(5):
        result = pipeline.process(np.zeros((48, 64, 3), np.uint8), camera)
        scale.observe(result, pipeline.tables(camera).rectifier, Header())
    assert pipeline.measured_scale == pytest.approx(3.2, rel=0.1)  # give or take how the reference was rectified
    assert np.array_equal(np.isnan(views[0].depth), pipeline.tables(camera).invalid) and views[0].depth is not units


def test_our_decoder_where_cv_bridge_is_not(monkeypatch):
    monkeypatch.setattr(converter.importlib.util, "find_spec", lambda name: None)
    assert converter.image_decoder() is decode_image


def test_a_cv_bridge_that_crashes_is_not_used(monkeypatch, tmp_path):
    (tmp_path / "cv_bridge.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(converter.importlib.util, "find_spec", lambda name: object())
    assert converter.image_decoder() is decode_image


class PlainCvBridge:
    """A stand-in that takes nothing but what the real one reads rightly: dense rows in this machine's byte order."""

    def __init__(self, wrong=None):
        self.wrong, self.seen = wrong, []

    def imgmsg_to_cv2(self, msg, desired):
        assert msg.step == msg.width * COLOR_ENCODINGS[msg.encoding].pixel_bytes and not msg.is_bigendian
        self.seen.append((msg.encoding, desired))
        return decode_image(msg) if msg.encoding != self.wrong else 255 - decode_image(msg)


@pytest.fixture
def stand_in(monkeypatch):
    bridge = PlainCvBridge()
    monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=lambda: bridge))
    return bridge


def test_cv_bridge_gets_no_message_that_it_misreads(stand_in):
    """Padding by less than a pixel skews its images, is_bigendian makes it fail beside NumPy 2."""
    row = bytes([255, 0, 0, 0, 0, 255])
    msg = {"width": 2, "height": 2, "encoding": "bgr8", "is_bigendian": 0}
    padded = SimpleNamespace(**{**msg, "step": 8, "data": (row + b"\x77\x77") * 2})
    marked = SimpleNamespace(**{**msg, "step": 6, "data": row * 2, "is_bigendian": 1})
    big = SimpleNamespace(width=2, height=1, step=4, encoding="mono16", is_bigendian=1, data=b"\xff\xff\x80\x00")
    for colour in (padded, marked):
        assert converter.decode_with_cv_bridge(colour).tolist() == [[[0, 0, 255], [255, 0, 0]]] * 2
    assert converter.decode_with_cv_bridge(big).tolist() == [[255, 128]]
    assert stand_in.seen == []
    dense = SimpleNamespace(**{**msg, "step": 6, "data": row * 2})
    assert converter.decode_with_cv_bridge(dense).tolist() == [[[0, 0, 255], [255, 0, 0]]] * 2
    assert stand_in.seen == [("bgr8", "rgb8")]


def test_a_cv_bridge_that_is_wrong_in_one_encoding_is_not_trusted(stand_in):
    converter.try_cv_bridge()
    assert stand_in.seen == [(name, "mono8" if "mono" in name else "rgb8") for name in converter.CV_BRIDGE_ENCODINGS]
    stand_in.wrong = "bayer_grbg8"
    with pytest.raises(AssertionError, match="bayer_grbg8"):
        converter.try_cv_bridge()


def test_cv_bridge_and_our_decoder_agree():
    if not converter.cv_bridge_works():
        pytest.skip("cv_bridge is not installed, or does not work beside this NumPy")
    from sensor_msgs.msg import Image

    rng = np.random.default_rng(0)
    for encoding, padding, big in itertools.product(converter.CV_BRIDGE_ENCODINGS, (0, 1, 12), (0, 1)):
        step = 64 * COLOR_ENCODINGS[encoding].pixel_bytes + padding
        data = rng.integers(0, 256, 48 * step, np.uint8).tobytes()
        msg = Image(height=48, width=64, encoding=encoding, step=step, is_bigendian=big, data=data)
        np.testing.assert_array_equal(converter.decode_with_cv_bridge(msg), decode_image(msg), err_msg=encoding)


def test_an_interrupt_while_a_child_starts_leaves_nothing_behind(monkeypatch):
    """It comes when the child runs and nobody knows it yet."""
    start, children = subprocess.Popen, []

    def interrupted(*arguments, **options):
        children.append(start(*arguments, **options))
        signal.raise_signal(signal.SIGINT)
        return children[0]

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with pytest.raises(KeyboardInterrupt), process([sys.executable, "-c", "import time; time.sleep(60)"]):
        pytest.fail("the block began")
    assert children[0].poll() is not None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
