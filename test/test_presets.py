"""Data sets are data: every preset names a protocol that exists, and one line in dataset.yaml makes it count."""

from __future__ import annotations

import re

import pytest

from scdepth_core.data import SceneFolder
from scdepth_core.errors import ConfigError, DataError
from scdepth_core.metrics import PROTOCOLS, protocol_named
from scdepth_core.presets import CAMERAS, PRESETS, preset_named


def test_the_known_data_sets():
    assert set(PRESETS) == {"kitti_raw", "kitti_odometry", "nyu", "ddad", "tum", "bonn", "7scenes", "custom"}
    for preset in PRESETS.values():
        assert protocol_named(preset.protocol).max_depth > 0
        assert preset.height % 32 == 0 and preset.width % 32 == 0
        assert preset.depth_factor > 0
    assert {preset.protocol for preset in PRESETS.values()} == set(PROTOCOLS)


@pytest.mark.parametrize(
    ("name", "size", "factor", "farthest"),
    [
        ("kitti_raw", (256, 832), 256, 80),
        ("nyu", (256, 320), 5000, 10),
        ("ddad", (384, 640), 256, 200),
        ("kitti_odometry", (256, 832), 256, 80),
        ("tum", (256, 320), 5000, 10),
        ("bonn", (256, 320), 5000, 10),
        ("7scenes", (256, 320), 1000, 10),
    ],
)
def test_published_numbers(name, size, factor, farthest):
    preset = preset_named(name)
    assert ((preset.height, preset.width), preset.depth_factor) == (size, factor)
    assert PROTOCOLS[preset.protocol].max_depth == farthest


@pytest.mark.parametrize(
    ("name", "intrinsics", "distortion"),
    [
        ("freiburg1", [517.3, 516.5, 318.6, 255.3], [0.2624, -0.9531, -0.0054, 0.0026, 1.1633]),
        ("freiburg2", [520.9, 521.0, 325.1, 249.7], [0.2312, -0.7849, -0.0033, -0.0001, 0.9172]),
        ("freiburg3", [535.4, 539.2, 320.1, 247.6], None),
        ("7scenes", [585, 585, 320, 240], None),
    ],
)
def test_published_cameras(name, intrinsics, distortion):
    camera = CAMERAS[name]
    assert (camera["size"], camera["intrinsics"], camera.get("distortion")) == ([480, 640], intrinsics, distortion)


def test_an_unknown_preset_is_named():
    with pytest.raises(ConfigError, match=r"preset 'kity' is unknown, expected one of kitti_raw, kitti_odometry, nyu"):
        preset_named("kity")


@pytest.mark.parametrize(
    ("text", "factor", "protocol"),
    [
        (None, 1000, "custom"),
        ("preset: tum", 5000, "tum"),
        ("preset: tum\ndepth_factor: 1000", 1000, "tum"),
        ("depth_factor: 256", 256, "custom"),
    ],
)
def test_a_data_set_says_what_it_is(tmp_path, text, factor, protocol):
    if text is not None:
        (tmp_path / "dataset.yaml").write_text(text)
    folder = SceneFolder(tmp_path)
    assert (folder.depth_factor, folder.preset.protocol) == (factor, protocol)


@pytest.mark.parametrize("value", ["kity", "[1]", "{a: 1}", "3"])
def test_a_wrong_preset_names_the_file(tmp_path, value):
    (tmp_path / "dataset.yaml").write_text(f"preset: {value}")
    with pytest.raises(DataError, match=re.escape(f"'{tmp_path / 'dataset.yaml'}': preset")):
        _ = SceneFolder(tmp_path).preset
