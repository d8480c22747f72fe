"""How RGB-D SLAM systems are connected to depth_node: nodes, parameters and remappings, as plain values.

All of them get the relayed image and the depth made of it, which carry the same stamp; so nothing has to be matched
approximately, and depth that comes late costs no frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scdepth_core.errors import ConfigError
from scdepth_ros.topics import DEPTH, RGB, RGB_INFO

SYSTEMS = ("rtabmap", "orbslam3")
QUEUE = 30  # messages: a second of a camera while the system is busy


@dataclass(frozen=True)
class SlamNode:
    """What launch's Node action takes.

    Attributes:
        package, executable: where the program is.
        arguments: of its command line.
        parameters: ROS parameters by name.
        remappings: (name in the program, topic) pairs.
    """

    package: str
    executable: str
    arguments: list[str] = field(default_factory=list)
    parameters: dict[str, object] = field(default_factory=dict)
    remappings: list[tuple[str, str]] = field(default_factory=list)


def slam_nodes(
    system: str,
    namespace: str = "",
    frame_id: str = "base_link",
    odom_topic: str = "",
    vocabulary: str = "",
    settings: str = "",
    use_sim_time: bool = False,
) -> list[SlamNode]:
    """The nodes to start beside depth_node.

    Args:
        system: one of SYSTEMS.
        namespace: depth_node's.
        frame_id: the robot's own frame; TF must lead from it to the camera's optical frame (RTAB-Map).
        odom_topic: the robot's odometry for RTAB-Map; without, it makes its own of the images.
        vocabulary, settings: files of ORB-SLAM3; settings as `scdepth export-tum` writes them, with
            RGBD.DepthMapFactor 1.0 and Camera.RGB 1 for live topics.

    Raises:
        ConfigError: for another system, or ORB-SLAM3 without its files.
    """
    if system == "rtabmap":
        return _rtabmap(namespace, frame_id, odom_topic, use_sim_time)
    if system != "orbslam3":
        raise ConfigError(f"slam is '{system}', expected one of {', '.join(SYSTEMS)}")
    if not (vocabulary and settings):
        raise ConfigError("orbslam3 needs two files – give vocabulary:=ORBvoc.txt and settings:=orb_slam3.yaml")
    return [
        SlamNode(
            "orbslam3",
            "rgbd",
            [vocabulary, settings],
            {"use_sim_time": use_sim_time},
            [("camera/rgb", topic(namespace, RGB)), ("camera/depth", topic(namespace, DEPTH))],
        )
    ]


def topic(namespace: str, name: str) -> str:
    """The full name of one of depth_node's topics."""
    return f"/{namespace.strip('/')}/{name}" if namespace.strip("/") else f"/{name}"


def _rtabmap(namespace: str, frame_id: str, odom_topic: str, use_sim_time: bool) -> list[SlamNode]:
    images = [
        ("rgb/image", topic(namespace, RGB)),
        ("depth/image", topic(namespace, DEPTH)),
        ("rgb/camera_info", topic(namespace, RGB_INFO)),
    ]
    common = {
        "frame_id": frame_id,
        "subscribe_depth": True,
        "approx_sync": False,
        "sync_queue_size": QUEUE,
        "queue_size": QUEUE,  # the same, by its name in Humble
        "use_sim_time": use_sim_time,
    }
    odometry = SlamNode("rtabmap_odom", "rgbd_odometry", parameters=common, remappings=images)
    # The odometry comes with another stamp than the images when it is the robot's own.
    mapping = {**common, "approx_sync": bool(odom_topic)}
    remappings = [*images, ("odom", odom_topic)] if odom_topic else images
    slam = SlamNode("rtabmap_slam", "rtabmap", parameters=mapping, remappings=remappings)
    return [slam] if odom_topic else [odometry, slam]
