"""Scene folders: what is on disk, in the right order, each thing that is wrong named with its file."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
from scene_samples import HEIGHT, WIDTH, K, write_data_set, write_depth, write_image

from scdepth_core.data import SceneFolder
from scdepth_core.data.scene_folder import image_files, read_depth, read_image, read_intrinsics
from scdepth_core.data.scene_writer import write_picture
from scdepth_core.errors import DataError


@pytest.fixture
def root(tmp_path):
    return write_data_set(tmp_path / "set")


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


@pytest.mark.parametrize(
    "stems",
    [
        ("1", "10", "2"),
        ("img_8", "img_9", "img_10"),
        ("a-001", "a-01", "a-2"),
        ("5.000", "10.000", "16.000"),  # seconds since the start
        ("t9.5", "t10.25", "t8"),
    ],
)
def test_name_order_that_is_not_time_order(root, stems):
    for path, stem in zip(sorted((root / "training" / "b").glob("*.png")), stems):
        path.rename(path.with_name(f"{stem}.png"))
    with pytest.raises(DataError, match="sorts before .* pad the numbers with zeros"):
        _ = SceneFolder(root).training


@pytest.mark.parametrize(
    "stems",
    [
        ("1305031102.1753", "1305031102.18", "1305031103.2"),
        ("1305031102.175304", "1305031102.211214", "1305031102.243211"),
        ("5", "5.125", "5.2"),
        ("05.500", "10.000", "16.0"),
        ("left_2", "right_1", "x"),
    ],
)
def test_stamps_and_names_may_be_as_they_are(root, stems):
    images = sorted((root / "training" / "b").glob("*.png"))
    images[3].unlink()
    for path, stem in zip(images, stems):
        path.rename(path.with_name(f"{stem}.png"))
    assert [image.stem for image in SceneFolder(root).training[1].images] == list(stems)


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


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("name", ["training/train.txt", "training/a/cam.txt", "dataset.yaml"])
def test_text_in_another_encoding_is_named(root, name, coding):
    (root / name).write_text("# gr\u00f6\u00dfe\n", encoding=coding)
    with pytest.raises(DataError, match=rf"{name}' is not UTF-8 text \(.*\) – save it as UTF-8$"):
        _ = SceneFolder(root).preset, SceneFolder(root).training


def nested(root):
    """Scenes a/seq and b/seq beside a and b."""
    for scene in "ab":
        shutil.copytree(root / "training" / "b", root / "training" / scene / "seq")
    return root / "training" / "train.txt", root / "training" / "val.txt"


def test_two_folders_of_the_same_name_are_two_scenes_of_one_name(root):
    train, val = nested(root)
    train.write_text("a/seq\nb/seq\n")
    with pytest.raises(DataError, match=r"'.*train.txt' lists 'a/seq' and 'b/seq', two scenes named 'seq' – rename"):
        _ = SceneFolder(root).training
    train.write_text("b/seq\n")
    val.write_text("a/seq\n")
    assert [scene.name for scene in SceneFolder(root).training] == ["seq"]
    with pytest.raises(DataError, match=r"'.*val.txt' lists 'b/seq' and 'a/seq', two scenes named 'seq' – rename"):
        _ = SceneFolder(root).validation


def test_one_folder_may_be_listed_twice(root):
    train, val = nested(root)
    train.write_text("a/seq\n./a/seq\na/seq\n")
    val.write_text("a/seq/\n")
    assert [scene.name for scene in SceneFolder(root).training] == ["seq"] * 3
    assert [scene.name for scene in SceneFolder(root).validation] == ["seq"]


def test_a_missing_folder_says_how_to_make_one(tmp_path):
    with pytest.raises(DataError, match="scdepth extract"):
        SceneFolder(tmp_path / "nowhere")


def test_the_folder_of_the_scenes_is_no_data_set(root, monkeypatch):
    with pytest.raises(DataError, match=f"training' holds the scenes of a data set – give the folder above, '{root}'"):
        SceneFolder(root / "training")
    monkeypatch.chdir(root / "training")
    with pytest.raises(DataError, match=f"give the folder above, '{root}'"):
        SceneFolder(".")


@pytest.mark.parametrize("name", ["drive_0.mcap", "drive_0.db3", "drive.bag"])
def test_a_recording_is_no_data_set(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(DataError, match="is a recording, not a data set – make one of it: scdepth extract"):
        SceneFolder(tmp_path)


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


@pytest.mark.parametrize("name", ["depth_facto", "depth-factor", "Depth_Factor"])
def test_a_misspelt_entry_of_the_description_is_named(root, name):
    (root / "dataset.yaml").write_text(f"{name}: 5000\n")
    with pytest.raises(DataError, match=f"dataset.yaml' has '{name}', which nothing reads – write 'depth_factor'"):
        _ = SceneFolder(root).depth_factor


def test_the_description_may_hold_notes(root):
    (root / "dataset.yaml").write_text("source: a shed\nfps: 30\n2026: {rain: true}\ndepth_factor: 5000\n")
    assert SceneFolder(root).depth_factor == 5000


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


def archive(path):
    with path.open("wb") as file:
        np.savez(file, depth=np.ones((4, 4)))


def array(shape, dtype):
    return lambda path: np.save(path, np.zeros(shape, dtype))


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (archive, "is not an array of numbers (it is an archive of several)"),
        (lambda path: path.write_bytes(b"PK\x03\x04 cut off"), "is not an array of numbers"),
        (array((4, 4), [("near", "f4"), ("far", "f4")]), "is not an array of numbers (it holds"),
        (array((4, 4), "U3"), "is not an array of numbers (it holds <U3)"),
        (array((4, 4), np.complex64), "is not an array of numbers (it holds complex64)"),
        (array((0, 96), np.float32), "has shape (0, 96), expected one depth a pixel"),
        (array((64, 0), np.float32), "has shape (64, 0), expected one depth a pixel"),
    ],
)
def test_arrays_that_are_no_depth_are_named(tmp_path, write, words):
    write(tmp_path / "x.npy")
    with pytest.raises(DataError) as error:
        read_depth(tmp_path / "x.npy", 1000)
    assert str(error.value).startswith(f"'{tmp_path / 'x.npy'}' {words}") and "\n" not in str(error.value)


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


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_picture_that_is_cut_off_is_refused_wherever_the_cut_is(tmp_path, suffix):
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    whole = cv2.imencode(f".{suffix}", picture)[1].tobytes()
    path = tmp_path / f"x.{suffix}"
    for kept in (0, 1, 300, len(whole) // 2, len(whole) - 30, *([len(whole) - 1] if suffix == "jpg" else [])):
        path.write_bytes(whole[:kept])
        with pytest.raises(DataError, match=rf"x\.{suffix}' (is cut off \({kept} bytes\)|cannot be decoded)"):
            read_image(path)


def test_what_cameras_put_around_the_pixels_of_a_jpeg_does_no_harm(tmp_path):
    """A thumbnail with its own end marker in the header; zeros or a film behind the end."""
    picture = np.full((48, 64, 3), 90, np.uint8)
    whole = cv2.imencode(".jpg", picture)[1].tobytes()
    thumbnail = b"\xff\xe1" + (len(whole) + 2).to_bytes(2, "big") + whole
    path = tmp_path / "x.jpg"
    path.write_bytes(whole[:2] + thumbnail + whole[2:] + bytes(5000) + b"\xff\xda film")
    assert read_image(path).shape == (48, 64, 3)
    path.write_bytes(whole[:2] + thumbnail + whole[2:-20])
    with pytest.raises(DataError, match="is cut off"):
        read_image(path)


def test_a_picture_that_may_not_be_read_says_so(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jpg' cannot be read \(No such file"):
        read_image(tmp_path / "gone.jpg")


def test_image_files_of_nothing(tmp_path):
    assert image_files(tmp_path / "nowhere") == []


def test_intrinsics_may_be_written_with_commas(tmp_path):
    (tmp_path / "cam.txt").write_text("70, 0, 47\n0, 65, 30\n0, 0, 1\n")
    assert read_intrinsics(tmp_path / "cam.txt").tolist() == [[70, 0, 47], [0, 65, 30], [0, 0, 1]]


# --- writing ------------------------------------------------------------------------------------------------------


def test_a_picture_that_cannot_be_written_says_why(tmp_path):
    picture = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(DataError, match=r"a.png' could not be written \(No such file or directory\)"):
        write_picture(tmp_path / "nowhere" / "a.png", picture)
    (tmp_path / "b.jpg").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"b.jpg' could not be written \(No space left on device\)"):
        write_picture(tmp_path / "b.jpg", picture)
