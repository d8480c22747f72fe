"""What people type to programs and launch files: what cannot be used is one sentence."""

import argparse
import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import pytest

from scdepth_core.errors import ConfigError
from scdepth_ros.launch_arguments import existing_file, launch_argument, or_empty, words
from scdepth_ros.ros_arguments import (
    init_ros,
    namespace,
    number_or_zero,
    only_ros_arguments,
    positive_number,
    split_ros_arguments,
    topic_name,
)

needs_ros = pytest.mark.skipif(importlib.util.find_spec("rclpy") is None, reason="ROS 2 is not installed")


def test_ros_arguments_are_kept_apart():
    assert split_ros_arguments(["bag", "--rate", "2"]) == (["bag", "--rate", "2"], [])
    line = ["bag", "--ros-args", "-r", "a:=b", "--", "--loop"]
    assert split_ros_arguments(line) == (["bag", "--loop"], ["--ros-args", "-r", "a:=b"])
    twice = ["--ros-args", "-p", "a:=1", "--", "bag", "--ros-args", "-r", "a:=b"]
    assert split_ros_arguments(twice) == (["bag"], ["--ros-args", "-p", "a:=1", "--ros-args", "-r", "a:=b"])


@pytest.mark.parametrize("line", ["-p weights:=/nope", "--weights foo", "drive"])
def test_what_a_program_without_arguments_of_its_own_does_not_know_is_one_sentence(line):
    with pytest.raises(ConfigError, match=f"^'{line}' is not understood – .*--ros-args"):
        only_ros_arguments("node", "What it does.", [*line.split(), "--ros-args", "-r", "a:=b"])
    launched = ["--ros-args", "--log-level", "info", "--ros-args", "-r", "__node:=depth_node"]
    assert only_ros_arguments("node", "What it does.", launched) == launched


@pytest.mark.parametrize(
    "kind, good, bad",
    [
        (number_or_zero, ["0", "2.5", "1e3"], ["abc", "", "-1", "nan", "inf"]),
        (positive_number, ["2.5"], ["abc", "0", "-1", "nan", "inf"]),
        (topic_name, ["image", "/cam_1/image_raw", "~/x", "{node}/x"], ["", "a b", "a-b", "/a//b", "a/", "/", "/1a"]),
        (namespace, ["", "/", "robot", "/robot/front"], ["my robot", "/a//b", "robot/", "1st", "~"]),
    ],
)
def test_texts_of_a_kind(kind, good, bad):
    for text in good:
        assert kind(text) == (text if isinstance(kind(text), str) else float(text))
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match=f"^'{text}' is not a "):
            kind(text)


@needs_ros
def test_topics_are_names_to_ros_as_well():
    from rclpy.expand_topic_name import expand_topic_name

    for name in ("image", "/cam_1/image_raw", "~/x", "{node}/x"):
        expand_topic_name(name, "node", "/")
    for name in ("", "a b", "a-b", "a/", "/", "/1a"):
        with pytest.raises(ValueError):
            expand_topic_name(name, "node", "/")


def test_a_launch_argument_that_cannot_be_used_is_named(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("")
    given = {"speed": "2", "word": "abc", "topics": "/a b", "file": str(file), "gone": "/no/file", "empty": ""}
    context = SimpleNamespace(launch_configurations=given)
    assert launch_argument(context, "speed", number_or_zero) == 2
    assert launch_argument(context, "topics", words(topic_name)) == ("/a", "b")
    assert launch_argument(context, "empty", words(topic_name)) == ()
    assert launch_argument(context, "file", existing_file) == str(file)
    assert launch_argument(context, "empty", or_empty(existing_file)) == ""
    assert launch_argument(context, "word") == "abc"
    for name, kind in [("word", number_or_zero), ("gone", existing_file), ("gone", or_empty(existing_file))]:
        with pytest.raises(ConfigError, match=f"^launch argument {name}: '{given[name]}' is not a "):
            launch_argument(context, name, kind)


@needs_ros
@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--log-level", "loud"], "Couldn't parse log level: '--log-level loud'"),
        (["-r", "image:=a b"], "Couldn't parse remap rule: '-r image:=a b'"),
        (["--foo"], "--foo"),
    ],
)
def test_what_ros_does_not_understand_is_one_sentence(arguments, reason):
    with pytest.raises(ConfigError, match="^--ros-args are not understood: ") as caught:
        init_ros(["--ros-args", *arguments])
    assert reason in str(caught.value) and "\n" not in str(caught.value) and "/src/" not in str(caught.value)


@needs_ros
def test_the_node_says_that_its_parameter_file_cannot_be_read(tmp_path):
    (tmp_path / "bad.yaml").write_text("depth_node: [")
    command = [
        sys.executable,
        "-m",
        "scdepth_ros.depth_node",
        "--ros-args",
        "--params-file",
        str(tmp_path / "bad.yaml"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and "Traceback" not in run.stderr
    assert "--ros-args are not understood: Couldn't parse params file" in run.stderr


@needs_ros
@pytest.mark.parametrize("arguments, status", [(["--help"], 0), (["-p", "weights:=/nope"], 1)])
def test_the_node_starts_with_no_command_line_that_it_does_not_understand(arguments, status):
    command = [sys.executable, "-m", "scdepth_ros.depth_node", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == status and "Traceback" not in run.stderr
    if status:
        assert "[depth_node]: '-p weights:=/nope' is not understood" in run.stderr
    else:
        assert "--ros-args -p weights:=FILE" in run.stdout and "camera_info" in run.stdout


# The end of ROS


@needs_ros
def test_the_end_of_ros_ends_quietly_what_needs_it():
    """As a signal does between two waits of an executor; any other error is one."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from scdepth_ros.shutdown import until_shutdown

    rclpy.init(args=[], domain_id=101)
    node = rclpy.create_node("ending")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        with pytest.raises(RuntimeError, match="ours"), until_shutdown():
            raise RuntimeError("ours")
        with until_shutdown():
            raise KeyboardInterrupt
        with pytest.raises(RuntimeError, match="context is not valid"):
            end_and_wait(rclpy, executor)
        with until_shutdown():
            end_and_wait(rclpy, executor)
    finally:
        rclpy.try_shutdown()


def end_and_wait(rclpy, executor) -> None:
    rclpy.try_shutdown()
    next(executor._wait_for_ready_callbacks(timeout_sec=0.1))
