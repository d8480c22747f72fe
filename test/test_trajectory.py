"""Trajectories: chaining, files, alignment and errors in closed form, and against evo's command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from scdepth_core.errors import DataError
from scdepth_core.geometry.trajectory import Trajectory, chain, read_tum
from scdepth_core.geometry.trajectory_errors import similarity, trajectory_errors


def pose(rotation=(0, 0, 0), translation=(0, 0, 0)):
    matrix = np.eye(4)
    matrix[:3, :3] = cv2.Rodrigues(np.array(rotation, float))[0]
    matrix[:3, 3] = translation
    return matrix


def walk(frames=40, seed=0):
    """A random walk, camera in world."""
    rng = np.random.default_rng(seed)
    poses = [pose((0.3, -0.2, 1.0), (4, -2, 1))]
    for _ in range(frames - 1):
        poses.append(poses[-1] @ pose(rng.normal(0, 0.05, 3), rng.normal(0, 0.1, 3) + [0, 0, 0.3]))
    return np.stack(poses)


def trajectory(poses):
    return Trajectory([f"{1700000000 + index}.{123456789:09d}" for index in range(len(poses))], poses)


def test_chaining_relative_motion_gives_the_poses_back():
    truth = walk()
    relative = [np.linalg.inv(second) @ first for first, second in zip(truth, truth[1:])]  # points of i to i + 1
    assert np.allclose(chain(relative), np.linalg.inv(truth[0]) @ truth, atol=1e-12)


def test_moving_forward_by_hand():
    """A camera that goes 2 ahead sees points come 2 nearer."""
    assert np.allclose(chain([pose(translation=(0, 0, -2))] * 2)[:, :3, 3], [[0, 0, 0], [0, 0, 2], [0, 0, 4]])


def test_files_round_trip(tmp_path):
    written = trajectory(walk())
    written.write_tum(tmp_path / "new" / "t.txt")
    written.write_kitti(tmp_path / "new" / "k.txt")
    read = read_tum(tmp_path / "new" / "t.txt")
    assert read.stamps == written.stamps  # nanoseconds survive
    assert np.allclose(read.poses, written.poses, atol=1e-7)
    assert np.allclose(np.loadtxt(tmp_path / "new" / "k.txt").reshape(-1, 3, 4), written.poses[:, :3], atol=1e-7)
    assert len(list((tmp_path / "new").iterdir())) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# nothing\n", "has no pose"),
        ("0 1 2 3 0 0 0 1\n1 2 3\n", "line 2 of .* is no pose"),
        ("0 1 2 3 0 0 0 0\n", "no direction"),
        ("0 1 2 x 0 0 0 1\n", "is no pose"),
        ("0 1 2 nan 0 0 0 1\n", "NaN or infinity"),
    ],
)
def test_bad_trajectory_files(tmp_path, text, words):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        read_tum(tmp_path / "t.txt")


def test_a_trajectory_in_another_encoding(tmp_path):
    (tmp_path / "t.txt").write_text("# gr\u00f6\u00dfe\n0 1 2 3 0 0 0 1\n", encoding="latin-1")
    with pytest.raises(DataError, match=r"t.txt' is not UTF-8 text"):
        read_tum(tmp_path / "t.txt")
    (tmp_path / "t.txt").write_text("# gr\u00f6\u00dfe\n0 1 2 3 0 0 0 1\n", encoding="utf-8-sig")
    assert read_tum(tmp_path / "t.txt").stamps == ["0"]


def test_similarity_is_recovered():
    points = np.random.default_rng(0).normal(size=(30, 3))
    wanted = pose((0.4, 2.0, -0.7), (5, -3, 2))
    scale, R, t = similarity(points, 2.5 * points @ wanted[:3, :3].T + wanted[:3, 3])
    assert scale == pytest.approx(2.5) and np.allclose(R, wanted[:3, :3]) and np.allclose(t, wanted[:3, 3])


def test_a_perfect_trajectory_in_another_unit_and_frame_has_no_error():
    truth = walk()
    estimate = np.linalg.inv(truth[0]) @ truth
    estimate[:, :3, 3] /= 3.0
    errors = trajectory_errors(estimate, truth)
    assert errors.scale == pytest.approx(3.0)
    assert [errors.ate, errors.rpe_translation, errors.rpe_rotation] == pytest.approx([0, 0, 0], abs=1e-6)
    assert (errors.kitti_t, errors.kitti_r) == (None, None)


def test_ate_by_hand():
    """A square of 2 m with every corner 0.1 m off, outwards and inwards in turn: the fit stays, the residual is 0.1."""
    corners = np.array([[1, 1, 0], [-1, 1, 0], [-1, -1, 0], [1, -1, 0]], float)
    truth, estimate = np.tile(np.eye(4), (2, 4, 1, 1))
    truth[:, :3, 3], estimate[:, :3, 3] = corners, corners + [[0, 0, 0.1], [0, 0, -0.1], [0, 0, 0.1], [0, 0, -0.1]]
    errors = trajectory_errors(estimate, truth)
    scale = 8 / (8 + 4 * 0.01)
    expected = np.sqrt(2 * (1 - scale) ** 2 + (scale * 0.1) ** 2)
    assert errors.ate == pytest.approx(expected) and errors.length == pytest.approx(6)


def test_rotation_error_from_frame_to_frame_by_hand():
    truth = np.stack([pose(translation=(x, 0, x**2)) for x in np.linspace(0, 5, 20)])
    estimate = truth @ np.stack([pose((0, np.radians(0.5) * i, 0)) for i in range(20)])
    assert trajectory_errors(estimate, truth).rpe_rotation == pytest.approx(0.5)


def test_kitti_drift_by_hand():
    """1 m a frame on a wide circle; a heading that drifts by 0.01 degrees a metre is 1 degree per 100 m."""
    turn = pose((0, np.radians(0.3), 0), (0, 0, 1))
    drifting = pose((0, np.radians(0.31), 0), (0, 0, 1))
    truth = [np.eye(4)]
    estimate = [np.eye(4)]
    for _ in range(900):
        truth.append(truth[-1] @ turn)
        estimate.append(estimate[-1] @ drifting)
    errors = trajectory_errors(np.stack(estimate), np.stack(truth))
    assert errors.kitti_r == pytest.approx(1.0, rel=0.02)  # segments are up to a frame longer than their name
    perfect = trajectory_errors(np.stack(truth) * 1.0, np.stack(truth))
    assert perfect.kitti_t == pytest.approx(0, abs=1e-6) and perfect.kitti_r == pytest.approx(0, abs=1e-6)


def test_kitti_translation_error_by_hand():
    """Straight on in steps of 1 m, told as 1.1 m up to halfway and as 0.9 m from there: on the ten segments of 101
    steps the error is what that makes of 101 m, as a share of 100 m, once the scale is fitted as a regression does."""
    truth, estimate = np.tile(np.eye(4), (2, 201, 1, 1))
    truth[:, 2, 3] = np.arange(201)
    estimate[1:, 2, 3] = np.cumsum(np.repeat([1.1, 0.9], 100))
    scale = np.polyfit(estimate[:, 2, 3], truth[:, 2, 3], 1)[0]
    told = [1.1 * (100 - first) + 0.9 * (first + 1) for first in range(0, 100, 10)]
    expected = np.mean([abs(scale * metres - 101) for metres in told])
    assert trajectory_errors(estimate, truth).kitti_t == pytest.approx(expected) and expected > 2


@pytest.mark.parametrize(
    ("estimate", "truth", "words"),
    [
        (walk(5), walk(6), "5 poses cannot be compared with one of 6"),
        (walk(2), walk(2), "at least 3"),
        (np.tile(np.eye(4), (5, 1, 1)), walk(5), "stood still"),
    ],
)
def test_what_cannot_be_compared(estimate, truth, words):
    with pytest.raises(DataError, match=words):
        trajectory_errors(estimate, truth)


EVO = shutil.which("evo_ape", path=str(Path(sys.executable).parent)) or shutil.which("evo_ape")


@pytest.mark.skipif(EVO is None, reason="evo is not installed (pip install evo)")
def test_evo_reads_the_files_and_agrees(tmp_path, monkeypatch):
    """evo is GPL: run as a program, never imported."""
    truth = walk(60)
    rng = np.random.default_rng(1)
    noisy = np.stack([p @ pose(rng.normal(0, 0.01, 3), rng.normal(0, 0.03, 3)) for p in truth])
    noisy[:, :3, 3] *= 0.4
    for name, poses in (("truth", truth), ("estimate", noisy)):
        trajectory(poses).write_tum(tmp_path / f"{name}.tum")
        trajectory(poses).write_kitti(tmp_path / f"{name}.kitti")
    errors = trajectory_errors(noisy, truth)
    monkeypatch.setenv("HOME", str(tmp_path))  # evo writes its settings there

    def evo(tool, form, *options):
        result = tmp_path / f"{tool}_{form}_{len(options)}.zip"
        files = [str(tmp_path / f"{name}.{form}") for name in ("truth", "estimate")]
        command = [EVO.replace("evo_ape", tool), form, *files, "-as", *options, "--save_results", str(result)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(zipfile.ZipFile(result).read("stats.json"))["rmse"]

    assert evo("evo_ape", "tum") == pytest.approx(errors.ate, rel=1e-5)
    assert evo("evo_ape", "kitti", "-r", "trans_part") == pytest.approx(errors.ate, rel=1e-5)
    assert evo("evo_rpe", "tum", "-r", "trans_part") == pytest.approx(errors.rpe_translation, rel=1e-5)
    assert evo("evo_rpe", "tum", "-r", "angle_deg", "-d", "1") == pytest.approx(errors.rpe_rotation, rel=1e-5)
