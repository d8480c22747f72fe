"""Run depth_node from a colcon install tree: it must start, become active and end when asked. Used by `make colcon`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ACTIVE = "waiting for images"


def main(install: Path) -> int:
    """Exit status 0 when the installed node did all that; its output otherwise."""
    executable = install.resolve() / "scdepth_ros" / "lib" / "scdepth_ros" / "depth_node"
    script = f'. "{install.resolve()}/setup.sh" && exec "{executable}"'
    environment = {**os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryDirectory() as elsewhere:  # where the source tree is not in the way
        node = subprocess.Popen(
            ["sh", "-c", script],
            cwd=elsewhere,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        signal.alarm(120)  # a node that hangs ends this script, and that fails the build
        lines = []
        for line in node.stdout:
            lines.append(line)
            if ACTIVE in line:
                node.send_signal(signal.SIGINT)
        status = node.wait()
    output = "".join(lines)
    good = status == 0 and ACTIVE in output
    print(f"{executable.relative_to(install.resolve().parent)}: {'active, ended cleanly' if good else output}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
