"""The house keeps its floors: imports go down, and scdepth_core never touches ROS."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {  # longest prefix wins
    "scdepth_core.errors": 1,
    "scdepth_core.finished_file": 1,
    "scdepth_core.arguments": 1,
    "scdepth_core.channels": 1,
    "scdepth_core.compiling": 1,
    "scdepth_core.machine": 1,
    "scdepth_core.measuring": 1,
    "scdepth_core.presets": 1,
    "scdepth_core.share": 1,
    "scdepth_core.text_file": 1,
    "scdepth_core.metrics": 1,
    "scdepth_core.evaluation": 1,
    "scdepth_core.visualization": 1,
    "scdepth_core.networks": 1,
    "scdepth_core.geometry": 2,
    "scdepth_core.checkpoint": 2,
    "scdepth_core.pickled_checkpoint": 2,
    "scdepth_core.network_fingerprint": 2,
    "scdepth_core.weights_metadata": 2,
    "scdepth_core.public_checkpoints": 2,
    "scdepth_core.losses": 3,
    "scdepth_core.data": 3,
    "scdepth_core.inference": 3,
    "scdepth_core.scale": 3,
    "scdepth_core.training": 4,
    "scdepth_ros": 4,
    "scdepth_core.cli": 5,
    "scdepth_core.bench": 5,
    "scdepth_ros.demo": 5,
}
ROS_PACKAGES = (
    *("rclpy", "sensor_msgs", "nav_msgs", "std_msgs", "std_srvs", "diagnostic_msgs", "lifecycle_msgs", "geometry_msgs"),
    *("builtin_interfaces", "cv_bridge", "launch", "launch_ros", "ament_index_python", "rosbag2_py", "rosbags"),
)
STRANGERS = [("scdepth_core.training", "scdepth_core.inference"), ("scdepth_core.inference", "scdepth_core.training")]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def modules() -> dict[str, Path]:
    paths = [p for package in ("scdepth_core", "scdepth_ros") for p in (ROOT / package).rglob("*.py")]
    return {module_name(p): p for p in paths}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside functions, and modules it names for importing later."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import, write the whole name"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def floor(module: str) -> int | None:
    owners = [prefix for prefix in FLOORS if within(module, prefix)]
    return FLOORS[max(owners, key=len)] if owners else None


def upward(module: str, imported: set[str]) -> list[str]:
    here = floor(module)
    return sorted(i for i in imported if here is not None and floor(i) is not None and floor(i) > here)


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_down(module):
    imported = imports(modules()[module])
    assert not upward(module, imported)
    for one, other in STRANGERS:
        if within(module, one):
            assert not [i for i in imported if within(i, other)], f"{one} and {other} never import each other"


@pytest.mark.parametrize("module", sorted(m for m in modules() if within(m, "scdepth_core")))
def test_core_never_imports_ros(module):
    imported = imports(modules()[module])
    assert not [i for i in imported if any(within(i, p) for p in (*ROS_PACKAGES, "scdepth_ros"))]


@pytest.mark.parametrize("module", sorted(m for m in modules() if within(m, "scdepth_ros")))
def test_ros_side_never_trains(module):
    assert not [i for i in imports(modules()[module]) if within(i, "scdepth_core.training")]


def test_every_module_lives_on_a_floor():
    homeless = [m for m in modules() if floor(m) is None and m != "scdepth_core"]
    assert not homeless


def test_the_test_sees_an_upward_arrow():
    assert upward("scdepth_core.metrics", {"scdepth_core.data"}) == ["scdepth_core.data"]
    assert not upward("scdepth_core.losses.consistency", {"scdepth_core.geometry.warping", "numpy"})
