"""Scene folders, samples and augmentation: what is on disk, in the right order, with intrinsics that stay true."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from scdepth_core.data import Augmentation, DepthDataset, EpochSampler, Scene, SceneFolder, SequenceDataset
from scdepth_core.data.augmentation import crop_and_zoom, mirror
from scdepth_core.data.scene_folder import image_files, read_depth, read_image, read_intrinsics
from scdepth_core.data.sequence_dataset import load_frame
from scdepth_core.errors import ConfigError, DataError

K = np.array([[70.0, 0, 47.3], [0, 65.0, 30.1], [0, 0, 1]], np.float32)
WIDTH, HEIGHT = 96, 64


def write_image(path, width=WIDTH, height=HEIGHT, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), value, np.uint8))


def write_depth(path, metres=2.0, dtype=np.uint16):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((HEIGHT, WIDTH), metres * 1000 if dtype == np.uint16 else metres, dtype))


@pytest.fixture
def root(tmp_path):
    """A data set with scenes `a` (jpg, all with depth) and `b` (png, none), as somebody else would write it."""
    training = tmp_path / "set" / "training"
    for index in range(4):
        write_image(training / "a" / f"{index:04d}.jpg", value=50 * index)
        write_depth(training / "a" / "depth" / f"{index:04d}.png", 1 + index)
        write_image(training / "b" / f"{index:04d}.png", value=40 * index + 7)
    for scene in "ab":
        np.savetxt(training / scene / "cam.txt", K)
    (training / "train.txt").write_text("a\nb\n")
    (training / "val.txt").write_text("a")
    return tmp_path / "set"


# --- scene folders ------------------------------------------------------------------------------------------------


def test_scenes_of_a_folder(root):
    a, b = SceneFolder(root).training
    assert (a.name, b.name) == ("a", "b")
    assert [path.name for path in a.images] == ["0000.jpg", "0001.jpg", "0002.jpg", "0003.jpg"]
    assert [path.name for path in a.depths] == ["0000.png", "0001.png", "0002.png", "0003.png"]
    assert b.depths == [None] * 4
    assert a.K.dtype == np.float32 and np.allclose(a.K, K)
    assert [scene.name for scene in SceneFolder(root).validation] == ["a"]


@pytest.mark.parametrize("text", ["a\nb", "a \r\n  b\t\r\n", "\n\na\n\nb\n\n", "\ufeffa\nb"])
def test_listings_survive_any_editor(root, text):
    (root / "training" / "train.txt").write_bytes(text.encode())
    assert [scene.name for scene in SceneFolder(root).training] == ["a", "b"]


def test_depth_is_paired_by_name_where_frames_lack_it(root):
    (root / "training" / "a" / "depth" / "0001.png").unlink()
    scene = SceneFolder(root).training[0]
    assert [path and path.stem for path in scene.depths] == ["0000", None, "0002", "0003"]


def test_depth_may_be_arrays(root):
    depth = root / "training" / "a" / "depth"
    (depth / "0002.png").unlink()
    np.save(depth / "0002.npy", np.full((HEIGHT, WIDTH), 3.25, np.float64))
    path = SceneFolder(root).training[0].depths[2]
    assert path.name == "0002.npy"
    assert (read_depth(path, 1000.0) == 3.25).all()


def test_hidden_files_are_no_frames(root):
    (root / "training" / "a" / "._0000.jpg").write_bytes(b"resource fork")
    assert len(SceneFolder(root).training[0].images) == 4


def spoil_cam(text):
    return lambda root: (root / "training" / "a" / "cam.txt").write_text(text)


def copied(source, target):
    def spoil(root):
        (root / "training" / target).write_bytes((root / "training" / source).read_bytes())

    return spoil


def unnumbered(root):
    for path in list((root / "training" / "b").glob("*.png")):
        path.rename(path.with_name(f"{int(path.stem) + 8}.png"))  # 8, 9, 10, 11: name order is 10, 11, 8, 9


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_cam("1 0 2 0 1 2 0 0"), ["cam.txt", "8 numbers", "expected 9"]),
        (spoil_cam("1 0 2 0 1 2 0 0 one"), ["cam.txt", "something other than numbers"]),
        (spoil_cam("nan 0 2 0 1 2 0 0 1"), ["cam.txt", "fx=nan"]),
        (spoil_cam("70 0 inf 0 70 2 0 0 1"), ["cam.txt", "finite"]),
        (spoil_cam("0 0 2 0 1 2 0 0 1"), ["cam.txt", "fx=0"]),
        (spoil_cam("70 0 0 0 70 0 47 30 1"), ["cam.txt", "0 0 1"]),  # transposed
        (lambda root: (root / "training" / "a" / "cam.txt").unlink(), ["cam.txt", "missing", "3x3"]),
        (copied("a/0000.jpg", "a/0000.png"), ["0000.jpg", "0000.png", "same frame"]),
        (copied("a/depth/0000.png", "a/depth/0009.png"), ["0009.png", "no image"]),
        (copied("a/depth/0000.png", "a/depth/0000.npy"), ["0000.png", "0000.npy", "same frame"]),
        (lambda root: (root / "training" / "train.txt").unlink(), ["train.txt", "missing"]),
        (lambda root: (root / "training" / "train.txt").write_text(" \n\n"), ["train.txt", "no scene"]),
        (lambda root: (root / "training" / "train.txt").write_text("a\nkitchen"), ["kitchen", "missing"]),
        (lambda root: [p.unlink() for p in (root / "training" / "b").glob("*.png")], ["'b'", "*.jpg or *.png"]),
        (unnumbered, ["'11.png'", "'8.png'", "zeros"]),
    ],
)
def test_what_is_wrong_with_a_scene_is_named(root, spoil, words):
    spoil(root)
    with pytest.raises(DataError) as error:
        _ = SceneFolder(root).training
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_missing_folder_says_how_to_make_one(tmp_path):
    with pytest.raises(DataError, match="scdepth extract"):
        SceneFolder(tmp_path / "nowhere")


def test_test_images_pair_by_name(root):
    for stem in ("b", "a"):
        write_image(root / "testing" / "color" / f"{stem}.jpg")
        write_depth(root / "testing" / "depth" / f"{stem}.png")
    assert [(i.name, d.name) for i, d in SceneFolder(root).testing] == [("a.jpg", "a.png"), ("b.jpg", "b.png")]
    (root / "testing" / "depth" / "b.png").unlink()
    with pytest.raises(DataError, match=r"1 of 2 .*'b.jpg' needs b.png or b.npy"):
        _ = SceneFolder(root).testing


def test_no_test_images(root):
    with pytest.raises(DataError, match="no test images"):
        _ = SceneFolder(root).testing


def test_depth_factor(root):
    assert SceneFolder(root).depth_factor == 1000  # nothing said
    (root / "dataset.yaml").write_text("depth_factor: 5000\n")
    folder = SceneFolder(root)
    assert folder.depth_factor == 5000
    assert np.allclose(read_depth(folder.training[0].depths[3], folder.depth_factor), 4000 / 5000)


@pytest.mark.parametrize("text", ["depth_factor: 0", "depth_factor: many", "- 1\n- 2", "a: [1", "depth_factor: -1"])
def test_a_bad_description_is_named(root, text):
    (root / "dataset.yaml").write_text(text)
    with pytest.raises(DataError, match=r"dataset\.yaml") as error:
        _ = SceneFolder(root).depth_factor
    assert "\n" not in str(error.value)


def test_depth_of_eight_bits_is_refused(root):
    path = root / "training" / "a" / "depth" / "0000.png"
    write_depth(path, 200, np.uint8)
    with pytest.raises(DataError, match="uint8, expected a 16-bit PNG"):
        read_depth(path, 1000)


@pytest.mark.parametrize("content", [b"", b"junk", b"\x93NUMPY\x01\x00v\x00"])
@pytest.mark.parametrize("name", ["x.png", "x.npy"])
def test_broken_depth_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        read_depth(tmp_path / name, 1000)


def test_arrays_never_run_code(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DataError, match="not an array of numbers"):
        read_depth(tmp_path / "x.npy", 1000)


def test_depth_without_a_value_is_zero(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1, np.nan], [np.inf, -np.inf]], np.float32)[None])
    assert read_depth(tmp_path / "x.npy", 1000).tolist() == [[1, 0], [0, 0]]
    np.save(tmp_path / "y.npy", np.zeros((2, 3, 4)))
    with pytest.raises(DataError, match=r"\(2, 3, 4\), expected one depth a pixel"):
        read_depth(tmp_path / "y.npy", 1000)


def test_colours_are_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "x.png"), np.full((2, 2, 3), (1, 2, 3), np.uint8))  # BGR
    assert read_image(tmp_path / "x.png")[0, 0].tolist() == [3, 2, 1]
    (tmp_path / "y.jpg").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"y\.jpg.* cannot be decoded"):
        read_image(tmp_path / "y.jpg")


def test_image_files_of_nothing(tmp_path):
    assert image_files(tmp_path / "nowhere") == []


def test_intrinsics_may_be_written_with_commas(tmp_path):
    (tmp_path / "cam.txt").write_text("70, 0, 47\n0, 65, 30\n0, 0, 1\n")
    assert read_intrinsics(tmp_path / "cam.txt").tolist() == [[70, 0, 47], [0, 65, 30], [0, 0, 1]]


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
