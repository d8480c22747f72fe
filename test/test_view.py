"""`scdepth view`: the picture shows the frame asked for, in fixed colours and metres, from a bag or live."""

import signal
import time

import cv2
import numpy as np
import pytest
from bag_samples import SECOND, START, camera_info, cut, image, write_bag
from extract_samples import flat_scene, view

from scdepth_core import cli, visualization
from scdepth_core.visualization import colorize_depth, save_cloud_views, save_rgbd_view

SIZE = (160, 120)
K = np.array([[130.0, 0, 79.5], [0, 130.0, 59.5], [0, 0, 1]])
RGB = np.full((120, 160, 3), (200, 30, 30), np.uint8)


@pytest.fixture
def figures(monkeypatch):
    """Figures as they are saved."""
    seen = []
    monkeypatch.setattr(visualization, "_save", lambda figure, path: seen.append(figure))
    return seen


def wall(path, count=5):
    """Walls at 1, 2, 3 ... metres, one a second."""

    def messages():
        for k in range(count):
            when = START + k * SECOND
            yield "/cam/image_raw", image(view(flat_scene(), k), when), when
            yield "/cam/camera_info", camera_info(K, SIZE, when), when
            yield "/depth/image_rect", image(np.full(SIZE[::-1], k + 1, np.float32), when, "32FC1"), when

    return write_bag(path, messages())


def test_a_wall_stands_where_it_is(figures, tmp_path):
    depth = np.full((120, 160), 4.0)
    depth[:, :80] = np.nan
    save_rgbd_view(tmp_path / "v.png", K, RGB, depth, 0.5, 8.0, "a wall")
    picture, colours, side, above = figures[0].axes[:4]
    assert "4.00 m in the middle, 50% known" in colours.get_title() and figures[0].get_suptitle() == "a wall"
    assert np.array_equal(colours.images[0].get_array(), colorize_depth(depth, 0.5, 8.0))
    points = above.collections[0].get_offsets()
    # Columns 80 to 159 see 0.5/130 to 79.5/130 to the right of forward: at 4 m, -0.0154 m to -2.446 m to the left.
    assert np.allclose(points[:, 0], 4) and points[:, 1].max() == pytest.approx(-0.5 / 130 * 4)
    assert points[:, 1].min() == pytest.approx(-79.5 / 130 * 4)
    heights = side.collections[0].get_offsets()[:, 1]
    assert heights.max() == pytest.approx(59.5 / 130 * 4) and side.get_ylabel() == "up, m"
    assert above.get_xlim() == (0, 8) and above.get_ylim() == pytest.approx((-79.5 / 130 * 8, 79.5 / 130 * 8))
    assert above.get_xlabel() == "forward, m" and np.allclose(
        above.collections[0].get_facecolor()[0, :3], RGB[0, 0] / 255
    )
    labels = [label.get_text() for label in colours.child_axes[0].get_yticklabels()]
    assert labels[0] == "0.5 m" and labels[-1] == "8 m"


def test_cloud_views_share_their_axes(figures, tmp_path):
    depths = {"predicted": np.full((120, 160), 2.0), "measured": np.full((120, 160), 4.0)}
    save_cloud_views(tmp_path / "c.png", K, RGB, depths)
    assert [cell.get_title() for cell in figures[0].axes][::2] == [
        "predicted, from the side",
        "measured, from the side",
    ]
    assert len({cell.get_xlim() for cell in figures[0].axes}) == 1
    assert figures[0].axes[0].get_xlim()[1] == pytest.approx(1.05 * 4)


@pytest.mark.parametrize("at, number", [(None, 2), (["--at", "0.9"], 1), (["--at", "4"], 4)])
def test_the_moment_asked_for_is_drawn(tmp_path, capsys, at, number):
    out = tmp_path / "view.png"
    assert cli.main(["view", str(wall(tmp_path / "bag")), "--out", str(out), *(at or [])]) == 0
    assert f"/depth/image_rect on /cam/image_raw at {START // SECOND + number}.000 s" in capsys.readouterr().out
    picture = cv2.imread(str(out))
    assert picture.shape[0] > 600 and picture.std() > 20
    assert [file.name for file in tmp_path.iterdir() if file.suffix != ""] == ["view.png"]


def test_a_bag_that_was_cut_off_is_drawn_and_called_damaged(tmp_path, capsys):
    bag = cut(wall(tmp_path / "bag", count=40), 0.6)
    assert cli.main(["view", str(bag), "--out", str(tmp_path / "view.png")]) == 0
    drawn, damage = capsys.readouterr().out.splitlines()
    assert drawn.startswith(f"{tmp_path / 'view.png'}: /depth/image_rect") and (tmp_path / "view.png").is_file()
    assert damage.startswith("  DAMAGED: ") and damage.endswith("; the picture is of what could be read")
    assert cli.main(["view", str(bag), "--out", str(tmp_path / "view.png"), "--at", "39"]) == 1
    assert "breaks off" in capsys.readouterr().err


def test_what_cannot_be_drawn_is_one_sentence(tmp_path, capsys):
    bag = str(wall(tmp_path / "bag"))
    for arguments, words in [
        ([bag, "--at", "9"], "no image with depth after 9.00 s, it is 4.00 s long"),
        ([bag, "--at", "nan"], "--at is nan, expected seconds into the recording"),
        ([bag, "--near", "3", "--far", "2"], "0 < near < far"),
        ([bag, "--far", "inf"], "--far inf, expected numbers of metres"),
        ([], "give a recording, or --live"),
        ([bag, "--live", "1"], "one of the two"),
    ]:
        assert cli.main(["view", *arguments, "--out", str(tmp_path / "v.png")]) == 1
        assert words in capsys.readouterr().err


@pytest.mark.timeout(150)
def test_live_topics_are_drawn(tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from ros_harness import RosProcess

    bag = wall(tmp_path / "bag", count=12)
    camera = RosProcess("scdepth_ros.play_bag", str(bag), "--wait-for-subscribers", "60")
    time.sleep(0.5)
    viewer = RosProcess("scdepth_core.cli", "view", "--live", "8", "--out", str(tmp_path / "live.png"))
    try:
        viewer.process.wait(90)
    finally:
        viewer.stop()
        camera.stop()
    assert viewer.process.returncode == 0 and "/depth/image_rect on /cam/image_raw" in viewer.output, viewer.output
    assert cv2.imread(str(tmp_path / "live.png")).std() > 20


def test_listening_ends_when_it_is_asked_to(tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from ros_harness import RosProcess, wait_for

    env = {"TMPDIR": str(tmp_path)}
    viewer = RosProcess("scdepth_core.cli", "view", "--live", "60", "--out", str(tmp_path / "live.png"), env=env)
    wait_for(lambda: list(tmp_path.glob("*/live.partial")), 60, what="the recording")
    viewer.stop(signal.SIGTERM)
    assert (viewer.process.returncode, viewer.output) == (130, "scdepth: interrupted\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--out", "now.jpg"), "--out is 'now.jpg', expected a name that ends in .png"),
        (("--live", "0"), "--live is 0, expected seconds above 0"),
    ],
)
def test_options_that_cannot_be(capsys, options, sentence):
    assert cli.main(["view", *options]) == 1
    assert sentence in capsys.readouterr().err


def test_the_folder_of_the_picture_is_made(tmp_path):
    save_rgbd_view(tmp_path / "new" / "v.png", K, RGB, np.full((120, 160), 4.0), 0.5, 8.0)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["v.png"]
