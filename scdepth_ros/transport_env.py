"""Environment variables that carry camera images fast: for the launch file, and whoever starts nodes by hand.

`python -m scdepth_ros.transport_env` prints them as shell lines, for a camera driver that is started elsewhere:

    eval "$(python3 -m scdepth_ros.transport_env)"
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping

from scdepth_core.share import share_file

PROFILES_FILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # before and since 3.0


def transport_env(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What to add to the environment `given`; whatever the user has set stays as it is.

    - Fast DDS's profile with a shared-memory segment that images fit into: without it best-effort subscribers lose
      three frames of four.
    - Asynchronous publishing: a cloud of 10 MB then does not hold up the thread that publishes it.
    - glibc gives large buffers back to the kernel and has them paged in again for every message, unless told to keep
      them; that is half of what it costs to receive an image.
    """
    added = {}
    if not any(name in given for name in PROFILES_FILE_VARIABLES):
        added |= dict.fromkeys(PROFILES_FILE_VARIABLES, str(share_file("config/fastdds_camera.xml")))
    defaults = {
        "RMW_FASTRTPS_PUBLICATION_MODE": "ASYNCHRONOUS",
        "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
        "MALLOC_TRIM_THRESHOLD_": str(2**30),
    }
    return added | {name: value for name, value in defaults.items() if name not in given}


if __name__ == "__main__":
    for variable, value in transport_env().items():
        print(f"export {variable}={shlex.quote(value)}")
