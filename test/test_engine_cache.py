"""The cache gives back what was put in for exactly this key, and makes everything else again."""

from __future__ import annotations

import os

import pytest
import torch

from scdepth_core.errors import BackendError
from scdepth_core.inference import engine_cache
from scdepth_core.inference.backends.base import Source
from scdepth_core.inference.engine_cache import KEPT, engine, engine_folder, engine_key
from scdepth_core.weights_metadata import WeightsMetadata


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty cache for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "scdepth"


class Builder:
    """Builds a payload and counts how often."""

    def __init__(self, payload=b"line one\nline two\0"):
        self.payload, self.built = payload, 0

    def __call__(self):
        self.built += 1
        return self.payload


def entry(folder):
    (path,) = folder.glob("*.engine")
    return path


def test_what_is_built_once_is_found_again(folder):
    build = Builder()
    for _ in range(3):
        assert engine({"a": 1}, build, bytes) == build.payload
    assert build.built == 1 and [path.suffix for path in folder.iterdir()] == [".engine"]


def test_another_key_is_another_engine():
    first, second = Builder(b"1"), Builder(b"2")
    assert engine({"a": 1}, first, bytes) == b"1" and engine({"a": 2}, second, bytes) == b"2"
    assert engine({"a": 1}, first, bytes) == b"1" and (first.built, second.built) == (1, 1)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: whole[:-1],
        lambda whole: whole + b"x",
        lambda whole: whole[:-3] + b"XYZ",
        lambda whole: b"",
        lambda whole: b"\xff\xfe no JSON\n",
        lambda whole: b"[]\n" + whole.partition(b"\n")[2],
        lambda whole: whole.replace(b'"a": 1', b'"a": 7'),  # the entry of another key under this name
    ],
)
def test_a_broken_entry_is_made_again(folder, spoil, caplog):
    engine({"a": 1}, Builder(), bytes)
    whole = entry(folder).read_bytes()
    entry(folder).write_bytes(spoil(whole))
    build = Builder()
    assert engine({"a": 1}, build, bytes) == build.payload and build.built == 1
    assert "is broken, it is made again" in caplog.text
    assert entry(folder).read_bytes() == whole


def test_an_entry_that_its_library_refuses_is_made_again(caplog):
    engine({"a": 1}, Builder(b"old"), bytes)

    def open_payload(payload):
        if payload == b"old":
            raise RuntimeError("made by another version")
        return payload

    assert engine({"a": 1}, Builder(b"new"), open_payload) == b"new"
    assert "made by another version" in caplog.text
    assert engine({"a": 1}, Builder(b"never"), open_payload) == b"new"


def test_what_no_payload_can_cure_is_not_made_again():
    """A provider that does not start, with a conversion of ten seconds before the same error."""
    engine({"a": 1}, Builder(), bytes)

    def refuse(payload):
        raise BackendError("CUDA does not start")

    again = Builder()
    with pytest.raises(BackendError, match="CUDA does not start"):
        engine({"a": 1}, again, refuse)
    assert again.built == 0


def test_an_error_of_a_fresh_engine_is_not_hidden():
    def refuse(payload):
        raise ValueError("no such device")

    with pytest.raises(ValueError, match="no such device"):
        engine({"a": 1}, Builder(), refuse)


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    build = Builder()
    assert engine({"a": 1}, build, bytes) == engine({"a": 1}, build, bytes) == build.payload
    assert build.built == 2 and "it is made again every time" in caplog.text
    caplog.clear()
    assert engine_folder({"a": 1}) is None and "it is made again every time" in caplog.text


def test_the_least_recently_used_goes_first(folder):
    for number in range(KEPT):
        engine({"a": number}, Builder(), bytes)
    for age, path in enumerate(folder.iterdir()):
        os.utime(path, (1000 + age, 1000 + age))
    engine({"a": 0}, Builder(), bytes)  # used: now the youngest
    engine({"a": KEPT}, Builder(), bytes)
    assert len(list(folder.iterdir())) == KEPT
    again = Builder()
    engine({"a": 0}, again, bytes)
    assert again.built == 0


def test_the_folder_of_a_library_goes_with_its_entry(folder):
    """Whether a payload lies beside it (a network out of weights), or not (an exported file)."""
    (folder / "kept by somebody else").mkdir(parents=True)
    for number in range(2 * KEPT):
        filled = engine_folder({"a": number})
        (filled / "plan").write_text("made by TensorRT")
        os.utime(filled, (1000 + number, 1000 + number))
        if number % 2:
            engine({"a": number}, Builder(), bytes)
            os.utime(filled.with_suffix(".engine"), (1000 + number, 1000 + number))
    left = [path for path in folder.iterdir() if path.is_dir()]
    assert len(left) == KEPT + 1 and len(list(folder.glob("*.engine"))) == KEPT // 2
    assert {engine_folder({"a": number}) for number in range(KEPT, 2 * KEPT)} <= set(left)


def test_the_key_has_everything_that_an_engine_depends_on(untrained_network, monkeypatch):
    cpu = torch.device("cpu")
    metadata = WeightsMetadata(height=64, width=96)
    given = (Source(metadata, untrained_network.state_dict()), "openvino", cpu, "float32", ("numpy",))
    keys = [engine_key(*given)]
    wider = Source(WeightsMetadata(height=64, width=128), untrained_network.state_dict())
    keys += [engine_key(wider, *given[1:]), engine_key(given[0], "onnxruntime", *given[2:])]
    keys += [engine_key(*given[:3], "bfloat16", given[4])]
    monkeypatch.setattr(engine_cache, "device_name", lambda device: "another CPU")
    keys += [engine_key(*given)]
    monkeypatch.undo()
    monkeypatch.setattr(engine_cache, "version", lambda name: "9.9" if name == "numpy" else "1")
    keys += [engine_key(*given)]
    assert len({str(key) for key in keys}) == len(keys)
    assert len({engine_folder(key) for key in keys}) == len(keys)
