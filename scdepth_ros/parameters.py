"""The parameters of depth_node: one table from which they are declared, checked and documented.

`python -m scdepth_ros.parameters` prints the table in Markdown, as it stands in the README.
"""

from __future__ import annotations

from dataclasses import dataclass

from scdepth_core.arguments import LARGEST_SCALE
from scdepth_core.errors import ConfigError
from scdepth_ros.parameter import CONFIGURE, NOW, START, Parameter

PARAMETERS = (
    Parameter("weights", "", "File of trained weights; empty takes the starter weights of the package.", CONFIGURE),
    Parameter(
        "device",
        "auto",
        "Where the network runs; auto takes the first CUDA device, or the CPU without one.",
        CONFIGURE,
        pattern=r"auto|cpu|cuda(:\d+)?",
        allowed="auto, cpu, cuda or cuda:N",
    ),
    Parameter(
        "backend",
        "auto",
        "What runs the network; auto takes OpenVINO or ncnn on a CPU where they are installed, else PyTorch.",
        CONFIGURE,
        pattern="auto|torch|compiled|cuda-graph|onnxruntime|tensorrt|openvino|ncnn",
        allowed="auto, torch, compiled, cuda-graph, onnxruntime, tensorrt, openvino or ncnn",
    ),
    Parameter(
        "precision",
        "auto",
        "Numbers that the network computes with; auto is float32, or what an exported file was exported in.",
        CONFIGURE,
        pattern="auto|float32|bfloat16|float16|int8",
        allowed="auto, float32, bfloat16, float16 or int8",
    ),
    Parameter(
        "threads", 0, "CPU threads of the network; 0 takes all cores but one, at least one.", CONFIGURE, low=0, high=256
    ),
    Parameter(
        "image_transport",
        "raw",
        "raw subscribes `image`, compressed subscribes `image/compressed` (JPEG or PNG).",
        CONFIGURE,
        pattern="raw|compressed",
        allowed="raw or compressed",
    ),
    Parameter(
        "camera_info_sync",
        "latest",
        "latest takes the newest camera_info, exact the one with the image's stamp, and waits 0.2 s for it.",
        CONFIGURE,
        pattern="latest|exact",
        allowed="latest or exact",
    ),
    Parameter("autostart", True, "Configure and activate at start; false waits for a lifecycle manager.", START),
    Parameter(
        "metres_per_unit",
        0.0,
        "Metres per unit of the network's depth; 0 takes the scale in the weights, and where they have none, depth is "
        "published in network units with a warning. What scale.source measures begins here and takes its place.",
        low=0.0,
        high=LARGEST_SCALE,
    ),
    Parameter(
        "scale.source",
        "fixed",
        "How the scale is measured: not at all, or by `odom`, the height of the camera or `reference_depth`; each has "
        "another input below.",
        CONFIGURE,
        pattern="fixed|odometry|camera_height|reference_depth",
        allowed="fixed, odometry, camera_height or reference_depth",
    ),
    Parameter(
        "scale.camera_height",
        0.0,
        "Of the lens over the ground, metres; camera_height needs it, or scale.ground_frame.",
        CONFIGURE,
        low=0.0,
        high=100.0,
    ),
    Parameter(
        "scale.camera_pitch",
        0.0,
        "Degrees that the camera looks down, give or take 25; for camera_height.",
        CONFIGURE,
        low=-90.0,
        high=90.0,
    ),
    Parameter(
        "scale.ground_frame",
        "",
        "Frame of TF whose z = 0 plane is the ground, such as base_footprint: gives height and pitch of the camera.",
        CONFIGURE,
    ),
    Parameter(
        "scale.fixed_frame",
        "",
        "Frame of TF in which the camera travels, such as odom: takes the place of the topic `odom` and of "
        "scale.lever_arm.",
        CONFIGURE,
    ),
    Parameter(
        "scale.reference",
        "raw",
        "What reference depth comes as: an image on `reference_depth`, `reference_depth/compressed` (16-bit PNG) or "
        "`reference_depth/compressedDepth`, or points on `reference_points`, placed by TF.",
        CONFIGURE,
        pattern="raw|compressed|compressedDepth|points",
        allowed="raw, compressed, compressedDepth or points",
    ),
    Parameter(
        "scale.min_travel", 0.1, "Metres between two frames that odometry compares.", CONFIGURE, low=0.001, high=100.0
    ),
    Parameter(
        "scale.max_rotation_share",
        0.8,
        "Share of the motion in the picture that rotation may have; for odometry.",
        CONFIGURE,
        low=0.01,
        high=1.0,
    ),
    Parameter(
        "scale.lever_arm",
        0.2,
        "Metres that the frame of the odometry may be away from the camera; turns count less, the longer it is.",
        CONFIGURE,
        low=0.0,
        high=100.0,
    ),
    Parameter(
        "scale.max_step",
        0.005,
        "Largest relative change of the scale by one measurement.",
        CONFIGURE,
        low=0.00001,
        high=1.0,
    ),
    Parameter("min_depth", 0.0, "Depth below is invalid, metres.", low=0.0, high=1000.0),
    Parameter("max_depth", 100.0, "Depth beyond is invalid, metres.", low=0.0, high=10000.0),
    Parameter(
        "depth_encoding",
        "32FC1",
        "Of depth/image_rect: 32FC1 is metres with NaN for none, 16UC1 millimetres with 0 for none.",
        pattern="32FC1|16UC1",
        allowed="32FC1 or 16UC1",
    ),
    Parameter(
        "edge_slope",
        0.0,
        "Flying pixels at edges: depth that changes by more than this, metres for each metre sideways, is invalid; "
        "about 10 does, 0 keeps all.",
        low=0.0,
        high=1000.0,
    ),
    Parameter(
        "flip_tolerance",
        0.0,
        "Depth that differs by more than this share from that of the mirrored picture is invalid; 0 keeps all, and "
        "saves the network a second run.",
        low=0.0,
        high=1.0,
    ),
    Parameter(
        "temporal_tolerance",
        0.0,
        "Depth that the frame before contradicts, by a difference of more than this share of the sum, is invalid; "
        "about 0.1 does, 0 keeps all and does not load PoseNet, which tells the motion between the frames.",
        CONFIGURE,
        low=0.0,
        high=0.99,
    ),
    Parameter(
        "motion_weights",
        "",
        "File with the PoseNet of the same training, for temporal_tolerance: the checkpoint that weights are from, or "
        "packed --with-motion; one that was trained with another DepthNet is refused; empty takes that in weights.",
        CONFIGURE,
    ),
    Parameter("cloud_decimation", 1, "The cloud has every n-th pixel of every n-th row.", low=1, high=64),
    Parameter(
        "cloud_layout",
        "pcl",
        "Bytes of a point: pcl has 32, as PCL keeps a point in memory, packed 16, the same without padding: half the "
        "data on the network and in recordings.",
        pattern="pcl|packed",
        allowed="pcl or packed",
    ),
    Parameter("cloud_max_depth", 100.0, "Points beyond are left out of the cloud, metres.", low=0.0, high=10000.0),
    Parameter("colorized_min", 0.3, "Near end of the colours of depth/colorized, metres.", low=0.0, high=1000.0),
    Parameter("colorized_max", 10.0, "Far end of the colours of depth/colorized, metres.", low=0.0, high=10000.0),
)
FIXED = "fixed"  # the scale.source that measures nothing
BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


