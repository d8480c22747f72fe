"""The one factor from network units to metres: measured on rendered walks whose factor is known."""

import math

import cv2
import numpy as np
import pytest
from noise_samples import spoilt_depth

from scdepth_core.data.synthetic import Renderer, make_path, make_scene, pinhole_camera
from scdepth_core.data.synthetic.mount import Mount
from scdepth_core.errors import ConfigError
from scdepth_core.scale import CameraHeight, OdometryTravel, ReferenceDepth, ScaleFilter, ScaleTracker, View
from scdepth_core.scale.corners import depth_of_surface
from scdepth_core.scale.robust import median_and_scatter, robust_mean
from scdepth_core.scale.two_view import two_view_motion

SCALE = 3.7  # metres per network unit, unknown to whoever measures it
SECONDS, RATE = 10, 10
K = np.array([[200.0, 0, 159.5], [0, 200.0, 119.5], [0, 0, 1]])


class Walk:
    """Ten seconds of rendered motion, as a robot sees it: predicted depth in unknown units, 5 % noise, outliers."""

    def __init__(self, seed, style="handheld", mount=Mount(), kind="room", size=(320, 240)):  # noqa: B008 - frozen
        scene = make_scene(seed, kind)
        self.rng = np.random.default_rng(seed)
        self.camera = pinhole_camera(*size, 70)
        renderer = Renderer(scene, self.camera, supersampling=1)
        self.poses = make_path(scene, 0, SECONDS * RATE, RATE, style, mount=mount)
        frames = [renderer.render(pose) for pose in self.poses]
        self.greys = [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb, _ in frames]
        self.depths = [depth for _, depth in frames]

    def spoiled(self, depth):
        return spoilt_depth(depth, self.rng)

    def views(self, **changes):
        for grey, depth, pose in zip(self.greys, self.depths, self.poses):
            values = {"grey": grey, "pose": pose, **{name: change(depth) for name, change in changes.items()}}
            yield View(self.spoiled(depth) / np.float32(SCALE), self.camera.K, **values)


def state_after(source, views, **options):
    tracker = ScaleTracker(source, ScaleFilter(**options))
    for view in views:
        tracker.observe(view)
    return tracker.state


def relative_error(state):
    return abs(math.log(state.value / SCALE))


@pytest.fixture(scope="module")
def walk():
    return Walk(seed=2)


# Three sources


def test_reference_depth_within_one_percent(walk):
    state = state_after(ReferenceDepth(), walk.views(reference=walk.spoiled))
    assert relative_error(state) < 0.01 and state.sigma < 0.01 and state.count == SECONDS * RATE


def test_a_few_lidar_points_do_as_well(walk):
    def sparse(depth):
        return np.where(walk.rng.random(depth.shape) < 0.005, walk.spoiled(depth), np.nan).astype(np.float32)

    assert relative_error(state_after(ReferenceDepth(), walk.views(reference=sparse))) < 0.01


@pytest.mark.parametrize("seed", [1, 4])
def test_camera_height_within_three_percent(seed):
    walk = Walk(seed, "driving", Mount(height=0.5, pitch=10), size=(240, 180))
    state = state_after(CameraHeight(0.5, pitch=10), walk.views())
    assert relative_error(state) < 0.03 and state.sigma < 0.02 and state.is_measured


@pytest.mark.parametrize("seed", [2, 4])
def test_odometry_within_two_percent(seed, walk):
    walk = walk if seed == 2 else Walk(seed)
    state = state_after(OdometryTravel(lever_arm=0), walk.views())
    assert relative_error(state) < 0.02 and state.sigma < 0.02 and state.is_measured


def test_odometry_of_a_body_with_other_axes(walk):
    """Only lengths and angles count, so a base_link on the same rod does as well as the camera itself."""
    turn = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    views = [View(v.depth, v.K, v.grey, None, v.pose @ turn.T) for v in walk.views()]
    assert relative_error(state_after(OdometryTravel(), views)) < 0.03


def test_a_frame_without_a_measurement_says_why(walk):
    view = next(walk.views())
    bare = View(view.depth, view.K, view.grey)
    assert "no reference depth" in ReferenceDepth().measure(bare).refused
    assert "no odometry" in OdometryTravel().measure(bare).refused
    nothing = View(np.full_like(view.depth, np.nan), view.K, view.grey, view.depth, view.pose)
    assert "too few pixels" in ReferenceDepth().measure(nothing).refused
    assert "too few pixels" in CameraHeight(1.0).measure(nothing).refused
    wall = View(np.full_like(view.depth, 2.0), view.K)
    assert "ground" in CameraHeight(1.0).measure(wall).refused
    other = View(view.depth, view.K, reference=walk.rng.uniform(0.1, 20, view.depth.shape).astype(np.float32))
    assert "do not resemble" in ReferenceDepth().measure(other).refused
    own = View(view.depth, view.K, reference=3 * view.depth)
    assert "what this network predicted" in ReferenceDepth().measure(own).refused


