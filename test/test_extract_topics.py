"""Which topics are taken, and what is said when that is not clear."""

import cv2
import numpy as np
import pytest
from bag_samples import START, camera_info, compressed, image, text, write_bag
from extract_samples import DEPTH, IMAGE, INFO, ODOM, SIZE, flat_scene, ramp, run, settings, view, walk

from scdepth_core.errors import BagError, CameraError
from scdepth_ros.extraction import extract

INFO_TYPE = "sensor_msgs/msg/CameraInfo"


@pytest.fixture(scope="module")
def scene():
    return flat_scene()


def renamed(messages, **names):
    """The same messages under other topics; the first part of each topic is looked up in `names`."""
    for topic, message, when in messages:
        first, _, rest = topic.lstrip("/").partition("/")
        yield f"/{names.get(first, first)}/{rest}".rstrip("/"), message, when


def two_cameras(scene):
    left = renamed(walk(scene, 5, depth=False, odom=False), cam="left")
    right = renamed(walk(scene, range(1, 6), depth=False, odom=False), cam="right")
    return sorted([*left, *right], key=lambda message: message[2])


def test_several_cameras_are_listed_and_one_is_asked_for(tmp_path, scene):
    with pytest.raises(BagError, match=r"2 image topics: /left/image_raw, /right/image_raw .*--image-topic"):
        run(tmp_path, two_cameras(scene))
    assert not (tmp_path / "out").exists()
    report = extract([tmp_path / "walk"], tmp_path / "out", settings(image_topic="/right/image_raw"))
    assert report.bags[0].topics["camera_info"] == "/right/camera_info"


def test_colour_comes_before_mono_and_raw_before_its_copies(tmp_path, scene):
    messages = []
    for topic, message, when in walk(scene, 5):
        messages.append((topic, message, when))
        if topic == IMAGE:
            grey = cv2.cvtColor(np.frombuffer(message.data, np.uint8).reshape(120, 160, 3), cv2.COLOR_RGB2GRAY)
            messages.append(("/infra/image_raw", image(grey, when, "mono8"), when))
            messages.append((IMAGE + "/compressed", compressed(view(scene, 0), when, ".jpg", "rgb8; jpeg"), when))
            messages.append(("/words", text("nothing to see"), when))
    report, _ = run(tmp_path, messages)
    assert report.bags[0].topics == {"image": IMAGE, "camera_info": INFO, "depth": DEPTH, "odometry": ODOM}


def test_aligned_depth_comes_first_and_several_are_asked_for(tmp_path, scene):
    def with_more_depth(name):
        for topic, message, when in walk(scene, 5):
            yield topic, message, when
            if topic == DEPTH:
                yield name, message, when

    report, _ = run(tmp_path, with_more_depth("/cam/aligned_depth_to_color/image_raw"))
    assert report.bags[0].topics["depth"] == "/cam/aligned_depth_to_color/image_raw"
    bag = write_bag(tmp_path / "second", with_more_depth("/other/depth"))
    with pytest.raises(BagError, match="2 depth topics: .*--depth-topic, or --no-depth"):
        extract([bag], tmp_path / "b", settings())
    assert extract([bag], tmp_path / "c", settings(use_depth=False)).scenes[0].depth == 0
    assert extract([bag], tmp_path / "d", settings(depth_topic="/other/depth")).scenes[0].depth == 5


def test_what_depth_node_made_is_no_camera_and_no_measured_depth(tmp_path, scene):
    def with_node(messages):
        for topic, message, when in messages:
            yield topic, message, when
            if topic == IMAGE:
                yield "/rgb/image_rect_color", message, when
                yield "/depth/image_rect", image(np.full((120, 160), 2, np.float32), when, "32FC1"), when

    report, _ = run(tmp_path, with_node(walk(scene, 5)))
    assert report.bags[0].topics == {"image": IMAGE, "camera_info": INFO, "depth": DEPTH, "odometry": ODOM}
    bag = write_bag(tmp_path / "without", with_node(walk(scene, 5, depth=False)))
    assert extract([bag], tmp_path / "b", settings()).bags[0].topics["depth"] is None
    named = extract([bag], tmp_path / "c", settings(depth_topic="/depth/image_rect"))
    assert named.bags[0].topics["depth"] == "/depth/image_rect"


def test_bags_without_pictures_and_wrong_names_say_what_there_is(tmp_path, scene):
    bag = write_bag(tmp_path / "words", [("/words", text("x"), START)])
    with pytest.raises(BagError, match=r"no colour or mono images.*/words \(std_msgs/msg/String, 1\)"):
        extract([bag], tmp_path / "out", settings())
    bag = write_bag(tmp_path / "walk", walk(scene, 4))
    with pytest.raises(BagError, match=r"no topic /nope \(--image-topic\)"):
        extract([bag], tmp_path / "out", settings(image_topic="/nope"))
    with pytest.raises(BagError, match=r"/odom \(--depth-topic\) carries nav_msgs/msg/Odometry, expected"):
        extract([bag], tmp_path / "out", settings(depth_topic=ODOM))


def test_an_uncalibrated_camera_is_refused(tmp_path, scene):
    blank = lambda when: camera_info(np.zeros((3, 3)), SIZE, when)  # noqa: E731
    with pytest.raises(CameraError, match="/cam/camera_info of bag .* uncalibrated"):
        run(tmp_path, walk(scene, 4, info=blank))


def test_depth_that_is_not_registered_is_refused_with_the_way_out(tmp_path, scene):
    def odd(messages):
        for topic, message, when in messages:
            yield topic, image(np.full((90, 160), 900, np.uint16), when, "16UC1") if topic == DEPTH else message, when

    with pytest.raises(BagError, match="/cam/depth/image_raw .*not registered.*--no-depth"):
        run(tmp_path, odd(walk(scene, 4)))


def test_a_depth_camera_that_says_nothing_of_its_lens_costs_a_remark_only(tmp_path, scene):
    def uncalibrated(messages):
        for topic, message, when in messages:
            yield topic, message, when
            if topic == DEPTH:
                yield "/cam/depth/camera_info", camera_info(np.zeros((3, 3)), SIZE, when), when

    blank = write_bag(tmp_path / "blank", uncalibrated(walk(scene, 4)))
    silent = write_bag(tmp_path / "silent", walk(scene, 4), silent={"/cam/depth/camera_info": INFO_TYPE})
    for bag, why in ((blank, "uncalibrated"), (silent, "no messages")):
        report = extract([bag], tmp_path / f"{bag.name}_scenes", settings())
        assert report.scenes[0].depth == 4
        (note,) = [note for note in report.bags[0].notes if "is registered" in note]
        assert note.startswith(f"nothing says whether {DEPTH} is registered: /cam/depth/camera_info") and why in note


def test_depth_that_cannot_be_read_is_refused_with_the_way_out(tmp_path, scene):
    messages = [
        (topic, image(ramp(0), when, "32FC1") if topic == DEPTH else message, when)  # half the bytes it needs
        for topic, message, when in walk(scene, 4)
    ]
    with pytest.raises(BagError, match="/cam/depth/image_raw of bag .* --no-depth"):
        run(tmp_path, messages)
