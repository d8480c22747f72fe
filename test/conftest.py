"""What several test modules share: a small rendered data set, and weights of an untrained network."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal

import pytest
import torch

from scdepth_core import cli
from scdepth_core.checkpoint import save_weights
from scdepth_core.data import SceneFolder
from scdepth_core.networks import DepthNet
from scdepth_core.weights_metadata import WeightsMetadata

with contextlib.suppress(ImportError):  # where ROS 2 is not installed, tests with nodes skip
    from ros_harness import RosProcess, bench  # noqa: F401 - bench is a fixture

    @pytest.fixture(autouse=True)
    def nothing_left_running():
        """Processes that a test started and, having failed, did not stop; those of its module's fixtures stay."""
        before = list(RosProcess.running)
        yield
        for process in [process for process in RosProcess.running if process not in before]:
            process.stop()


# Files that start nodes. They run one after the other, also where several workers share the tests: nodes that wait for
# a core miss their deadlines, and each file would take the shared memory of another for its own left-overs.
RUN_NODES = (
    *("test_bench_node", "test_consumers", "test_demo", "test_depth_node", "test_launch", "test_node_backends"),
    *("test_node_relay", "test_node_scale", "test_node_transforms", "test_play_bag", "test_recording", "test_view"),
)

DATA_OPTIONS = (
    *("--scenes", "2", "--validation-scenes", "1", "--test-frames", "2", "--frames", "8"),
    *("--size", "80x64", "--workers", "1", "--seed", "5"),
)


if "PYTEST_XDIST_WORKER" in os.environ:  # which is deaf to SIGINT, and so would be all that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_itemcollected(item):
    """Which tests stay on one worker of pytest-xdist: those of a file, which share fixtures, and all that run nodes."""
    file = item.path.stem
    item.add_marker(pytest.mark.xdist_group("nodes" if file in RUN_NODES else file))


@pytest.fixture(scope="session", autouse=True)
def engine_cache(tmp_path_factory):
    """Converted networks of this run go here and not into the user's cache; processes that tests start obey, too."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    yield folder / "scdepth"
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """A data set as `scdepth synthesize` writes it: 2 + 1 scenes of 8 frames and 2 test images, 80x64 pixels."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    assert cli.main(["synthesize", str(root), *DATA_OPTIONS]) == 0
    return root


@pytest.fixture
def own_data(tiny_data, tmp_path):
    """A copy of the small data set that a test may spoil."""
    return shutil.copytree(tiny_data, tmp_path / "data")


@pytest.fixture(scope="session")
def untrained_network():
    """DepthNet with seeded random weights, evaluating."""
    torch.manual_seed(0)
    return DepthNet("resnet18").eval()


@pytest.fixture(scope="session")
def untrained_weights(untrained_network, tmp_path_factory):
    """An inference file of that network, for 64x96 (HxW) input and without a scale."""
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_weights(path, untrained_network.state_dict(), WeightsMetadata(height=64, width=96, dataset="nothing"))
    return path


@pytest.fixture
def imported(tmp_path, capsys):
    """`scdepth import`, giving the data set that it writes; what it says is in `summary`."""

    def run(layout, source, *options):
        given = ["import", layout, source, tmp_path / "out", "--json", *options]
        assert cli.main([str(word) for word in given]) == 0
        run.summary = json.loads(capsys.readouterr().out)
        return SceneFolder(tmp_path / "out")

    return run