def test_standing_still_and_turning_on_the_spot_measure_nothing(walk):
    still = [next(walk.views())] * 20
    state = state_after(OdometryTravel(), still)
    assert state.value is None and "not far enough" in state.last_refusal and state.refused.total() == 20


def test_mostly_rotation_is_refused():
    """A far scene, seen by a camera that turns by 4 degrees while it moves by 3 cm."""
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (240, 320), np.uint8), (0, 0), 1.5)
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
    angle = np.deg2rad(4)
    R = cv2.Rodrigues(np.array([0, angle, 0]))[0]
    turned = cv2.warpPerspective(picture, K @ R @ np.linalg.inv(K), (320, 240))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = R.T, (0.2, 0, 0)
    source = OdometryTravel(min_travel=0.1, lever_arm=0)
    depth = np.full((240, 320), 50.0, np.float32)
    source.measure(View(depth, K, picture, pose=np.eye(4)))
    assert source.measure(View(depth, K, turned, pose=pose)).refused in ("too little parallax", "mostly rotation")


# Corners


def test_depth_of_a_slanted_plane_is_exact_and_noise_is_averaged():
    row, column = np.mgrid[:60, :80].astype(np.float32)
    plane = 1 / (0.2 + 0.004 * row + 0.001 * column)
    corners = np.array([[20, 30], [60.4, 11.6], [40, 50]], np.float32)
    exact = plane[[30, 12, 50], [20, 60, 40]]
    np.testing.assert_allclose(depth_of_surface(corners, plane), exact, rtol=1e-6)
    noisy = spoilt_depth(plane, np.random.default_rng(0))
    np.testing.assert_allclose(depth_of_surface(corners, noisy), exact, rtol=0.06)


@pytest.mark.parametrize(
    "across", [lambda r, c: c, lambda r, c: r, lambda r, c: r + c - 40, lambda r, c: np.maximum(r, c)]
)
def test_a_corner_beside_a_jump_of_depth_is_not_taken(across):
    """A box a third nearer than the wall, seen from either side of its outline, at an edge and at a corner of it."""
    row, column = np.mgrid[:80, :80]
    depth = np.where(across(row, column) < 40, 2.0, 3.0).astype(np.float32)
    beside = np.array([[39, 39], [40, 40]], np.float32)
    assert np.isnan(depth_of_surface(beside, depth)).all()
    assert depth_of_surface(np.array([[15, 15], [65, 65]], np.float32), depth) == pytest.approx([2, 3], rel=1e-6)


def test_a_corner_beside_unknown_depth_or_the_border_is_not_taken():
    depth = np.full((60, 80), 2.0, np.float32)
    depth[30, 40], depth[30, 60] = np.nan, 0
    corners = np.array([[37, 28], [62, 30], [2, 30], [40, 57], [20, 30]], np.float32)
    assert np.isfinite(depth_of_surface(corners, depth)).tolist() == [False, False, False, False, True]
    assert depth_of_surface(np.empty((0, 2), np.float32), depth).shape == (0,)


# Motion between two views


def two_views(noise, wrong=0.0, seed=0):
    rng = np.random.default_rng(seed)
    points = np.c_[rng.uniform(-1, 1, (300, 2)), np.ones(300)] * rng.uniform(2, 4, (300, 1))
    R, t = cv2.Rodrigues(np.array([0.01, -0.03, 0.02]))[0], np.array([0.2, 0.02, 0.05])
    image = (points @ R.T + t) @ K.T
    pixels = image[:, :2] / image[:, 2:] + 0.1 * rng.standard_normal((300, 2))
    factor = np.exp(noise * rng.standard_normal(300))
    factor[: int(300 * wrong)] = np.exp(rng.uniform(-1.6, 1.6, int(300 * wrong)))
    return points * factor[:, None], pixels, R, t


def test_noisy_depth_does_not_shorten_the_way():
    """Regression on noisy depth would: the estimate has to be right on average, and as sure as it says."""
    errors, sigmas = [], []
    for seed in range(20):
        points, pixels, _, t = two_views(noise=0.1, wrong=0.1, seed=seed)
        found = two_view_motion(points, pixels, K)
        errors.append(math.log(np.linalg.norm(found.t) / np.linalg.norm(t)))
        sigmas.append(found.sigma)
    assert abs(np.mean(errors)) < 0.015
    assert np.std(errors) < 2 * np.median(sigmas) and np.median(sigmas) < 0.05


