"""Install scdepth_core and scdepth_ros, with pip or with colcon (build type ament_python)."""

from glob import glob

from setuptools import find_packages, setup

PACKAGE = "scdepth_ros"

CORE = [
    "torch~=2.12.0",
    "torchvision~=0.27.0",
    "pytorch-lightning>=2.6,<2.7",
    "jsonargparse[signatures]>=4.49,<5",
    "tensorboard>=2.18,<3",
    "numpy>=1.26,<3",
    "opencv-python>=4.9,<6",
    "safetensors>=0.5,<1",
    "rosbags>=0.11,<0.12",
    "matplotlib>=3.8,<4",
    "tqdm>=4.66,<5",
    "pyyaml>=6,<7",
]
# ROS 2 Jazzy itself, for machines without a ROS installation. With one, leave this extra out.
ROS = [
    "ros-jazzy-rclpy[fastrtps]~=7.1",
    "ros-jazzy-sensor-msgs~=5.3",
    "ros-jazzy-nav-msgs~=5.3",
    "ros-jazzy-std-srvs~=5.3",
    "ros-jazzy-diagnostic-msgs~=5.3",
    "ros-jazzy-lifecycle-msgs~=2.0",
]
# Independent readers of what we write, for test/test_consumers.py.
CONSUMERS = ["open3d>=0.19,<0.21"]
ONNXRUNTIME = "onnxruntime>=1.22,<2"
# Depth networks of others, which `scdepth pseudo-depth` runs for V3.
PSEUDO_DEPTH = [ONNXRUNTIME, "transformers>=4.45", "pillow>=10"]
# A GPL program, run beside this package for plots of trajectories and in one test, never imported.
TRAJECTORIES = ["evo>=1.31,<2"]
# Encoders beyond ResNet: --model.encoder timm/NAME.
TIMM = ["timm>=1.0.20,<2"]
# Faster inference than PyTorch's. On CUDA uninstall onnxruntime and install onnxruntime-gpu, which share a folder.
ONNX = ["onnx>=1.18,<2", "onnxscript>=0.5,<1", ONNXRUNTIME]
OPENVINO = ["openvino>=2026.0,<2027", "nncf>=3.0,<4"]
NCNN = ["ncnn>=1.0.20260114,<1.0.20270000", "pnnx>=20260112,<20270000"]
TEST = [
    "pytest>=8,<9.2",  # with 9.2 pytest-xdist 3.8 does not see its groups
    "pytest-timeout>=2.3,<3",
    "pytest-xdist>=3.7,<4",
    "ruff>=0.12,<1",
    "colcon-common-extensions>=0.3,<0.4",
]

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Scale-consistent monocular depth for robots: SC-Depth training, evaluation and a ROS 2 node",
    license="Apache-2.0",
    maintainer="scdepth_ros developers",
    maintainer_email="maintainers@scdepth-ros.invalid",
    packages=find_packages(include=["scdepth_core*", "scdepth_ros*"]),
    package_data={"scdepth_core": ["weights/*.safetensors", "presets.yaml"]},
    python_requires=">=3.10",
    install_requires=CORE,
    extras_require={
        "ros": ROS,
        "timm": TIMM,
        "consumers": CONSUMERS,
        "pseudo-depth": PSEUDO_DEPTH,
        "trajectories": TRAJECTORIES,
        "onnx": ONNX,
        "openvino": OPENVINO,
        "ncnn": NCNN,
        "test": [*TEST, *TIMM, *ONNX, *OPENVINO, *NCNN, *TRAJECTORIES],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", glob("launch/*.py")),
        (f"share/{PACKAGE}/config", glob("config/*.*")),
        (f"share/{PACKAGE}/config/train", glob("config/train/*")),
    ],
    entry_points={
        "console_scripts": [
            "scdepth = scdepth_core.cli:main",
            "depth_node = scdepth_ros.depth_node:main",
            "play_bag = scdepth_ros.play_bag:main",
            "record_node = scdepth_ros.record_node:main",
        ],
    },
    zip_safe=False,
)
