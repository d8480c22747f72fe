"""Files that `scdepth export` wrote, as sources of a backend: they say themselves how they want to be used."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from scdepth_core.checkpoint import load_weights
from scdepth_core.errors import BackendError, CheckpointError, first_line
from scdepth_core.inference.backends import FILE_ENDINGS
from scdepth_core.inference.backends.base import Source
from scdepth_core.inference.backends.libraries import import_optional
from scdepth_core.inference.backends.openvino_core import openvino_core
from scdepth_core.inference.convert import ENTRY, FILE_FORMAT
from scdepth_core.weights_metadata import metadata_from_json


def open_source(weights: str | Path | None = None) -> Source:
    """What a backend needs, out of weights (None: the starter weights) or of an exported file.

    Raises:
        CheckpointError: missing, broken, or not made by this package.
        BackendError: the library that reads this kind of file is not installed.
    """
    if weights is not None and Path(weights).suffix in FILE_ENDINGS:
        return exported_source(Path(weights))
    state, metadata = load_weights(weights)
    return Source(metadata, state, str(weights or "starter weights"))


def exported_source(path: Path) -> Source:
    """An exported file and what it says of itself; a .pt2, too, which no backend runs.

    Raises:
        as open_source.
    """
    if not path.is_file():
        raise CheckpointError(f"exported network '{path}' does not exist – write it with 'scdepth export'")
    try:
        said = json.loads(READERS[path.suffix](path) or "{}")
        if said.get("format") != FILE_FORMAT:
            raise ValueError(f"its format is {said.get('format')}, expected {FILE_FORMAT}")
        found = {"file_precision": said["precision"], "file_network": said.get("network", "")}
        return Source(metadata_from_json(said["metadata"]), file=path, **found)
    except BackendError:
        raise
    except Exception as error:  # each library has its own kinds for a file that it cannot read
        reason = first_line(error)
        raise CheckpointError(f"'{path}' cannot be used ({reason}) – write it with 'scdepth export'") from error


def _entry_of_onnx(path: Path) -> str | None:
    library = import_optional("onnxruntime", "onnx", f"'{path}'")
    options = library.SessionOptions()
    options.graph_optimization_level = library.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = library.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.get_modelmeta().custom_metadata_map.get(ENTRY)


def _entry_of_openvino(path: Path) -> str | None:
    core, weights = openvino_core(f"'{path}'"), path.with_suffix(".bin")
    if not weights.is_file():
        raise ValueError(f"'{weights.name}', which holds its numbers, is missing beside it")
    model = core.read_model(path)
    return model.get_rt_info(ENTRY).astype(str) if model.has_rt_info(ENTRY) else None


def _entry_of_torch_export(path: Path) -> str | None:
    """Out of the archive alone: loading the program would need the PyTorch that wrote it."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(f"/extra/{ENTRY}")]
        return archive.read(names[0]).decode() if names else None


READERS = {".onnx": _entry_of_onnx, ".xml": _entry_of_openvino, ".pt2": _entry_of_torch_export}
