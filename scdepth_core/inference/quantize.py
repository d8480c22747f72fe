"""int8 by calibration: NNCF looks at what the network computes on frames of the user's own camera."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import redirect_stdout

from scdepth_core.inference.backends.base import Source
from scdepth_core.inference.backends.libraries import import_optional
from scdepth_core.inference.backends.openvino_core import openvino_core
from scdepth_core.inference.convert import ENTRY, describe, openvino_model, quiet


def quantized_model(source: Source, precision: str = "int8"):
    """An openvino.Model with weights and activations in 8 bits; the last convolution stays in float32.

    Weights are symmetric, activations are not, because ELU's output has a short negative and a long positive side.

    Args:
        source: weights, and a few hundred frames for calibration that show what the camera will see.
        precision: 'int8', the only one.

    Raises:
        BackendError: openvino or nncf is not installed.
    """
    os.environ.setdefault("NNCF_CI", "1")  # it would report its use to its makers
    openvino_core("precision int8")  # before NNCF makes its own, see there
    nncf = import_optional("nncf", "openvino", "precision int8")
    model = openvino_model(source, "float32")
    convolutions = [op.get_friendly_name() for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"]
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with quiet(), redirect_stdout(sys.stderr):  # its progress bar is not our answer
        quantized = nncf.quantize(
            model,
            nncf.Dataset(source.calibration),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(source.calibration),
            ignored_scope=nncf.IgnoredScope(names=convolutions[-1:]),
        )
    quantized.set_rt_info(describe(source, precision), [ENTRY])
    return quantized
