"""The way of a frame inside one process: message, pipeline, messages; no DDS.

Every round runs the bare network and then a whole frame for each kind of cloud, so that a busy machine slows all alike.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import asdict

import numpy as np
from tqdm import tqdm

from scdepth_core.inference.estimator import DepthEstimator
from scdepth_core.inference.pipeline import FramePipeline
from scdepth_core.inference.threads import limit_threads
from scdepth_core.machine import MemoryMeter, describe_machine, resolve_device
from scdepth_core.measuring import in_own_process, spread
from scdepth_ros.benchmark.subject import Cloud, Network, View

WARM_UP = 5
FULL, PACKED, DECIMATED = Cloud(1), Cloud(1, "packed"), Cloud(2)
STAGES = (
    *("decode", "rectify", "pre", "network", "post", "mask", "cloud"),
    *("depth message", "camera_info message", "cloud message"),
)


class TimedEstimator(DepthEstimator):
    """A DepthEstimator that tells how long it prepared the picture, ran the network and enlarged the depth.

    Attributes:
        stages: milliseconds of the last frame: pre, network, post.
    """

    def __init__(self, estimator: DepthEstimator):
        self._timed = _TimedBackend(estimator.backend)
        super().__init__(self._timed, estimator.metadata)
        self.stages: dict[str, float] = {}

    def predict(self, rgb: np.ndarray) -> np.ndarray:
        began = time.perf_counter()
        depth = super().predict(rgb)
        ended = time.perf_counter()
        edges = (began, self._timed.began, self._timed.ended, ended)
        self.stages = dict(zip(("pre", "network", "post"), np.diff(edges).tolist()))
        self.stages = {stage: 1e3 * seconds for stage, seconds in self.stages.items()}
        return depth


class _TimedBackend:
    """A backend that remembers when its last frame began and ended, seconds."""

    def __init__(self, backend):
        self._backend, self.device = backend, backend.device
        self.began = self.ended = 0.0

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        self.began = time.perf_counter()
        depth = self._backend.predict(pixels)
        self.ended = time.perf_counter()
        return depth


class FrameWay:
    """Does with a message what depth_node does with one, up to publishing."""

    def __init__(self, estimator: TimedEstimator, view: View, cloud: Cloud):
        from scdepth_ros.benchmark.messages import info_message, picture_message
        from scdepth_ros.inputs import Calibration
        from scdepth_ros.messages import CameraInfoBuffer

        self._estimator, self._cloud = estimator, cloud
        self._pipeline = FramePipeline(estimator, cloud_step=cloud.step, cloud_layout=cloud.layout)
        self._image, self._info, self._calibration = picture_message(view), info_message(view), Calibration()
        self._info_out, self._buffer = CameraInfoBuffer(), None

    def run(self) -> dict[str, float]:
        """Milliseconds by stage of one frame, and in all."""
        from scdepth_ros.messages import CloudBuffer, decode_image, encode_depth

        header, clock = self._image.header, [time.perf_counter()]
        rgb = decode_image(self._image)
        camera = self._calibration.camera(self._info)
        clock.append(time.perf_counter())
        if self._buffer is None:
            rays = self._pipeline.tables(camera).rays(self._cloud.step)
            self._buffer = CloudBuffer(rays.shape, self._cloud.layout)
        result = self._pipeline.process(rgb, camera, cloud_out=self._buffer.points)
        clock.append(time.perf_counter())
        encode_depth(result.depth, header)
        clock.append(time.perf_counter())
        self._info_out.message(result.camera, header)
        clock.append(time.perf_counter())
        self._buffer.message(header)
        clock.append(time.perf_counter())
        steps = 1e3 * np.diff(clock)
        return {
            "decode": steps[0],
            **{stage: result.timings[stage] for stage in ("rectify", "mask", "cloud")},
            **self._estimator.stages,
            **dict(zip(STAGES[-3:], steps[2:])),
            "total": 1e3 * (clock[-1] - clock[0]),
        }


def measure_pipeline(network: Network, view: View, rounds: int, clouds: tuple[Cloud, ...]) -> dict:
    """The figures, taken in a fresh process, which has the environment of this moment.

    Args:
        clouds: a whole frame is timed for each of these; for none, the network alone.

    Returns:
        machine, network (milliseconds and CPU milliseconds of a frame), memory_mb, and clouds by name: each with
        the spread of every stage, of the total, of all around the network, and of that as a share of the network.
    """
    return in_own_process(_measure, network, view, rounds, clouds)


def _measure(network: Network, view: View, rounds: int, clouds: tuple[Cloud, ...]) -> dict:
    limit_threads(network.threads)
    memory = MemoryMeter(resolve_device(network.device))
    estimator = DepthEstimator.load(network.weights or None, network.device, network.backend, network.precision)
    machine, used = describe_machine(estimator.device), estimator.backend
    bare, estimator = estimator.backend, TimedEstimator(estimator)
    ways = {cloud.name: FrameWay(estimator, view, cloud) for cloud in clouds}
    size = (estimator.metadata.height, estimator.metadata.width)
    pixels = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    wall, cpu, times = [], [], {name: defaultdict(list) for name in ways}
    for _ in tqdm(range(WARM_UP + rounds), unit="round", desc="pipeline", disable=None):
        began, began_cpu = time.perf_counter(), time.process_time()
        bare.predict(pixels)
        wall.append(1e3 * (time.perf_counter() - began))
        cpu.append(1e3 * (time.process_time() - began_cpu))
        for name, way in ways.items():
            for stage, milliseconds in way.run().items():
                times[name][stage].append(milliseconds)
    wall, cpu = wall[WARM_UP:], cpu[WARM_UP:]
    return {
        "machine": machine,
        "network": {
            **asdict(network),
            "backend": used.name,
            "precision": used.precision,
            "device": str(used.device),
            "encoder": estimator.metadata.encoder,
            "size": f"{size[1]}x{size[0]}",
            "milliseconds": spread(wall)._asdict(),
            "cpu_milliseconds": spread(cpu)._asdict(),
        },
        "memory_mb": memory.peak(used.device),
        "clouds": {
            name: _figures({k: v[WARM_UP:] for k, v in stages.items()}, np.array(wall))
            for name, stages in times.items()
        },
    }


def _figures(stages: dict[str, list[float]], bare: np.ndarray) -> dict:
    around = np.array(stages["total"]) - np.array(stages["network"])
    return {
        "stages": {stage: spread(stages[stage])._asdict() for stage in STAGES},
        "total": spread(stages["total"])._asdict(),
        "around": spread(around)._asdict(),
        "around_share": spread(around / bare)._asdict(),
    }
