"""The public SC-Depth copies of data sets: laser depth in sparse matrices, units that nobody stated."""

from __future__ import annotations

import numpy as np
import pytest
from scene_samples import HEIGHT, WIDTH, write_data_set, write_image

from scdepth_core import cli
from scdepth_core.data import DepthDataset, SceneFolder
from scdepth_core.data.depth_units import warn_of_guessed_units
from scdepth_core.data.scene_folder import read_depth
from scdepth_core.errors import DataError

PIXELS = {(0, 3): 7.5, (1, 0): 2.25, (1, 95): 80.0, (63, 40): 12.0}  # (row, column): metres


def write_sparse(path, **change):
    """A matrix of 64x96 as scipy.sparse.save_npz writes one in compressed rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [row for row, _ in PIXELS]
    stored = {
        "indices": np.array([column for _, column in PIXELS], np.int32),
        "indptr": np.searchsorted(rows, np.arange(HEIGHT + 1)).astype(np.int32),
        "format": np.array(b"csr"),
        "shape": np.array([HEIGHT, WIDTH]),
        "data": np.array(list(PIXELS.values()), np.float64),
    }
    np.savez_compressed(path, **{name: value for name, value in (stored | change).items() if value is not None})


@pytest.fixture
def root(tmp_path):
    """Depth of scene `a` and of a test image as the public copies of KITTI and DDAD have it."""
    root = write_data_set(tmp_path / "set")
    for path in (root / "training" / "a" / "depth").iterdir():
        path.unlink()
        write_sparse(path.with_suffix(".npz"))
    write_image(root / "testing" / "color" / "0001.jpg")
    write_sparse(root / "testing" / "depth" / "0001.npz")
    return root


def test_laser_depth_is_metres_where_something_is_stored(root):
    folder = SceneFolder(root)
    validated = DepthDataset(folder.validation, 64, 64, folder.depth_factor)
    assert len(validated) == 4
    for depth in (validated[2]["depth"].numpy(), read_depth(folder.testing[0][1], 1000)):
        assert depth.shape == (HEIGHT, WIDTH) and depth.dtype == np.float32
        assert {(int(r), int(c)): float(depth[r, c]) for r, c in zip(*depth.nonzero())} == PIXELS


def test_the_doctor_reads_it(root, capsys):
    cli.main(["check", str(root)])
    said = capsys.readouterr().out
    assert "npz" not in said and "1 test images" in said
    write_sparse(root / "training" / "a" / "depth" / "0001.npz", format=np.array(b"coo"))
    assert cli.main(["check", str(root)]) == 1
    assert "0001.npz' is a sparse matrix in the layout 'coo', expected 'csr' – save matrix" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": np.array("coo")}, "layout 'coo', expected 'csr' – save matrix.tocsr()"),
        ({"format": None}, "not a sparse matrix as scipy saves it .*format"),
        ({"shape": np.array([HEIGHT + 1, WIDTH])}, "its entries do not fit its shape 65x96"),
        ({"shape": np.array([HEIGHT])}, "not a sparse matrix"),
        ({"indices": np.array([3, 0, 96, 40])}, "not a sparse matrix"),
        ({"indices": np.array([3, 0, -1, 40])}, "do not fit"),
        ({"data": np.array([1.0])}, "not a sparse matrix"),
        ({"data": np.array([{}], object)}, "not a sparse matrix"),
    ],
)
def test_another_layout_is_named(tmp_path, change, words):
    write_sparse(tmp_path / "x.npz", **change)
    with pytest.raises(DataError, match=f"x.npz.*{words}"):
        read_depth(tmp_path / "x.npz", 1000)


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04half", b"\x93NUMPY\x01\x00v\x00"])
def test_a_broken_file_is_named(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match="x.npz"):
        read_depth(tmp_path / "x.npz", 1000)


def test_a_single_array_is_no_matrix(tmp_path):
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, np.ones((2, 2)))
    with pytest.raises(DataError, match="not a sparse matrix"):
        read_depth(tmp_path / "x.npz", 1000)


@pytest.mark.parametrize(
    ("description", "protocol", "warned"),
    [
        (None, "nyu", "write 'preset: nyu' into it (5000 units)"),
        ("fps: 30", "kitti", "write 'preset: kitti_raw or kitti_odometry' into it (256 units)"),
        ("preset: nyu", "nyu", None),
        ("preset: bonn\ndepth_factor: 1000", "bonn", None),
        (None, "custom", None),
        (None, "7scenes", None),  # 1000 there, too
    ],
)
def test_a_guessed_unit_is_said(tmp_path, caplog, description, protocol, warned):
    root = write_data_set(tmp_path / "set")
    if description:
        (root / "dataset.yaml").write_text(description)
    folder = SceneFolder(root)
    warn_of_guessed_units(folder, protocol, folder.validation[0].depths)
    assert warned in caplog.text if warned else not caplog.text


def test_metres_need_no_unit(root, caplog):
    folder = SceneFolder(root)
    warn_of_guessed_units(folder, "kitti", folder.validation[0].depths)
    assert not caplog.text
