"""Synthetic scenes against closed forms, OpenCV's distortion and the package's own warp."""

import argparse
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from scdepth_core.data import synthesize
from scdepth_core.data.scene_folder import SceneFolder, read_depth
from scdepth_core.data.synthetic import STYLES, Mount, Renderer, Scene, make_path, make_scene, pinhole_camera, solids
from scdepth_core.errors import CameraError, ConfigError, DataError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.warping import inverse_warp


def grey(canvas):
    return canvas.fill(0.5)


def empty_room(*extra):
    shell = solids.room_shell(4.0, 6.0, 3.0, grey, grey, grey)
    return Scene(0, "room", (4.0, 6.0, 3.0), shell, tuple(extra), np.array([0.0, 0.0, 1.0]), 0.7)


def looking_along_y(x, y, z):
    """Camera at (x, y, z), level, looking along +y of the world: its x axis is the world's, its y axis points down."""
    pose = np.eye(4)
    pose[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    pose[:3, 3] = x, y, z
    return pose


def test_depth_of_an_empty_room():
    """f = 50, centre (32, 24), standing at (1, 2, 1.2) in a 4 x 6 x 3 m room."""
    camera = Camera(65, 49, np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]))
    _, depth = Renderer(empty_room(), camera).render(looking_along_y(1.0, 2.0, 1.2))
    assert depth.dtype == np.float32 and depth.shape == (49, 65)
    assert depth[24, 32] == pytest.approx(4.0, rel=1e-6)  # far wall, y = 6
    assert depth[24, 0] == pytest.approx(1.0 / (32 / 50), rel=1e-6)  # left wall, 1 m to the left
    assert depth[24, 64] == pytest.approx(4.0, rel=1e-6)  # right wall would be at 3 / 0.64 = 4.69: far wall first
    assert depth[48, 32] == pytest.approx(1.2 / (24 / 50), rel=1e-6)  # floor, 1.2 m below
    assert depth[0, 32] == pytest.approx(1.8 / (24 / 50), rel=1e-6)  # ceiling, 1.8 m above


def test_depth_of_a_turned_box():
    """A 1 m cube turned by 45 degrees shows its edge, sqrt(2) / 2 before its centre; beside it, Z grows by |x|."""
    cube = solids.Placement(2.0, 4.0, 0.0, np.pi / 4).box((0, 0, 0.5), (1, 1, 1), grey)
    camera = Camera(65, 49, np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]))
    _, depth = Renderer(empty_room(cube), camera).render(looking_along_y(2.0, 1.0, 0.5))
    edge = 3 - np.sqrt(0.5)
    assert depth[24, 32] == pytest.approx(edge, rel=1e-6)
    slope = 5 / 50  # pixel 37: x = slope Z on the side Z = edge + x
    assert depth[24, 37] == pytest.approx(edge / (1 - slope), rel=1e-6)
    assert depth[24, 27] == pytest.approx(edge / (1 - slope), rel=1e-6)
    assert depth[24, 55] == pytest.approx(2.0 / (23 / 50), rel=1e-6)  # past the box: the right wall


def test_a_camera_inside_furniture_is_refused():
    cube = solids.Placement(2.0, 3.0).box((0, 0, 0.5), (1, 1, 1), grey)
    renderer = Renderer(empty_room(cube), pinhole_camera(16, 12, 60))
    with pytest.raises(CameraError, match="inside"):
        renderer.render(looking_along_y(2.0, 3.0, 0.5))


def test_same_seed_same_bytes():
    camera = pinhole_camera(48, 36, 65)
    images = []
    for seed in (3, 3, 4):
        scene = make_scene(seed, "room")
        pose = make_path(scene, seed=1, frames=3)[-1]
        images.append(Renderer(scene, camera).render(pose))
    assert all(np.array_equal(a, b) for a, b in zip(images[0], images[1]))
    assert not np.array_equal(images[0][1], images[2][1])


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", ["room", "corridor"])
def test_paths_keep_clear_and_are_smooth(style, kind):
    for seed in range(4):
        scene = make_scene(seed, kind)
        poses = make_path(scene, seed, frames=60, fps=10, style=style)
        rotations, positions = poses[:, :3, :3], poses[:, :3, 3]
        assert scene.clearance(positions).min() >= 0.35
        assert np.allclose(rotations @ rotations.transpose(0, 2, 1), np.eye(3), atol=1e-9)
        assert np.allclose(np.linalg.det(rotations), 1)
        steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        assert steps.mean() > 0.01 and steps.max() < 0.2  # metres: moving all the time, never jumping
        turns = np.arccos(np.clip((np.einsum("nij,nij->n", rotations[1:], rotations[:-1]) - 1) / 2, -1, 1))
        assert np.rad2deg(turns).max() < 8


