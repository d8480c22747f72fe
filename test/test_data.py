"""Samples and augmentation: intrinsics that stay true, an order that depends on seed and epoch alone."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest
import torch
from scene_samples import HEIGHT, WIDTH, K, write_data_set, write_image
from torch.utils.data import DataLoader

from scdepth_core.data import Augmentation, DepthDataset, EpochSampler, Scene, SceneFolder, SequenceDataset
from scdepth_core.data.augmentation import crop_and_zoom, mirror
from scdepth_core.data.sequence_dataset import load_frame
from scdepth_core.errors import ConfigError, DataError


@pytest.fixture
def root(tmp_path):
    return write_data_set(tmp_path / "set")


# --- images and intrinsics together -------------------------------------------------------------------------------


def coordinates(width=WIDTH, height=HEIGHT):
    """An image (H, W, 3) float32 whose colours are its own pixel coordinates."""
    v, u = np.mgrid[:height, :width].astype(np.float32)
    return np.dstack([u, v, np.zeros_like(u)])


def rays(u, v, K):
    return np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1]])


def pixels_off(image, changed_K, mirrored=False):
    """How far, in pixels, the rays of the changed image are from those of the content that it shows; (H, W)."""
    v, u = np.mgrid[: image.shape[0], : image.shape[1]]
    expected = rays(image[..., 0], image[..., 1], K)
    if mirrored:
        expected[0] *= -1
    return np.abs(rays(u, v, changed_K) - expected).max(axis=0) * K[0, 0]


@pytest.mark.parametrize(("left", "top", "zoom"), [(0, 0, 1), (10.25, 3.75, 1.3), (0, 21.3, 1.5), (48, 32, 2)])
def test_crop_and_zoom_keep_the_rays(left, top, zoom):
    (image,), changed = crop_and_zoom([coordinates()], K, left, top, zoom)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert pixels_off(image, changed)[2:-2, 2:-2].max() < 0.03  # OpenCV samples at 1/32 of a pixel


def test_the_crop_begins_at_its_corner():
    """The corner of the window, not the centre of a pixel, is at left, top: pixel 0 shows (left - 0.5 + 0.5 / zoom)."""
    (image,), _ = crop_and_zoom([coordinates()], K, 20, 10, 2)
    assert np.allclose(image[0, 0, :2], (19.75, 9.75), atol=0.03)
    assert np.allclose(image[-1, -1, :2], (20 + WIDTH / 2 - 0.75, 10 + HEIGHT / 2 - 0.75), atol=0.03)


def test_a_mirror_keeps_the_rays():
    (image,), changed = mirror([coordinates()], K)
    assert changed[0, 2] == pytest.approx(WIDTH - 1 - K[0, 2])
    assert pixels_off(image, changed, mirrored=True).max() < 1e-3
    (again,), back = mirror([image], changed)
    assert (again == coordinates()).all() and np.allclose(back, K)


@pytest.mark.parametrize("seed", range(12))
def test_augmentation_keeps_the_rays(seed):
    images, changed = Augmentation(flip=0.5, max_zoom=1.5)([coordinates()] * 3, K, np.random.default_rng(seed))
    mirrored = images[0][0, 0, 0] > images[0][0, -1, 0]
    for image in images:
        assert pixels_off(image, changed, mirrored)[3:-3, 3:-3].max() < 0.05
        assert (image == images[0]).all()


def test_augmentation_stays_inside_the_image_and_uses_all_of_it():
    corners, mirrors = [], 0
    for seed in range(200):
        (image,), _ = Augmentation(flip=0.5, max_zoom=1.5)([coordinates()], K, np.random.default_rng(seed))
        mirrors += image[0, 0, 0] > image[0, -1, 0]
        corners.append((image[..., 0].min(), image[..., 0].max(), image[..., 1].min(), image[..., 1].max()))
    corners = np.array(corners)
    assert 70 < mirrors < 130
    assert corners.min() >= 0 and (corners[:, 1] <= WIDTH - 1).all()
    assert corners[:, 0].min() < 2 and corners[:, 1].max() > WIDTH - 3
    assert corners[:, 2].max() > HEIGHT / 5  # the window moves


@pytest.mark.parametrize("settings", [{"flip": 1.5}, {"flip": -0.1}, {"max_zoom": 0.9}, {"max_zoom": float("nan")}])
def test_impossible_augmentation_is_refused(settings):
    with pytest.raises(ConfigError, match="flip is .* and max_zoom"):
        Augmentation(**settings)


def blobs(K, points, width, height):
    """A picture of a bright spot at the projection of each 3-D point."""
    v, u = np.mgrid[:height, :width]
    picture = np.zeros((height, width))
    for x, y, z in points:
        centre = (K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2])
        sigma = width / 48, height / 32  # 2 pixels once resized to 96x64
        picture += 230 * np.exp(-(((u - centre[0]) / sigma[0]) ** 2 + ((v - centre[1]) / sigma[1]) ** 2) / 2)
    return np.repeat(picture.clip(0, 255).round().astype(np.uint8)[..., None], 3, axis=2)


def centroid(picture, u, v, radius):
    """Where the spot near (u, v) really is, from its brightness."""
    top, left = max(round(v) - radius, 0), max(round(u) - radius, 0)
    window = picture[top : round(v) + radius + 1, left : round(u) + radius + 1, 0].astype(float)
    rows, columns = np.mgrid[: window.shape[0], : window.shape[1]]
    return (window * columns).sum() / window.sum() + left, (window * rows).sum() / window.sum() + top


@pytest.mark.parametrize("stored", [(96, 64), (192, 128), (150, 100), (60, 48), (300, 64)])
def test_known_points_stay_where_the_intrinsics_say(tmp_path, stored):
    """From the file, through resizing, zoom and mirror: spots at true projections are found at the new ones."""
    width, height = stored
    stored_K = np.array([[0.8 * width, 0, 0.48 * width], [0, 0.9 * height, 0.53 * height], [0, 0, 1]], np.float32)
    points = [(-0.6, -0.4, 2.0), (0.5, -0.3, 1.8), (0.1, 0.1, 1.1), (-0.7, 0.6, 2.2), (0.9, 0.7, 2.6)]
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), blobs(stored_K, points, width, height))
    scene = Scene("x", sorted(tmp_path.glob("*.png")), [None] * 3, stored_K)
    found = 0
    for seed in range(4):
        data = SequenceDataset([scene], HEIGHT, WIDTH, augmentation=Augmentation(0.5, 1.3), seed=seed)
        sample = data[0, 0]
        picture, changed = sample["images"][0].numpy().transpose(1, 2, 0), sample["K"].numpy()
        plain = SequenceDataset([scene], HEIGHT, WIDTH)[0]["K"].numpy()
        zoom = changed[0, 0] / plain[0, 0]
        mirrored = _is_mirrored(picture, points, changed)
        for x, y, z in points:
            u = changed[0, 0] * (-x if mirrored else x) / z + changed[0, 2]
            v = changed[1, 1] * y / z + changed[1, 2]
            radius = int(4.5 * zoom * WIDTH / 48)
            if radius < u < WIDTH - 1 - radius and radius < v < HEIGHT - 1 - radius:
                assert centroid(picture, u, v, radius) == pytest.approx((u, v), abs=0.06)
                found += 1
    assert found > 3


def _is_mirrored(picture, points, K):
    """Whether the spots are at the places of the mirrored points (the arrangement of points is not symmetric)."""

    def brightness(sign):
        total = 0.0
        for x, y, z in points:
            u, v = round(K[0, 0] * sign * x / z + K[0, 2]), round(K[1, 1] * y / z + K[1, 2])
            if 0 <= u < picture.shape[1] and 0 <= v < picture.shape[0]:
                total += float(picture[v, u, 0])
        return total

    return brightness(-1) > brightness(1)


# --- samples ------------------------------------------------------------------------------------------------------


def test_a_sample_is_the_target_between_its_neighbours(root):
    _, b = SceneFolder(root).training
    data = SequenceDataset([b], 32, 48)
    assert len(data) == 2
    sample = data[1]
    assert sample["images"].shape == (3, 3, 32, 48) and sample["images"].dtype == torch.uint8
    assert sample["images"][:, 0, 0, 0].tolist() == [40 * 2 + 7, 40 + 7, 40 * 3 + 7]  # target, earlier, later
    assert sample["K"].dtype == torch.float32
    expected = [[35, 0, (47.3 + 0.5) / 2 - 0.5], [0, 32.5, (30.1 + 0.5) / 2 - 0.5], [0, 0, 1]]
    assert np.allclose(sample["K"], expected, atol=1e-4)


def test_stride_reaches_further(root):
    write_image(root / "training" / "b" / "0004.png", value=200)
    b = SceneFolder(root).training[1]
    data = SequenceDataset([b], HEIGHT, WIDTH, stride=2)
    assert len(data) == 1
    assert data[0]["images"][:, 0, 0, 0].tolist() == [87, 7, 200]


def test_too_short_scenes(root, caplog):
    (root / "training" / "b" / "0003.png").unlink()
    (root / "training" / "b" / "0002.png").unlink()
    scenes = SceneFolder(root).training
    with caplog.at_level(logging.WARNING):
        assert len(SequenceDataset(scenes, HEIGHT, WIDTH)) == 2
    assert "1 of 2 scenes have fewer than 3 frames" in caplog.text
    with pytest.raises(DataError, match=r"stride 3 needs 7 frames, the longest of 2 scenes has 4"):
        SequenceDataset(scenes, HEIGHT, WIDTH, stride=3)


def test_intrinsics_of_another_size_are_noticed(root):
    """The commonest slip with scene folders: frames were made smaller, cam.txt was not."""
    large = K * [[4], [4], [1]]
    np.savetxt(root / "training" / "b" / "cam.txt", large)
    scene = SceneFolder(root).training[1]
    with pytest.raises(DataError, match=r"'b' puts the principal point at .* outside of '0000.png' \(96x64\)"):
        load_frame(scene, 0)


def test_frames_of_different_sizes_are_refused(root):
    write_image(root / "training" / "b" / "0001.png", width=100)
    with pytest.raises(DataError, match="frames of scene 'b' differ in size"):
        SequenceDataset(SceneFolder(root).training, HEIGHT, WIDTH)[2]


def test_depth_samples_keep_their_size(root):
    scenes = SceneFolder(root).training
    data = DepthDataset(scenes, 32, 64, 1000.0)
    assert len(data) == 4
    sample = data[2]
    assert sample["image"].shape == (3, 32, 64) and sample["image"].dtype == torch.uint8
    assert sample["depth"].shape == (HEIGHT, WIDTH) and (sample["depth"] == 3).all()
    assert len(DepthDataset(scenes, 32, 64, 1000.0, stride=3)) == 2


def test_validation_without_depth_says_what_to_do(root):
    with pytest.raises(DataError, match="--model.validation photometric"):
        DepthDataset(SceneFolder(root).training[1:], 32, 64, 1000.0)


# --- order --------------------------------------------------------------------------------------------------------


def drawn(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


def test_each_epoch_is_another_permutation():
    sampler = EpochSampler(50, seed=3)
    first, second = drawn(sampler, 0), drawn(sampler, 1)
    for epoch, keys in enumerate((first, second)):
        assert [key[0] for key in keys] == [epoch] * 50
        assert sorted(key[1] for key in keys) == list(range(50))
    assert [index for _, index in first] != [index for _, index in second]


def test_order_depends_on_seed_and_epoch_alone():
    assert drawn(EpochSampler(50, 3), 7) == drawn(EpochSampler(50, 3), 7)
    assert drawn(EpochSampler(50, 3), 7) != drawn(EpochSampler(50, 4), 7)


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_an_epoch_without_overlap(world_size):
    shards = [drawn(EpochSampler(50, 1, rank, world_size), 2) for rank in range(world_size)]
    assert {len(shard) for shard in shards} == {50 // world_size}
    taken = [key for shard in shards for key in shard]
    assert len(set(taken)) == len(taken)


def test_samples_depend_on_epoch_and_index_not_on_the_workers(root):
    def batches(workers, epoch):
        data = SequenceDataset(SceneFolder(root).training, HEIGHT, WIDTH, augmentation=Augmentation(), seed=9)
        sampler = EpochSampler(len(data), seed=9)
        sampler.set_epoch(epoch)
        return list(DataLoader(data, batch_size=2, sampler=sampler, num_workers=workers))

    alone, shared, later = batches(0, 4), batches(2, 4), batches(0, 5)
    for a, b in zip(alone, shared):
        assert torch.equal(a["images"], b["images"]) and torch.equal(a["K"], b["K"])
    assert not all(torch.equal(a["K"], b["K"]) for a, b in zip(alone, later))


def test_every_epoch_augments_a_sample_anew(root):
    data = SequenceDataset(SceneFolder(root).training, HEIGHT, WIDTH, augmentation=Augmentation(), seed=9)
    assert torch.equal(data[4, 1]["K"], data[4, 1]["K"])
    assert not torch.equal(data[4, 1]["K"], data[5, 1]["K"])
    assert not torch.equal(data[4, 1]["K"], data[4, 2]["K"])
