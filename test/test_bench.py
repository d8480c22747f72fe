"""`scdepth bench infer`: every figure has its machine, every ratio its baseline. How large they are is no test."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from scdepth_core import cli
from scdepth_core.checkpoint import STARTER_WEIGHTS
from scdepth_core.inference.backends import KINDS
from scdepth_core.inference.backends.libraries import is_installed
from scdepth_core.inference.benchmark import measurement
from scdepth_core.inference.benchmark.candidates import Candidate
from scdepth_core.inference.benchmark.measurement import Row, measure
from scdepth_core.inference.benchmark.report import markdown


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
    assert all(50 < row["memory_mb"] < 5000 for row in report["rows"]) and report["network"]["width"] == 128


def test_ratios_are_those_of_the_same_round(monkeypatch):
    """The clock says 4 s, 1 s in the first round and, on a machine that got slower, 40 s, 10 s in the second."""

    class Constant:
        def predict(self, pixels):
            return np.ones((1, 64, 64), np.float32)

    ticks = iter([0, 4, 4, 5, 5, 45, 45, 55])
    clock = SimpleNamespace(perf_counter=lambda: next(ticks), process_time=lambda: 0, sleep=lambda seconds: None)
    monkeypatch.setattr("scdepth_core.measuring.time", clock)
    rows = {"x": Row("x")}
    measure(lambda index: None, {"x": Constant()}, rows, 2, (64, 64))
    assert rows["x"].ratio == rows["x"].ratio_low == rows["x"].ratio_high == 4
    assert rows["x"].median_ms == pytest.approx(5500)


def test_several_networks_speed_and_accuracy_in_one_table(untrained_weights, tiny_data, capsys):
    options = ("--models", "mobilenet_v3_small:half", "--backends", "torch", "--data", tiny_data, "--rounds", 2)
    assert bench(untrained_weights, *options, "--no-memory", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    plain, same, small = report["rows"]
    assert report["accuracy_images"] == 2 and [row["network"] for row in report["rows"]] == [
        *(["untrained.safetensors"] * 2),
        "mobilenet_v3_small:half",
    ]
    arguments = ["--data", str(tiny_data), "--weights", str(untrained_weights), "--device", "cpu", "--json"]
    assert cli.main(["evaluate", *arguments]) == 0
    errors = json.loads(capsys.readouterr().out)["errors"]
    for row in (plain, same):
        assert row["abs_rel"] == pytest.approx(errors["image"]["abs_rel"], rel=1e-3)
        assert row["abs_rel_set"] == pytest.approx(errors["set"]["abs_rel"], rel=1e-3)
    assert abs(same["abs_rel_change"]) < 1e-3 and plain["abs_rel_change"] is None
    assert small["abs_rel"] is None and small["max_error"] < 1e-4 and small["ratio"] > 0
    lines = markdown(report).splitlines()
    assert "abs_rel on 2 images" in lines[1] and "| untrained |" in lines[-1]
    assert len({line.count("|") for line in lines[3:]}) == 1


def test_a_small_network_is_compared_with_resnet18(capsys):
    options = ("--models", "mobilenet_v3_small:half", "--backends", "torch", "--size", "96x64", "--rounds", "1")
    assert cli.main(["bench", "infer", *options, "--no-memory", "--device", "cpu", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["network"]["encoder"] == "resnet18" and report["network"]["decoder"] == "full"
    assert [row["network"] for row in report["rows"]] == ["resnet18", "mobilenet_v3_small:half"]


def test_networks_of_several_sizes_are_refused(untrained_weights, capsys):
    assert cli.main(["bench", "infer", "--weights", str(untrained_weights), str(STARTER_WEIGHTS)]) == 1
    assert "inputs of 128x96 and 96x64 cannot be compared – choose one size for all" in capsys.readouterr().err


def test_a_row_that_fails_while_it_predicts_does_not_end_the_others(untrained_weights, monkeypatch, capsys):
    class Full:
        def predict(self, pixels):
            raise RuntimeError("CUDA out of memory.\nTried to allocate")

    load = Candidate.load
    monkeypatch.setattr(Candidate, "load", lambda self: Full() if self.backend == "onnxruntime" else load(self))
    options = ("--backends", "onnxruntime", "torch", "--rounds", 1, "--no-memory", "--json")
    assert bench(untrained_weights, *options) == 0
    _, full, torch_row = json.loads(capsys.readouterr().out)["rows"]
    assert full["reason"] == "CUDA out of memory." and full["median_ms"] is None
    assert torch_row["reason"] == "" and torch_row["median_ms"] > 0


def test_int8_says_what_it_needs(untrained_weights, monkeypatch, capsys):
    for features, sentence in ((frozenset(), "no instructions for int8"), ({"int8"}, "give a folder of images with")):
        monkeypatch.setattr(measurement, "cpu_features", lambda features=features: features)
        options = ("--backends", "openvino:int8", "--rounds", 1, "--no-memory", "--json")
        assert bench(untrained_weights, *options) == 0
        assert sentence in json.loads(capsys.readouterr().out)["rows"][1]["reason"]


@pytest.mark.skipif(not is_installed("openvino", "nncf"), reason="openvino or nncf is not installed")
def test_int8_is_calibrated_once_and_judged(untrained_weights, tiny_data, monkeypatch, engine_cache, capsys):
    monkeypatch.setattr(measurement, "cpu_features", lambda: {"int8"})
    options = ("--backends", "openvino:int8", "--data", tiny_data, "--rounds", 1, "--no-memory", "--json")
    assert bench(untrained_weights, *options) == 0
    row = json.loads(capsys.readouterr().out)["rows"][1]
    assert row["reason"] == "" and row["mean_error"] > 0 and abs(row["abs_rel_change"]) < 0.2
    monkeypatch.setattr("scdepth_core.inference.backends.openvino_cpu.quantized_model", None)  # it is in the cache
    assert bench(untrained_weights, *options) == 0
    assert json.loads(capsys.readouterr().out)["rows"][1]["reason"] == ""


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--rounds", 0], "--rounds is 0"),
        (["--backends", "tflite"], "backend 'tflite' is unknown"),
        (["--backends", "torch:half"], "precision 'half' is unknown"),
        (["--size", "100x64"], "expected multiples of 32"),
        (["--models", "mobilenet_v9"], "encoder 'mobilenet_v9' is unknown, expected resnet18"),
        (["--models", "resnet18:third"], "decoder is 'third', expected one of full, half"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_bench_refuses(untrained_weights, capsys, options, sentence):
    assert bench(untrained_weights, *options) == 1
    assert sentence in capsys.readouterr().err


def test_every_backend_is_a_choice_of_the_node():
    from scdepth_ros.parameters import BY_NAME

    for name in KINDS:
        assert BY_NAME["backend"].checked(name) == name
