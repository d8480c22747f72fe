"""The lean network in other libraries' formats, each with the metadata inside.

All start from one torch.export of the network at its fixed input size, so they agree about what is computed. Input
`pixels` (1, H, W, 3) uint8 RGB, output `depth` (1, H, W) float32, network units.
"""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import warnings
from contextlib import contextmanager

import torch

from scdepth_core.inference.backends.base import Source
from scdepth_core.inference.backends.libraries import import_optional, unreported
from scdepth_core.inference.lean import LeanDepthNet

INPUT, OUTPUT = "pixels", "depth"
OPSET = 18  # of ONNX; from 19 to 23 ONNX Runtime's CUDA provider leaves padding to the CPU (its issue 26393)
FILE_FORMAT = "scdepth-export-1"
ENTRY = "scdepth"  # under which a file keeps what describe() says


def describe(source: Source, precision: str) -> str:
    """What an exported file says of itself, as JSON."""
    said = {"format": FILE_FORMAT, "precision": precision, "metadata": dataclasses.asdict(source.metadata)}
    return json.dumps(said | {"network": source.fingerprint})


def exported_program(source: Source, precision: str) -> torch.export.ExportedProgram:
    """The lean network as a graph of operations, at the fixed input size."""
    network = LeanDepthNet(source.network, source.metadata, precision)
    with torch.no_grad():
        return torch.export.export(network, (torch.zeros(source.shape, dtype=torch.uint8),))


def torch_export_bytes(source: Source, precision: str) -> bytes:
    """A .pt2 archive, with describe() as the extra file 'scdepth'."""
    file = io.BytesIO()
    extra = {ENTRY: describe(source, precision)}
    with quiet():
        torch.export.save(exported_program(source, precision), file, extra_files=extra)
    return file.getvalue()


def onnx_bytes(source: Source, precision: str) -> bytes:
    """An ONNX model, with describe() among its metadata properties.

    Raises:
        BackendError: onnx or onnxscript is not installed.
    """
    for module in ("onnx", "onnxscript"):
        import_optional(module, "onnx", "conversion to ONNX")
    with quiet():
        program = torch.onnx.export(
            exported_program(source, precision),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
        )
    model = program.model_proto
    model.metadata_props.add(key=ENTRY, value=describe(source, precision))
    return model.SerializeToString()


def openvino_model(source: Source, precision: str):
    """An openvino.Model in float32, with describe() in its runtime information.

    In bfloat16 the CPU plugin keeps everything after the last convolution in float32 by itself (mean depth error of
    the starter weights 0.03 %), so no part of the graph has to be marked.

    Raises:
        BackendError: openvino is not installed.
    """
    import_optional("openvino", "openvino", "conversion to OpenVINO")
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    with quiet():
        front_end = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchFXPythonDecoder.from_exported_program(exported_program(source, "float32"))
        model = front_end.convert(front_end.load(decoder))
    model.reshape(list(source.shape))
    model.inputs[0].get_tensor().set_names({INPUT})
    model.outputs[0].get_tensor().set_names({OUTPUT})
    model.set_rt_info(describe(source, precision), [ENTRY])
    return model


@contextmanager
def quiet():
    """For converters: they warn and log about their own insides, and import what reports to its makers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with unreported(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
