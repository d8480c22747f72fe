"""Which image decoder to use: cv_bridge where it works, ours where it does not. Both give equal arrays.

cv_bridge of ROS 2 Humble and Jazzy is built against NumPy 1; beside the NumPy 2 that PyTorch brings it fails to
import, or takes the process with it when called. Others of its name, on PyPI, lack encodings. So it is tried in a
process of its own, on every encoding, before it is trusted.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from scdepth_ros.messages.decode import decode_image
from scdepth_ros.messages.layout import COLOR_ENCODINGS, Encoding, encoding_of, pixels

# The encodings that cv_bridge of every supported ROS distribution knows.
CV_BRIDGE_ENCODINGS = (
    *("rgb8", "bgr8", "rgba8", "bgra8", "mono8"),
    *("rgb16", "bgr16", "rgba16", "bgra16", "mono16"),
    *("yuv422", "yuv422_yuy2"),
    *(f"bayer_{order}{bits}" for bits in (8, 16) for order in ("rggb", "bggr", "gbrg", "grbg")),
)
TRIAL_TIMEOUT = 30.0  # seconds


def image_decoder() -> Callable[[object], np.ndarray]:
    """A function with the contract of `decode_image`."""
    return decode_with_cv_bridge if cv_bridge_works() else decode_image


def cv_bridge_works() -> bool:
    """True when cv_bridge is installed and, beside this NumPy and OpenCV, decodes every encoding as we do."""
    if importlib.util.find_spec("cv_bridge") is None:
        return False
    trial = [sys.executable, "-c", f"from {__name__} import try_cv_bridge; try_cv_bridge()"]
    try:
        return subprocess.run(trial, capture_output=True, timeout=TRIAL_TIMEOUT, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def try_cv_bridge() -> None:
    """Decode a small picture of every encoding with cv_bridge.

    Raises:
        Exception: whatever cv_bridge raises; an AssertionError where its array is not equal to ours.
    """
    rng = np.random.default_rng(0)
    for name in CV_BRIDGE_ENCODINGS:
        step = 8 * COLOR_ENCODINGS[name].pixel_bytes
        data = rng.integers(0, 256, 6 * step, np.uint8).tobytes()
        msg = SimpleNamespace(encoding=name, width=8, height=6, step=step, is_bigendian=0, data=data)
        np.testing.assert_array_equal(decode_with_cv_bridge(msg), decode_image(msg), err_msg=name, strict=True)


def decode_with_cv_bridge(msg) -> np.ndarray:
    """`decode_image`, with the conversion done by cv_bridge where it reads the message rightly."""
    if getattr(msg, "encoding", None) not in CV_BRIDGE_ENCODINGS:
        return decode_image(msg)
    encoding = encoding_of(msg, COLOR_ENCODINGS)
    if not _reads_rightly(msg, encoding):
        return decode_image(msg)
    from cv_bridge import CvBridge

    pixels(msg, encoding)  # raises our sentence when sizes contradict each other
    return CvBridge().imgmsg_to_cv2(msg, "mono8" if msg.encoding.startswith("mono") else "rgb8")


def _reads_rightly(msg, encoding: Encoding) -> bool:
    """Whether cv_bridge does: rows padded by less than a pixel come out skewed, and for an image marked as big-endian,
    be it one of bytes, it asks NumPy for what version 2 has no more."""
    return not msg.is_bigendian and msg.step == msg.width * encoding.pixel_bytes
