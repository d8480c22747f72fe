"""`scdepth bench infer`: every figure has its machine, every ratio its baseline. How large they are is no test."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from scdepth_core import cli
from scdepth_core.inference.backends import KINDS
from scdepth_core.inference.bench import Row, markdown, measure
from scdepth_core.weights_metadata import WeightsMetadata


def bench(weights, *options) -> int:
    return cli.main(["bench", "infer", "--weights", str(weights), "--device", "cpu", *map(str, options)])


def test_a_table_with_machine_ratios_and_reasons(untrained_weights, capsys):
    rows = ("torch", "torch:float32", "torch:float16", "cuda-graph:float32")
    assert bench(untrained_weights, "--backends", *rows, "--rounds", 2, "--threads", 1, "--no-memory", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["machine"]["threads"] == 1 and report["machine"]["versions"]["torch"] and report["machine"]["cpu"]
    assert (report["network"]["width"], report["network"]["height"], report["network"]["rounds"]) == (96, 64, 2)
    plain, *others = report["rows"]
    assert plain["ratio"] == 1 and plain["median_ms"] > 0 and [row["name"] for row in others][1:] == list(rows[1:])
    for row in others[:2]:
        assert row["ratio"] > 0 and row["low_ms"] <= row["median_ms"] <= row["high_ms"] and row["max_error"] < 1e-4
    assert "torch has no float16 on cpu" in others[2]["reason"] and others[2]["ratio"] is None
    assert "runs on CUDA only" in others[3]["reason"]
    lines = markdown(report).splitlines()
    assert "load average" in lines[0] and len({line.count("|") for line in lines[3:]}) == 1
    assert "not applicable: backend cuda-graph runs on CUDA only" in lines[-1]


def test_memory_is_that_of_a_process_of_its_own(untrained_weights, capsys):
    assert bench(untrained_weights, "--backends", "torch", "--rounds", 1, "--size", "128x64", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert 50 < report["rows"][1]["memory_mb"] < 5000 and report["network"]["width"] == 128


def test_ratios_are_those_of_the_same_round(monkeypatch):
    """The clock says 4 s, 1 s in the first round and, on a machine that got slower, 40 s, 10 s in the second."""

    class Constant:
        def predict(self, pixels):
            return np.ones((1, 64, 64), np.float32)

    ticks = iter([0, 4, 4, 5, 5, 45, 45, 55])
    clock = SimpleNamespace(perf_counter=lambda: next(ticks), process_time=lambda: 0)
    monkeypatch.setattr("scdepth_core.measuring.time", clock)
    rows = {"x": Row("x")}
    measure(Constant(), {"x": Constant()}, rows, 2, WeightsMetadata(height=64, width=64))
    assert rows["x"].ratio == rows["x"].ratio_low == rows["x"].ratio_high == 4
    assert rows["x"].median_ms == pytest.approx(5500) and rows["x"].max_error == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--rounds", 0], "--rounds is 0"),
        (["--backends", "tflite"], "backend 'tflite' is unknown"),
        (["--backends", "torch:half"], "precision 'half' is unknown"),
        (["--size", "100x64"], "expected multiples of 32"),
    ],
)
def test_bench_refuses(untrained_weights, capsys, options, sentence):
    assert bench(untrained_weights, *options) == 1
    assert sentence in capsys.readouterr().err


def test_every_backend_is_a_choice_of_the_node():
    from scdepth_ros.parameters import BY_NAME

    for name in KINDS:
        assert BY_NAME["backend"].checked(name) == name