def test_rotation_shakes_the_camera():
    scene = make_scene(0, "room")

    def mean_turn(rotation):
        R = make_path(scene, 0, 40, rotation=rotation)[:, :3, :3]
        return np.arccos(np.clip((np.einsum("nij,nij->n", R[1:], R[:-1]) - 1) / 2, -1, 1)).mean()

    assert mean_turn(4.0) > 3 * mean_turn(1.0)


LENSES = {
    "plumb_bob": [-0.28, 0.09, 0.001, -0.0008, -0.01],
    "rational_polynomial": [0.5, 0.1, 0.0005, -0.0003, 0.01, 0.8, 0.2, 0.03],
    "equidistant": [-0.02, 0.01, -0.004, 0.001],
}


@pytest.mark.parametrize("model", LENSES)
def test_a_distorted_image_rectifies_to_the_pinhole_image(model):
    scene = make_scene(2, "room")
    pose = make_path(scene, 0, 20)[-1]
    ideal = pinhole_camera(160, 120, 70)
    lens = Camera(160, 120, ideal.K, model, np.array(LENSES[model]))
    renderer = Renderer(scene, ideal)
    straight, straight_depth = renderer.render(pose)
    bent, bent_depth = Renderer(scene, lens, atlas=renderer.atlas).render(pose)
    make_maps = cv2.fisheye.initUndistortRectifyMap if model == "equidistant" else cv2.initUndistortRectifyMap
    maps = make_maps(lens.K, lens.D, np.eye(3), lens.K, (160, 120), cv2.CV_32FC1)
    inner = (slice(20, -20), slice(20, -20))
    rectified = cv2.remap(bent, *maps, cv2.INTER_LINEAR)[inner].astype(float)
    unmoved = np.abs(bent[inner].astype(float) - straight[inner]).mean()
    moved = np.abs(rectified - straight[inner]).mean()
    assert moved < 4 and moved < 0.45 * unmoved  # of 255; bilinear interpolation blurs a little
    depth = cv2.remap(bent_depth, *maps, cv2.INTER_LINEAR)[inner]
    assert np.median(np.abs(depth / straight_depth[inner] - 1)) < 2e-3


def test_a_distortion_without_rays_is_refused():
    folding = Camera(160, 120, pinhole_camera(160, 120, 120).K, "plumb_bob", np.array([-0.6, 0, 0, 0, 0]))
    with pytest.raises(CameraError, match="no ray"):
        Renderer(empty_room(), folding)


@pytest.mark.parametrize(
    "seed, kind, style", [(0, "room", "handheld"), (3, "corridor", "handheld"), (1, "room", "driving")]
)
def test_true_depth_and_pose_rebuild_the_target(seed, kind, style):
    """The oracle: photometric error < 0.02 and geometry inconsistency < 0.01 over what both frames see."""
    scene = make_scene(seed, kind)
    camera = pinhole_camera(128, 96, 65)
    renderer = Renderer(scene, camera)
    poses = make_path(scene, 0, 24, fps=6, style=style)
    for first in (4, 12, 20):
        (target, depth), (source, source_depth) = (renderer.render(poses[i]) for i in (first, first + 1))
        transform = (np.linalg.inv(poses[first + 1]) @ poses[first])[:3]
        K, T = (torch.from_numpy(a).float()[None] for a in (camera.K, transform))
        images = [torch.from_numpy(a).permute(2, 0, 1).float()[None] / 255 for a in (target, source)]
        depths = [torch.from_numpy(a)[None, None] for a in (depth, source_depth)]
        warp = inverse_warp(images[1], depths[0], depths[1], T, K)
        inconsistency = (warp.computed_depth - warp.projected_depth).abs() / (
            warp.computed_depth + warp.projected_depth
        )
        visible = warp.valid & (inconsistency < 0.05)  # the rest is hidden from the source
        assert visible.float().mean() > 0.6
        error = (warp.image - images[0]).abs().mean(1, keepdim=True)[visible].mean()
        identity = (images[1] - images[0]).abs().mean()
        assert error < 0.02 and error < 0.6 * identity
        assert inconsistency[visible].mean() < 0.01


