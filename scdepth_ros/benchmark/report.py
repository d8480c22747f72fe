"""The figures of `scdepth bench node` for people, in Markdown, and beside the goals."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from scdepth_core.machine import machine_sentence
from scdepth_ros.benchmark.pipeline import FULL, PACKED, STAGES
from scdepth_ros.benchmark.soak import TOLERANCE
from scdepth_ros.benchmark.subject import Cloud


@dataclass(frozen=True)
class Goal:
    """A figure that has a bound.

    Attributes:
        at_least: whether the bound is the smallest that will do, instead of the largest.
    """

    what: str
    value: float
    bound: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def goals(report: dict) -> list[Goal]:
    """Those that the measured parts have figures for."""
    network = report["network"]
    found = []
    for cloud in (FULL, PACKED) if "pipeline" in report else ():
        figures = report["pipeline"][cloud.name]
        if network["device"].startswith("cuda"):
            found.append(Goal(f"frame in process, {cloud.name}, p50", figures["total"]["median"], 3.0, "ms"))
        else:
            what = f"around the network in process, {cloud.name}, p50"
            found.append(Goal(what, figures["around"]["median"], 2.0, "ms"))
            found.append(Goal("the same as a share of the network", 100 * figures["around_share"]["median"], 25.0, "%"))
    if "dds" in report:
        found += _goals_of_transport(report["dds"], network)
    if "soak" in report:
        found.append(Goal("memory off its median", 100 * report["soak"]["largest_deviation"], 100 * TOLERANCE, "%"))
    return found


def _goals_of_transport(dds: dict, network: dict) -> list[Goal]:
    bare, cpu = network["milliseconds"]["median"], network["cpu_milliseconds"]["median"]
    slowest, fastest = dds["node"][0], max(dds["node"], key=lambda row: row["depth_hz"])
    beyond = slowest["latency_p50_ms"] - dds["relay"]["latency_p50_ms"]
    found = [
        Goal(f"latency without the relay's, {_hertz(slowest)}, p50", beyond, 1.15 * bare + 2, "ms"),
        *(
            Goal(f"camera frames that reach the node, {_hertz(row)}", 100 * row["reached_share"], 100.0, "%", True)
            for row in dds["node"]
            if 0 < row["rate"] <= 30
        ),
        *(
            Goal(f"latency p95 in network times, {_hertz(row)}", row["latency_p95_ms"] / bare, 2.0, "times")
            for row in dds["node"]
            if row["sent_hz"] > 1e3 / bare
        ),
    ]
    if fastest["cpu_ms"] is not None:
        threads = 1e-3 * (fastest["cpu_ms"] - cpu) * fastest["depth_hz"]
        found.append(Goal(f"CPU besides the network, {_hertz(fastest)}", threads, 1.0, "threads"))
    hertz = _wanted_hertz(network)
    if hertz and not 0 < fastest["rate"] < hertz:
        bound = min(hertz, fastest["sent_hz"])  # of a camera at just that rate all its frames
        found.append(Goal(f"depth and cloud, {_hertz(fastest)}", fastest["depth_hz"], bound, "Hz", True))
    return found


def _wanted_hertz(network: dict) -> float | None:
    """Output that two CPU cores are to sustain; nothing is asked of a network in float32 but for the small ones."""
    if network["device"] != "cpu":
        return None
    if not network["encoder"].startswith("resnet"):
        return 60.0
    return {"bfloat16": 26.0, "int8": 40.0}.get(network["precision"])


def markdown(report: dict) -> str:
    """The whole report."""
    network, machine = report["network"], report["machine"]
    lines = [
        machine_sentence(machine | {"load_average_after": report["load_average_after"]}),
        f"{network['encoder']}, {network['size']}, {network['backend']} {network['precision']} on {network['device']}: "
        f"{_spread(network['milliseconds'])} ms alone, {network['cpu_milliseconds']['median']:.1f} ms of CPU "
        f"(median, 10–90 %); {report['memory_mb']:.0f} MB. Images {report['image']['width']}x"
        f"{report['image']['height']} rgb8{', rectified' if report['image']['distorted'] else ''}.",
    ]
    if "pipeline" in report:
        lines += ["", *_pipeline_table(report["pipeline"])]
    if "dds" in report:
        lines += ["", *_transport_table(report["dds"], network)]
    if "soak" in report:
        lines += ["", *_soak_table(report["soak"])]
    if rows := goals(report):
        lines += ["", "| goal | measured | bound | met |", "| --- | --- | --- | --- |"]
        for goal in rows:
            sign = "≥" if goal.at_least else "≤"
            lines.append(
                f"| {goal.what} | {goal.value:.3g} {goal.unit} | {sign} {goal.bound:.3g} {goal.unit} "
                f"| {'yes' if goal.met else 'no'} |"
            )
    return "\n".join(lines)


def as_json(report: dict) -> dict:
    """The report with its goals."""
    return {**report, "goals": [{**asdict(goal), "met": goal.met} for goal in goals(report)]}


def _pipeline_table(clouds: dict) -> list[str]:
    lines = [f"| in process, ms | {' | '.join(clouds)} |", f"| --- {'| --- ' * len(clouds)}|"]
    for stage in STAGES:
        lines.append(f"| {stage} | {' | '.join(_spread(way['stages'][stage]) for way in clouds.values())} |")
    lines.append(f"| **all** | {' | '.join(_spread(way['total']) for way in clouds.values())} |")
    lines.append(f"| **all but the network** | {' | '.join(_spread(way['around']) for way in clouds.values())} |")
    shares = (f"{100 * way['around_share']['median']:.1f} %" for way in clouds.values())
    lines.append(f"| as a share of the network alone | {' | '.join(shares)} |")
    return lines


def _transport_table(dds: dict, network: dict) -> list[str]:
    bare, cpu = network["milliseconds"]["median"], network["cpu_milliseconds"]["median"]
    columns = (
        f"over DDS, {Cloud(dds['cloud_decimation'], dds['cloud_layout']).name}",
        *("frames that reach it", "depth, cloud Hz", "latency p50, p95 ms", "p95 in network times"),
        *("resize + network in the node ms", "CPU a frame ms, besides the network"),
    )
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for row in dds["node"]:
        cells = (
            f"depth_node, camera {_hertz(row)}",
            f"{100 * row['reached_share']:.1f} % of {row['sent']}",
            *_rates_and_latencies(row),
            f"{row['latency_p95_ms'] / bare:.2f}",
            "" if row["network_in_node_ms"] is None else f"{row['network_in_node_ms']:.1f}",
            "" if row["cpu_ms"] is None else f"{row['cpu_ms']:.1f}, {row['cpu_ms'] - cpu:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    relay = dds["relay"]
    cells = (f"relay without a network, {_hertz(relay)}", "", *_rates_and_latencies(relay), "", "", "")
    lines.append(f"| {' | '.join(cells)} |")
    return lines


def _rates_and_latencies(row: dict) -> tuple[str, str]:
    return f"{row['depth_hz']:.1f}, {row['cloud_hz']:.1f}", f"{row['latency_p50_ms']:.1f}, {row['latency_p95_ms']:.1f}"


def _soak_table(soak: dict) -> list[str]:
    lines = ["| seconds | frames in | depth out | node's memory MB |", "| --- | --- | --- | --- |"]
    for sample in soak["log"]:
        seconds, frames_in, frames_out, megabytes = sample.values()
        lines.append(f"| {seconds:.0f} | {frames_in} | {frames_out} | {megabytes:.1f} |")
    lines += [
        "",
        f"Memory over {soak['frames']} frames, without the first tenth: median {soak['median_mb']:.1f} MB, "
        f"{soak['lowest_mb']:.1f} to {soak['highest_mb']:.1f} MB: {'flat' if soak['flat'] else 'not flat'} "
        f"(± {100 * TOLERANCE:g} %).",
    ]
    return lines


def _spread(figures: dict[str, float]) -> str:
    return f"{figures['median']:.2f} ({figures['low']:.2f} – {figures['high']:.2f})"


def _hertz(row: dict) -> str:
    """The camera's rate, as it was managed."""
    return f"{row['sent_hz']:.0f} Hz"
