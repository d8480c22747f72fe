"""The benchmark for people: a sentence about the machine, and a Markdown table."""

from __future__ import annotations

from scdepth_core.inference.benchmark.measurement import Row
from scdepth_core.machine import machine_sentence

COLUMNS = ("how", "ms a frame", "times plain PyTorch", "CPU ms", "depth error max / mean", "ready in", "memory")
ACCURACY = ("abs_rel per image", "abs_rel one scale")


def markdown(report: dict) -> str:
    """What bench.run found, as text."""
    machine, network = report["machine"], report["network"]
    columns = COLUMNS + (ACCURACY if report["accuracy_images"] else ())
    lines = [
        machine_sentence(machine),
        f"{network['encoder']}, {network['width']}x{network['height']}, {network['rounds']} rounds; median (10–90 %)."
        + (f" abs_rel on {report['accuracy_images']} images." if report["accuracy_images"] else ""),
        "",
        f"| {' | '.join(columns)} |",
        "|" + " --- |" * len(columns),
    ]
    rows = [Row(**entry) for entry in report["rows"]]
    return "\n".join(lines + [f"| {' | '.join(_cells(row, len(columns)))} |" for row in rows])


def _cells(row: Row, columns: int) -> list[str]:
    if row.reason:
        return [row.name, f"not applicable: {row.reason}"] + [""] * (columns - 2)
    milliseconds, ratio, memory = row.cells()
    cells = [
        row.name,
        milliseconds,
        ratio,
        f"{row.cpu_ms:.1f}",
        "" if row.max_error is None else f"{row.max_error:.1e} / {row.mean_error:.1e}",
        "" if row.load_s is None else f"{row.load_s:.1f} s",
        memory,
    ]
    change = "" if row.abs_rel_change is None else f" ({row.abs_rel_change:+.1%})"
    accuracy = ["untrained", ""] if row.abs_rel is None else [f"{row.abs_rel:.4f}{change}", f"{row.abs_rel_set:.4f}"]
    return (cells + accuracy)[:columns]