def arguments(*words):
    parser = argparse.ArgumentParser()
    synthesize.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_the_command_writes_a_data_set(tmp_path, capsys):
    out = tmp_path / "set"
    words = (out, "--scenes", 2, "--validation-scenes", 1, "--test-frames", 3, "--frames", 4, "--size", "48x32")
    assert synthesize.run(arguments(*words, "--workers", 1, "--json")) == 0
    assert '"frames": 15' in capsys.readouterr().out
    assert not out.with_name("set.partial").exists()
    folder = SceneFolder(out)
    train, val = folder.training, folder.validation
    assert (len(train), len(val)) == (2, 1) and not {s.name for s in train} & {s.name for s in val}
    for scene in (*train, *val):
        assert len(scene.images) == 4 and all(path is not None for path in scene.depths)
        assert np.allclose(scene.K, pinhole_camera(48, 32, 65).K)
        assert cv2.imread(str(scene.images[0])).shape == (32, 48, 3)
        depth = read_depth(scene.depths[0], folder.depth_factor)
        assert depth.min() > 0.2 and depth.max() < 25
        place = scene.images[0].parent
        assert np.loadtxt(place / "poses.txt").shape == (4, 8)
        assert np.loadtxt(place / "timestamps.txt").shape == (4,)
    colours = sorted(p.stem for p in (out / "testing" / "color").iterdir())
    assert len(folder.testing) == 3
    assert colours == sorted(p.stem for p in (out / "testing" / "depth").iterdir())
    with pytest.raises(DataError, match="exists already"):
        synthesize.run(arguments(*words))


def test_the_number_of_workers_changes_nothing(tmp_path):
    words = ("--scenes", 2, "--validation-scenes", 0, "--test-frames", 1, "--frames", 2, "--size", "32x24")
    for workers in (1, 2):
        synthesize.run(arguments(tmp_path / str(workers), *words, "--workers", workers))
    files = sorted(p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path / "2") for p in (tmp_path / "2").rglob("*") if p.is_file())
    assert all((tmp_path / "1" / f).read_bytes() == (tmp_path / "2" / f).read_bytes() for f in files)


def test_impossible_requests_say_why(tmp_path):
    with pytest.raises(ConfigError, match="kind is 'cave'"):
        make_scene(0, "cave")
    with pytest.raises(ConfigError, match="style is 'flying'"):
        make_path(make_scene(0), 0, 5, style="flying")
    with pytest.raises(ConfigError, match="--scenes 0"):
        synthesize.run(arguments(tmp_path / "x", "--scenes", 0))
    crowded = replace(empty_room(), solids=(solids.Placement(2, 3).box((0, 0, 1.5), (3.6, 5.6, 2.9), grey),))
    with pytest.raises(DataError, match="no room"):
        make_path(crowded, 0, 5)


@pytest.mark.parametrize("name", ["fps", "speed", "rotation"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_numbers_that_make_no_path_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} {value:g}.* cannot be made – frames, fps and speed have to be"):
        make_path(make_scene(0), 0, 5, **{"fps": 5.0, "speed": 1.0, name: value})


@pytest.mark.parametrize(
    "numbers", [{"fps": 1e-12}, {"fps": 0.005}, {"fps": 1e-310}, {"speed": 1000.0}, {"fps": 1e-3, "speed": 1e-6}]
)
def test_walks_without_end_are_refused(numbers):
    with pytest.raises(ConfigError, match="up to 500 m and 3600 s – ask for fewer frames or more fps"):
        make_path(make_scene(0), 0, 6, **numbers)


@pytest.mark.parametrize("style", STYLES)
def test_the_longest_walk_can_be_made(style):
    assert np.isfinite(make_path(make_scene(3), 0, 250, fps=1.0, style=style, speed=2.0)).all()


@pytest.mark.parametrize("style, bob", [("driving", 0), ("handheld", 0.06)])
def test_a_fixed_mount_is_kept_on_every_walk(style, bob):
    mount = Mount(height=0.5, pitch=4, yaw=30)
    for seed in range(4):
        poses = make_path(make_scene(seed), 0, 20, style=style, rotation=0, mount=mount)
        assert np.allclose(poses[:, 2, 3], 0.5, atol=bob)
        assert np.allclose(np.rad2deg(np.arcsin(poses[:, 2, 2])), -4, atol=1e-6)  # forward has this much of up
        way = np.arctan2(*np.diff(poses[:, :2, 3], axis=0).T[::-1])
        look = np.arctan2(poses[:, 1, 2], poses[:, 0, 2])[:-1]
        turn = (np.rad2deg(look - way) + 180) % 360 - 180
        assert abs(np.median(turn) - 30) < 6  # the heading is that of the smoothed way


@pytest.mark.parametrize("wrong, message", [({"height": 5.0}, "height is 5"), ({"pitch": -80}, "pitch is -80")])
def test_a_mount_that_sees_no_room_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Mount(**wrong)
