"""Depth errors by hand, alignment, crops, and what a broken or empty prediction scores."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from scdepth_core.errors import ConfigError, DataError
from scdepth_core.evaluation import evaluate
from scdepth_core.metrics import (
    ERROR_NAMES,
    PROTOCOLS,
    Protocol,
    compute_errors,
    depth_errors,
    protocol_named,
)

WIDE = Protocol(max_depth=100.0)


def image(*values):
    return np.array(values, np.float32).reshape(1, -1)


def scene(seed=0, shape=(12, 16)):
    return np.random.default_rng(seed).uniform(1, 8, shape).astype(np.float32)


def test_errors_by_hand():
    errors = compute_errors(np.array([1.0, 2.0, 4.0, 10.0]), np.array([1.0, 3.0, 2.0, 12.0]))
    logs = np.log([1, 2 / 3, 2, 10 / 12])
    assert errors == pytest.approx(
        {
            "abs_diff": (0 + 1 + 2 + 2) / 4,
            "abs_rel": (0 + 1 / 2 + 2 / 4 + 2 / 10) / 4,
            "sq_rel": (0 + 1 / 2 + 4 / 4 + 4 / 10) / 4,
            "log10": np.abs(logs).mean() / np.log(10),
            "rmse": np.sqrt((0 + 1 + 4 + 4) / 4),
            "rmse_log": np.sqrt((logs**2).mean()),
            "a1": 2 / 4,  # ratios 1, 1.5, 2, 1.2
            "a2": 3 / 4,  # below 1.5625
            "a3": 3 / 4,  # below 1.953
        }
    )
    assert tuple(errors) == ERROR_NAMES


def test_a_perfect_prediction():
    errors = depth_errors(scene(), scene(), WIDE, scale=1.0)
    assert [errors[name] for name in ERROR_NAMES] == pytest.approx([0] * 6 + [1] * 3)


def test_alignment_takes_out_one_factor():
    truth = scene()
    assert depth_errors(truth / 3.7, truth, WIDE)["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert depth_errors(truth / 3.7, truth, WIDE, scale=3.7)["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert depth_errors(truth * 1.1, truth, WIDE, scale=1.0)["abs_rel"] == pytest.approx(0.1, rel=1e-5)


def test_the_median_is_that_of_the_pixels_that_count():
    truth = image(2, 4, 0, 6, np.nan, 500)
    prediction = image(1, 2, 9, 3, 9, 9)
    assert depth_errors(prediction, truth, WIDE)["abs_rel"] == pytest.approx(0, abs=1e-6)


def test_predictions_are_clipped_to_the_range():
    errors = depth_errors(image(1000, 2), image(8, 2), Protocol(max_depth=10), scale=1.0)
    assert errors["abs_rel"] == pytest.approx((2 / 8 + 0) / 2)
    errors = depth_errors(image(1e-9, 2), image(2, 2), Protocol(max_depth=10, min_depth=0.5), scale=1.0)
    assert errors["abs_rel"] == pytest.approx((1.5 / 2 + 0) / 2)


@pytest.mark.parametrize("shapes", [((0, 96), (4, 4)), ((4, 4), (0, 96)), ((4, 4), (4, 4, 2)), ((4,), (4, 4))])
def test_what_is_no_image_is_refused(shapes):
    prediction, truth = map(np.ones, shapes)
    with pytest.raises(DataError, match=r"prediction of shape \(.*\) and ground truth of \(.*\), expected .* pixels"):
        depth_errors(prediction, truth, Protocol(80.0))


def test_predictions_of_another_size_are_resized():
    truth = np.full((20, 30), 2.0, np.float32)
    errors = depth_errors(np.full((5, 6), 2.0, np.float16), truth, WIDE, scale=1.0)
    assert errors["abs_rel"] == 0


def test_evaluation_answers_three_questions():
    """Two images, right up to factors 2 and 3: perfect per image; one scale of 2.5 is off by 25 % and 1/6."""
    truths = [scene(1), scene(2)]
    result = evaluate([(truths[0] / 2, truths[0]), (truths[1] / 3, truths[1])], WIDE)
    assert result.errors["image"]["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert result.scale == pytest.approx(2.5)
    assert result.errors["set"]["abs_rel"] == pytest.approx((0.25 + 1 / 6) / 2, rel=1e-5)
    assert result.errors["none"]["abs_rel"] == pytest.approx((1 / 2 + 2 / 3) / 2, rel=1e-5)
    assert result.scale_spread == pytest.approx(0.5 / 2.5)  # std of (2, 3) over their mean
    assert (result.images, result.skipped, result.coverage) == (2, 0, 1.0)
    assert result.per_image == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize("factors", [(1.0, 1.0, 1.0), (1.0, 2.0, 6.0)])
def test_scale_spread_in_closed_form(factors):
    pairs = [(scene(i) / factor, scene(i)) for i, factor in enumerate(factors)]
    assert evaluate(pairs, WIDE).scale_spread == pytest.approx(np.std(factors) / np.mean(factors), rel=1e-5, abs=1e-6)


def test_evaluation_agrees_with_the_errors_of_each_image():
    pairs = [(scene(10 + i), scene(i)) for i in range(3)]
    result = evaluate(iter(pairs), WIDE)
    single = [depth_errors(prediction, truth, WIDE) for prediction, truth in pairs]
    for name in ERROR_NAMES:
        assert result.errors["image"][name] == pytest.approx(np.mean([errors[name] for errors in single]))
    fixed = [depth_errors(prediction, truth, WIDE, result.scale) for prediction, truth in pairs]
    assert result.errors["set"]["rmse"] == pytest.approx(np.mean([errors["rmse"] for errors in fixed]))
    assert result.per_image == pytest.approx([errors["abs_rel"] for errors in single])


def test_a_constant_is_what_knowing_nothing_scores():
    """Its depth is the median over the images of their median depth, whatever was predicted."""
    truths = [image(1, 2, 3), image(2, 4, 8), image(1, 9, 10)]
    result = evaluate([(np.ones((1, 3), np.float32), truth) for truth in truths], WIDE)
    constant = np.median([2, 4, 9])
    expected = np.mean([(np.abs(truth - constant) / truth).mean() for truth in truths])
    assert result.constant["abs_rel"] == pytest.approx(expected)
    assert result.errors["set"]["abs_rel"] == pytest.approx(result.constant["abs_rel"])  # a constant was predicted
    expected = np.mean([(np.abs(truth - np.median(truth)) / truth).mean() for truth in truths])
    assert result.constant_of_image["abs_rel"] == pytest.approx(expected)
    assert result.errors["image"]["abs_rel"] == pytest.approx(expected)


def test_images_without_ground_truth_are_counted_and_keep_their_place():
    empty, beyond = np.zeros((12, 16), np.float32), np.full((12, 16), np.nan, np.float32)
    result = evaluate([(scene(), empty), (scene(1), scene(1)), (scene(), beyond)], WIDE)
    assert (result.images, result.skipped) == (1, 2)
    assert np.isnan(result.per_image[0]) and np.isnan(result.per_image[2])
    assert result.per_image[1] == pytest.approx(0)


def test_no_ground_truth_at_all():
    with pytest.raises(DataError, match=r"none of the 2 ground-truth depths .* depth_factor in dataset.yaml"):
        evaluate([(scene(), scene() * 1000)] * 2, WIDE)
    with pytest.raises(DataError, match="no pixel of the ground truth counts"):
        depth_errors(scene(), np.zeros((12, 16), np.float32), WIDE)
    with pytest.raises(DataError, match="none of the 0"):
        evaluate([], WIDE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -1.0])
def test_missing_predictions_lower_the_coverage(bad):
    truth = scene()
    prediction = truth.copy()
    prediction[:, :4] = bad
    result = evaluate([(prediction, truth), (truth, truth)], WIDE)
    assert result.coverage == pytest.approx(1 - 0.25 / 2)
    assert all(np.isfinite(list(errors.values())).all() for errors in result.errors.values())
    assert result.errors["none"]["abs_rel"] == pytest.approx(0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_broken_network_gets_no_score(bad):
    broken = np.full((12, 16), bad, np.float32)
    with pytest.raises(DataError, match="no finite depth above 0"):
        depth_errors(broken, scene(), WIDE)
    with pytest.raises(DataError, match="no finite depth above 0"):
        evaluate([(scene(), scene()), (broken, scene())], WIDE)


def test_crop_in_pixels_and_in_shares():
    truth = np.ones((10, 20), np.float32)
    for crop in ((2, 6, 5, 15), (0.2, 0.6, 0.25, 0.75)):
        mask = Protocol(10.0, crop=crop).mask(truth)
        assert mask[2:6, 5:15].all() and mask.sum() == 4 * 10


def test_the_range_is_open():
    assert Protocol(10.0, 0.5).mask(image(0, 0.5, 0.6, 9.9, 10, 11)).tolist() == [[0, 0, 1, 1, 0, 0]]


@pytest.mark.parametrize(
    ("name", "shape", "pixels"),
    [
        ("kitti", (375, 1242), (371 - 153) * (1197 - 44)),  # Garg crop
        ("nyu", (480, 640), (471 - 45) * (601 - 41)),
        ("ddad", (10, 20), 200),
        ("custom", (10, 20), 200),
    ],
)
def test_protocols(name, shape, pixels):
    assert protocol_named(name).mask(np.ones(shape, np.float32)).sum() == pixels


def test_a_crop_in_pixels_is_for_one_size():
    way_out = "--protocol custom, in training --model.protocol custom"
    with pytest.raises(ConfigError, match=f"ground truth is 320x240, .* crops 640x480 .* {way_out}"):
        evaluate([(np.ones((240, 320), np.float32),) * 2], PROTOCOLS["nyu"])


def test_an_unknown_protocol_is_named():
    with pytest.raises(ConfigError, match=r"protocol 'nyuv2' is unknown, expected one of kitti, nyu, ddad, bonn"):
        protocol_named("nyuv2")


def test_inputs_stay_as_they_are():
    prediction, truth = scene(1), scene(2)
    before = prediction.copy(), truth.copy()
    evaluate([(prediction, truth)], WIDE)
    assert (prediction == before[0]).all() and (truth == before[1]).all()
    assert dataclasses.is_dataclass(evaluate([(prediction, truth)], WIDE))