@dataclass(frozen=True)
class NodeSettings:
    """Values of all PARAMETERS, checked one by one and against each other; dots in names became underscores.

    Raises:
        ConfigError: naming the parameter, its value and what is allowed.
    """

    weights: str
    device: str
    backend: str
    precision: str
    threads: int
    image_transport: str
    camera_info_sync: str
    autostart: bool
    metres_per_unit: float
    scale_source: str
    scale_camera_height: float
    scale_camera_pitch: float
    scale_ground_frame: str
    scale_fixed_frame: str
    scale_reference: str
    scale_min_travel: float
    scale_max_rotation_share: float
    scale_lever_arm: float
    scale_max_step: float
    min_depth: float
    max_depth: float
    depth_encoding: str
    edge_slope: float
    flip_tolerance: float
    temporal_tolerance: float
    motion_weights: str
    cloud_decimation: int
    cloud_layout: str
    cloud_max_depth: float
    colorized_min: float
    colorized_max: float

    def __post_init__(self):
        for parameter in PARAMETERS:
            object.__setattr__(self, parameter.field, parameter.checked(getattr(self, parameter.field)))
        for low, high in (("min_depth", "max_depth"), ("colorized_min", "colorized_max")):
            a, b = getattr(self, low), getattr(self, high)
            if a >= b:
                raise ConfigError(f"{low} is {a:g} and {high} is {b:g}, expected {low} below {high}")
        if self.scale_source == "camera_height" and not (self.scale_camera_height or self.scale_ground_frame):
            raise ConfigError(
                "scale.source is 'camera_height' and scale.camera_height is 0, expected its metres, or a frame of TF "
                "on the ground in scale.ground_frame"
            )

    @classmethod
    def of(cls, values: dict) -> NodeSettings:
        """Settings of values by parameter name."""
        return cls(**{BY_NAME[name].field: value for name, value in values.items()})

    def value(self, name: str):
        """The value of a parameter by its name."""
        return getattr(self, BY_NAME[name].field)

    def for_pipeline(self) -> dict:
        """The fields of scdepth_core's PipelineSettings."""
        return {
            "metres_per_unit": self.metres_per_unit or None,
            "min_depth": self.min_depth,
            "max_depth": self.max_depth,
            "edge_slope": self.edge_slope,
            "flip_tolerance": self.flip_tolerance,
            "cloud_step": self.cloud_decimation,
            "cloud_layout": self.cloud_layout,
            "cloud_max_depth": self.cloud_max_depth,
            "color_low": self.colorized_min,
            "color_high": self.colorized_max,
        }

    def for_scale(self) -> dict | None:
        """The fields of scdepth_core's ScaleSettings; None while the scale is not measured."""
        if self.scale_source == FIXED:
            return None
        return {p.name.removeprefix("scale."): self.value(p.name) for p in PARAMETERS if p.name.startswith("scale.")}


def markdown_table() -> str:
    """The table for people who read the README."""
    when = {START: "at start", CONFIGURE: "on configure", NOW: "at once"}
    lines = [
        "| parameter | type | default | allowed | takes effect | meaning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for p in PARAMETERS:
        default = str(p.default).lower() if isinstance(p.default, bool) else p.default or repr(p.default)
        cells = (f"`{p.name}`", p.type_name, f"`{default}`", p.constraint, when[p.applies], p.description)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown_table())
