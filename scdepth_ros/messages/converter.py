"""Which image decoder to use: cv_bridge where it works, ours where it does not. Both give equal arrays.

cv_bridge of ROS 2 Humble and Jazzy is built against NumPy 1; beside the NumPy 2 that PyTorch brings it fails to
import, or takes the process with it when called. So it is tried in a process of its own before it is trusted.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable

import numpy as np

from scdepth_ros.messages.decode import decode_image
from scdepth_ros.messages.layout import COLOR_ENCODINGS, encoding_of, pixels

# The encodings that cv_bridge of every supported ROS distribution converts as we do.
CV_BRIDGE_ENCODINGS = (
    "rgb8",
    "bgr8",
    "rgba8",
    "bgra8",
    "mono8",
    *(f"bayer_{o}8" for o in ("rggb", "bggr", "gbrg", "grbg")),
)

_TRIAL = """
import numpy
from cv_bridge import CvBridge
image = CvBridge().cv2_to_imgmsg(numpy.arange(48, dtype=numpy.uint8).reshape(4, 4, 3), "bgr8")
rgb = CvBridge().imgmsg_to_cv2(image, "rgb8")
assert rgb.shape == (4, 4, 3) and rgb[0, 0].tolist() == [2, 1, 0]
"""


def image_decoder() -> Callable[[object], np.ndarray]:
    """A function with the contract of `decode_image`."""
    return decode_with_cv_bridge if cv_bridge_works() else decode_image


def cv_bridge_works() -> bool:
    """True when cv_bridge is installed and survives one conversion beside this NumPy."""
    if importlib.util.find_spec("cv_bridge") is None:
        return False
    trial = subprocess.run([sys.executable, "-c", _TRIAL], capture_output=True, timeout=30, check=False)
    return trial.returncode == 0


def decode_with_cv_bridge(msg) -> np.ndarray:
    """`decode_image`, with the conversion done by cv_bridge where it knows the encoding."""
    if getattr(msg, "encoding", None) not in CV_BRIDGE_ENCODINGS:
        return decode_image(msg)
    from cv_bridge import CvBridge

    pixels(msg, encoding_of(msg, COLOR_ENCODINGS))  # raises our sentence when sizes contradict each other
    return CvBridge().imgmsg_to_cv2(msg, "mono8" if msg.encoding == "mono8" else "rgb8")
