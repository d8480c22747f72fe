"""An independent consumer tracks the camera on what we export: Open3D's RGB-D odometry on a rendered drive."""

import numpy as np
import pytest
from open3d_odometry import track, trajectory_errors

from scdepth_ros.demonstration.synthetic_bag import record_drive
from scdepth_ros.export_tum import export_tum
from scdepth_ros.extraction.settings import ExtractionSettings


def test_errors_by_hand():
    """A square, turned and moved, is the same path; twice as large it is off by its own half diagonal."""
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    turned = square @ np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]) + (3, 4, 5)
    assert trajectory_errors(turned, square) == pytest.approx((0, 1))
    assert trajectory_errors(2 * turned, square) == pytest.approx((np.sqrt(0.5), 2))
    assert trajectory_errors(turned, turned * (1, 1, -1)) == pytest.approx((0, 1))


@pytest.mark.timeout(300)
def test_open3d_tracks_true_depth(tmp_path):
    try:
        import open3d  # noqa: F401
    except ImportError as error:
        pytest.skip(f"open3d cannot be imported ({error}) – pip install '.[consumers]'")
    record_drive(tmp_path / "drive", seed=900_003, frames=16, fps=10.0, size=(160, 120), kind="room")
    report = export_tum(tmp_path / "drive", tmp_path / "tum", ExtractionSettings(), 5000)
    assert report["images"] == report["depths"] == report["poses"] == 16 and report["overflows"] == 0
    result = track(tmp_path / "tum")
    assert result.lost == 0 and result.length > 0.5
    assert result.ate < 0.02 * result.length and abs(result.scale - 1) < 0.03
