"""Which frames are kept and why, on pictures whose motion and blur are known."""

import cv2
import numpy as np
import pytest

from scdepth_core.data.frame_selection import (
    BLURRED,
    STATIC,
    FrameSelector,
    SelectionSettings,
    fit_rotation,
    mean_difference,
    rotation_share,
    sharpness,
)
from scdepth_core.errors import ConfigError

K = np.array([[150.0, 0, 79.5], [0, 150.0, 59.5], [0, 0, 1]])
SIZE = (160, 120)


def texture(seed=0, size=(400, 300)):
    """Edges at several scales, as photographs have them: rectangles laid over each other, small ones last."""
    random = np.random.default_rng(seed)
    picture = np.full(size[::-1], 128, np.uint8)
    for length, count in ((80, 40), (30, 150), (10, 600)):
        for x, y, wide, high, grey in random.uniform(0, 1, (count, 5)):
            corner = int(x * size[0]), int(y * size[1])
            opposite = int(corner[0] + length * (0.3 + wide)), int(corner[1] + length * (0.3 + high))
            cv2.rectangle(picture, corner, opposite, int(30 + 195 * grey), -1)
    return cv2.GaussianBlur(picture, (0, 0), 0.6)


def view(scene, x, y):
    """What a camera at (x, y) pixels sees of a flat scene."""
    shift = np.array([[1.0, 0, -x], [0, 1.0, -y]])
    return cv2.warpAffine(scene, shift, SIZE, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def judge_all(frames, **settings):
    selector = FrameSelector(K, SelectionSettings(**settings))
    return [selector.judge(frame) for frame in frames]


def test_motion_is_measured_in_pixels_since_the_last_kept_frame():
    scene = texture()
    verdicts = judge_all([view(scene, 0.8 * step, 0.6 * step) for step in range(8)], min_motion=2.5)
    assert [verdict.keep for verdict in verdicts] == [True, False, False, True, False, False, True, False]
    motions = [verdict.motion for verdict in verdicts]
    assert motions[0] is None and motions[1:] == pytest.approx([1, 2, 3, 1, 2, 3, 1], abs=0.06)
    assert verdicts[1].reason == STATIC


def test_a_static_camera_scores_zero_however_noisy_its_picture():
    scene, random = view(texture(), 20, 20).astype(np.int16), np.random.default_rng(5)
    frames = [np.clip(scene + random.integers(-3, 4, scene.shape), 0, 255).astype(np.uint8) for _ in range(6)]
    for verdict in judge_all(frames)[1:]:
        assert verdict.reason == STATIC and verdict.motion < 0.1


def test_differences_do_not_wrap_around():
    dark, darker = np.full((4, 4), 1, np.uint8), np.zeros((4, 4), np.uint8)
    assert mean_difference(darker, dark) == mean_difference(dark, darker) == 1.0
    verdicts = judge_all([view(texture(), 3, 3)] * 4, min_motion=0.01)
    assert [verdict.motion for verdict in verdicts[1:]] == [0.0] * 3


def test_a_moving_object_does_not_make_a_static_camera_move():
    scene = view(texture(), 0, 0)
    frames = []
    for step in range(4):
        frame = scene.copy()
        frame[40:80, 10 + 9 * step : 50 + 9 * step] = view(texture(3), 0, 0)[:40, :40]
        frames.append(frame)
    assert [verdict.reason for verdict in judge_all(frames)] == [None, STATIC, STATIC, STATIC]


@pytest.mark.parametrize("kernel", [np.ones((1, 6)), np.ones((6, 1)), np.eye(6), np.ones((4, 4))])
def test_blur_in_any_direction_is_found(kernel):
    scene = texture()
    frames = [view(scene, 4 * step, step) for step in range(20)]
    for index in (8, 13, 14):
        frames[index] = cv2.filter2D(frames[index], -1, kernel / kernel.sum())
    verdicts = judge_all(frames)
    assert {index for index, verdict in enumerate(verdicts) if verdict.reason == BLURRED} == {8, 13, 14}
    assert all(verdict.keep for index, verdict in enumerate(verdicts) if index not in (8, 13, 14))


def test_a_view_with_less_to_see_is_not_called_blurred():
    scene = texture()
    frames = [view(scene, 4 * step, 0) for step in range(12)]
    for index in range(8, 12):
        frames[index] = (0.3 * frames[index] + 100).astype(np.uint8)
    assert all(verdict.keep for verdict in judge_all(frames))
    assert sharpness(frames[0]) == pytest.approx(sharpness(frames[9]), rel=0.25)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_pictures_without_anything_in_them_never_count_as_motion(value):
    blank = np.full((120, 160, 3), value, np.uint8)
    verdicts = judge_all([blank] * 10)
    assert verdicts[0].keep and not any(verdict.keep for verdict in verdicts[1:])


def test_a_picture_of_which_nothing_is_found_again_is_kept():
    verdicts = judge_all([texture(1, SIZE), texture(2, SIZE)])
    assert verdicts[1].keep and verdicts[1].motion == np.inf and verdicts[1].rotation_share is None


def test_nothing_is_dropped_when_told_so():
    frame = view(texture(), 0, 0)
    assert all(v.keep for v in judge_all([frame] * 8 + [0 * frame], min_motion=0, min_sharpness=0))


def points():
    u, v = np.meshgrid(np.linspace(5, 154, 12), np.linspace(5, 114, 10))
    return np.stack([u.ravel(), v.ravel()], axis=1)


def moved(pixels, depth, rotation=(0, 0, 0), translation=(0, 0, 0)):
    rays = np.hstack([pixels, np.ones((len(pixels), 1))]) @ np.linalg.inv(K).T
    there = (rays * depth[:, None]) @ cv2.Rodrigues(np.array(rotation, float))[0].T + translation
    there = there @ K.T
    return there[:, :2] / there[:, 2:]


def test_a_turn_on_the_spot_is_all_rotation():
    start, depth = points(), np.random.default_rng(0).uniform(1, 6, 120)
    assert rotation_share(start, moved(start, depth, (0.02, -0.05, 0.03)), K) > 0.999


def test_driving_forwards_is_hardly_rotation():
    start, depth = points(), np.random.default_rng(0).uniform(1, 6, 120)
    assert rotation_share(start, moved(start, depth, translation=(0, 0, -0.3)), K) < 0.35


def test_the_share_falls_as_translation_takes_over():
    start, depth = points(), np.random.default_rng(0).uniform(1, 6, 120)
    shares = [
        rotation_share(start, moved(start, depth, (0.0, 0.03, 0.01), (0, 0, -step)), K) for step in (0.0, 0.1, 0.2, 0.4)
    ]
    assert shares == sorted(shares, reverse=True) and shares[0] > 0.99 and shares[-1] < 0.6


def test_the_share_by_hand():
    """Along the optical axis a turn explains nothing: rings of points that grow by 1 % and turn by 3 % of their radius
    move by its root of 0.01^2 + 0.03^2, and a turn about the axis leaves the 0.01."""
    angles = np.arange(0, 2 * np.pi, np.pi / 30)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 60
    turn = np.array([[1, -0.03], [0.03, 1]])
    end = K[:2, 2] + ring @ (turn + 0.01 * np.eye(2)).T
    share = rotation_share(K[:2, 2] + ring, end, K)
    assert share == pytest.approx(1 - 0.01 / np.hypot(0.01, 0.03), abs=0.02)


def test_the_fitted_rotation_ignores_outliers():
    random = np.random.default_rng(0)
    rays = random.normal(size=(100, 3)) + [0, 0, 4]
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    R = cv2.Rodrigues(np.array([0.05, -0.1, 0.2]))[0]
    turned = rays @ R.T
    turned[:30] = np.roll(turned[:30], 7, axis=0)
    assert np.allclose(fit_rotation(rays, turned), R, atol=1e-4)


def test_no_motion_has_no_rotation():
    assert rotation_share(points(), points(), K) == 0.0


@pytest.mark.parametrize(
    "name, value", [("min_motion", -1), ("min_motion", np.nan), ("min_sharpness", 1.0), ("memory", 2)]
)
def test_settings_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=name):
        SelectionSettings(**{name: value})