def test_tracking_that_errs_along_the_motion_does_not_lengthen_the_way():
    """Corners are off by 0.25 pixels along their motion and 0.05 across it, which must not pass for errors of depth."""
    errors = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        points = np.c_[rng.uniform(-0.8, 0.8, (200, 2)), np.ones(200)] * rng.uniform(3, 4.5, (200, 1))
        turned, t = points @ cv2.Rodrigues(np.array([0.01, -0.03, 0.02]))[0].T, np.array([0.2, 0, 0])
        pixels = (turned + t) @ K.T
        pixels = pixels[:, :2] / pixels[:, 2:] + rng.standard_normal((200, 2)) * (0.25, 0.05)
        predicted = points * np.exp(0.0135 * rng.standard_normal((200, 1)))
        errors.append(math.log(np.linalg.norm(two_view_motion(predicted, pixels, K).t) / 0.2))
    assert abs(np.mean(errors)) < 0.003


def test_exact_points_give_the_exact_motion():
    rng = np.random.default_rng(3)
    points = np.c_[rng.uniform(-1, 1, (60, 2)), np.ones(60)] * rng.uniform(2, 4, (60, 1))
    R, t = cv2.Rodrigues(np.array([0.02, 0.05, -0.01]))[0], np.array([-0.1, 0.05, 0.2])
    image = (points @ R.T + t) @ K.T
    found = two_view_motion(points, image[:, :2] / image[:, 2:], K)
    np.testing.assert_allclose(found.R, R, atol=1e-5)
    np.testing.assert_allclose(found.t, t, atol=1e-4)
    assert found.inliers.all()


def test_points_that_do_not_move_together_give_no_motion():
    rng = np.random.default_rng(0)
    points = np.c_[rng.uniform(-1, 1, (11, 2)), np.ones(11)]
    assert two_view_motion(points, rng.uniform(0, 240, (11, 2)), K) is None


# The filter


def test_the_robust_mean_by_hand():
    assert median_and_scatter(np.array([1.0, 2, 3, 4, 100])) == (3.0, pytest.approx(1.4826))
    values = np.r_[np.tile([0.9, 1.1], 50), np.full(20, 5.0)]
    centre, sigma = robust_mean(values, np.full(120, 0.01))
    assert centre == pytest.approx(1.0, abs=0.02) and 0 < sigma < 0.1


@pytest.mark.parametrize("count", [5, 7, 20, 100])
@pytest.mark.parametrize("wrong", [0.0, 0.1, 0.3])
def test_the_robust_mean_is_as_certain_as_it_says(count, wrong):
    """Two standard deviations hold about 95 % of the means; somewhat less of few values, where they would hold 72 %."""
    rng = np.random.default_rng(0)
    beyond = 0
    for _ in range(400):
        far = np.where(rng.random(count) < wrong, rng.uniform(-1.6, 1.6, count), 0)
        mean, sigma = robust_mean(0.1 * rng.standard_normal(count) + far, np.full(count, 0.02))
        beyond += abs(mean) > 2 * sigma
    assert beyond < (0.12 if count < 10 else 0.08) * 400


def test_values_of_which_a_third_disagree_are_not_certain():
    """Four that agree by chance are not certain to 2 %: spread / sqrt(N) is 20 %."""
    values = np.array([0, 0.03, -0.03, 0.05, 0.6, -0.7, 1.1])
    assert 0.05 < robust_mean(values, np.full(7, 0.03))[1] < values.std() / math.sqrt(7)


def test_values_that_err_alike_are_worth_less():
    rng = np.random.default_rng(0)
    free = 0.05 * rng.standard_normal(200)
    alike = np.repeat(0.05 * rng.standard_normal(20), 10)
    assert robust_mean(alike, np.full(200, 0.01))[1] > 2 * robust_mean(free, np.full(200, 0.01))[1]


def test_the_filter_starts_with_the_first_measurements_that_suffice():
    filter = ScaleFilter(minimum=3)
    assert filter.value is None and filter.sigma == math.inf
    for _ in range(2):
        assert filter.update(math.log(2), 0.01)
    assert filter.value is None and not filter.is_measured
    filter.update(math.log(2), 0.01)
    assert filter.value == pytest.approx(2) and filter.is_measured and filter.sigma < 0.01


def test_the_filter_waits_while_the_first_measurements_contradict_each_other():
    """It could only creep away from a wrong start; measurements that never agree are taken in the end."""
    rng = np.random.default_rng(0)
    filter = ScaleFilter()
    for wrong in (0.9, -0.7, 0.0, 1.4, 0.5):
        filter.update(math.log(2) + wrong, 0.02)
    assert filter.value is None and not filter.is_measured and filter.count == 5 and filter.is_contradicted
    for _ in range(15):
        filter.update(math.log(2) + 0.03 * rng.standard_normal(), 0.02)
    assert filter.is_measured and filter.value == pytest.approx(2, rel=0.05) and not filter.is_contradicted
    filter = ScaleFilter()
    for k in range(50):
        assert filter.value is None
        filter.update(1.9 * k % 3, 0.02)
    assert filter.is_measured


