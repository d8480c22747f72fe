"""A camera from the YAML file that ROS's camera_calibration writes, for bags that lack camera_info."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from scdepth_core.errors import CameraError
from scdepth_core.geometry.camera import Camera


def read_calibration(path) -> Camera:
    """The camera of a calibration file (image_width, camera_matrix, distortion_coefficients, ...).

    Raises:
        CameraError: for a file that is not there, or lacks an entry.
    """
    try:
        entries = yaml.safe_load(Path(path).read_text())
        P = _matrix(entries, "projection_matrix", np.zeros(12))
        D = _matrix(entries, "distortion_coefficients", np.zeros(0))
        return Camera(
            width=int(entries["image_width"]),
            height=int(entries["image_height"]),
            K=_matrix(entries, "camera_matrix"),
            distortion_model=entries.get("distortion_model", "plumb_bob") if D.any() else "none",
            D=D if D.any() else np.zeros(0),
            R=_matrix(entries, "rectification_matrix", np.eye(3)),
            P=P if P.any() else None,
        )
    except OSError as error:
        raise CameraError(f"calibration '{path}' cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CameraError(
            f"calibration '{path}' is no file of camera_calibration ({type(error).__name__}: {error}); it needs "
            "image_width, image_height, camera_matrix and distortion_coefficients"
        ) from error


def _matrix(entries: dict, name: str, default: np.ndarray | None = None) -> np.ndarray:
    if default is not None and name not in entries:
        return default
    return np.array(entries[name]["data"], np.float64)