def test_the_filter_never_jumps():
    filter = ScaleFilter(initial=1.0, max_step=0.01)
    before = filter.value
    for _ in range(150):
        filter.update(math.log(2), 0.02)
        assert abs(math.log(filter.value / before)) <= math.log1p(0.01) + 1e-12
        before = filter.value
    assert filter.value == pytest.approx(2, rel=1e-3)


def test_while_the_filter_is_on_its_way_it_says_how_far():
    filter = ScaleFilter(initial=1.0, max_step=0.01)
    for _ in range(10):
        filter.update(math.log(2), 0.02)
    assert filter.sigma >= math.log(2 / filter.value)


def test_outliers_do_not_move_the_filter():
    rng = np.random.default_rng(1)
    filter = ScaleFilter()
    for k in range(200):
        wrong = 1.5 if k % 5 == 0 else 0.0
        filter.update(math.log(2) + 0.03 * rng.standard_normal() + wrong, 0.03)
    assert filter.value == pytest.approx(2, rel=0.01)


def test_frozen_the_filter_takes_nothing_and_reset_it_starts_anew():
    filter = ScaleFilter(initial=1.5, minimum=1)
    filter.update(math.log(1.6), 0.01)
    value = filter.value
    filter.freeze()
    assert filter.frozen and not filter.update(math.log(3), 0.01) and filter.value == value
    filter.reset()
    assert filter.value == 1.5 and filter.count == 0 and filter.frozen and filter.sigma == math.inf
    filter.begin_at(2.5)
    assert filter.value == 2.5 and filter.frozen
    filter.begin_at(None)
    assert filter.value is None
    with pytest.raises(ConfigError, match="initial scale is 0"):
        filter.begin_at(0)
    filter.freeze(False)
    assert filter.update(math.log(3), 0.01)


@pytest.mark.parametrize("log_scale, sigma", [(math.nan, 0.1), (math.inf, 0.1), (0.0, math.nan), (0.0, 0.9)])
def test_a_measurement_that_says_nothing_is_not_taken(log_scale, sigma):
    filter = ScaleFilter(minimum=1)
    assert not filter.update(log_scale, sigma) and filter.value is None


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: ScaleFilter(initial=0.0), "initial scale is 0.0"),
        (lambda: ScaleFilter(max_step=0), "max_step is 0"),
        (lambda: ScaleFilter(minimum=9, memory=3), "minimum is 9 and memory 3"),
        (lambda: CameraHeight(0.0), "camera height is 0.0"),
        (lambda: CameraHeight(1.0, pitch=120), "camera pitch is 120"),
        (lambda: OdometryTravel(min_travel=-1), "min_travel is -1"),
        (lambda: OdometryTravel(max_rotation_share=2), "max_rotation_share is 2"),
        (lambda: OdometryTravel(lever_arm=-3), "lever_arm is -3, expected metres, at least 0"),
        (lambda: OdometryTravel(lever_arm=math.inf), "lever_arm is inf"),
        (lambda: OdometryTravel(lever_arm=math.nan), "lever_arm is nan"),
    ],
)
def test_impossible_settings_are_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


# The tracker


def test_a_frozen_tracker_does_no_work_and_keeps_its_value(walk):
    tracker = ScaleTracker(ReferenceDepth(), ScaleFilter(minimum=1))
    views = list(walk.views(reference=walk.spoiled))[:3]
    tracker.observe(views[0])
    tracker.freeze(True)
    value = tracker.state.value
    assert tracker.observe(views[1]) is None and tracker.state.value == value and tracker.state.count == 1
    tracker.freeze(False)
    tracker.observe(views[2])
    assert tracker.state.count == 2
    tracker.reset()
    assert tracker.state.value is None and tracker.source == "reference_depth"


def test_after_a_restart_the_odometry_begins_with_a_new_key_frame(walk):
    tracker = ScaleTracker(OdometryTravel(), ScaleFilter())
    views = list(walk.views())[:4]
    tracker.observe(views[0])
    tracker.restart()
    tracker.observe(views[3])
    assert tracker.state.refused == {"first frame": 2}


def test_an_odometry_whose_pictures_change_their_size_begins_anew(walk):
    tracker = ScaleTracker(OdometryTravel(), ScaleFilter())
    views = list(walk.views())[:4]
    top = View(views[3].depth[:120], views[3].K, views[3].grey[:120], pose=views[3].pose)
    for view in (views[0], top):
        tracker.observe(view)
    assert tracker.state.refused == {"first frame": 2}
