"""Every way to run the network gives the depth of plain PyTorch, is chosen rightly, and says clearly what it cannot."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from scdepth_core.errors import BackendError, CheckpointError
from scdepth_core.inference import DepthEstimator, backends
from scdepth_core.inference.backends import KINDS, load_backend, ncnn_cpu
from scdepth_core.inference.backends.base import Source
from scdepth_core.inference.backends.libraries import import_optional, is_installed
from scdepth_core.inference.backends.onnx_runtime import OnnxRuntime, TensorRT
from scdepth_core.inference.engine_cache import parted
from scdepth_core.inference.exported_file import open_source
from scdepth_core.inference.lean import LeanDepthNet, fold_batch_norm
from scdepth_core.inference.lean_decoder import BlockConv, LeanDecoder
from scdepth_core.inference.threads import limit_threads
from scdepth_core.machine import cpu_features, page_faults
from scdepth_core.measuring import in_own_process
from scdepth_core.networks import DepthNet
from scdepth_core.networks.depth_net import DepthDecoder, ReflectConv
from scdepth_core.networks.normalization import normalize
from scdepth_core.weights_metadata import WeightsMetadata

TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 2e-2}  # largest relative error of depth


@pytest.fixture(scope="module")
def pixels():
    coarse = np.random.default_rng(3).integers(0, 256, (8, 12, 3), np.uint8)
    return cv2.resize(coarse, (96, 64), interpolation=cv2.INTER_CUBIC)[None]


@pytest.fixture(scope="module")
def expected(untrained_network, pixels):
    return plain_depth(untrained_network, pixels)


def plain_depth(network, pixels):
    """Depth (1, 64, 96) from a network as it is trained."""
    with torch.no_grad():
        return network(normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2)))[:, 0].numpy()


@pytest.fixture
def source(untrained_weights):
    return open_source(untrained_weights)


def relative_error(depth, expected):
    return np.abs(depth / expected - 1)


def needed(name: str, precision: str) -> None:
    """Skip where the backend or the precision is not there."""
    if name == "compiled" and "SCDEPTH_TEST_COMPILED" not in os.environ:
        pytest.skip("compiling takes a minute: set SCDEPTH_TEST_COMPILED to do it")
    if not is_installed(*KINDS[name].needs):
        pytest.skip(f"{', '.join(KINDS[name].needs)} is not installed")
    if precision == "bfloat16" and "bfloat16" not in cpu_features():
        pytest.skip("this CPU has no bfloat16 instructions")


# --- the lean network ---------------------------------------------------------------------------------------------


def test_the_lean_network_has_no_batch_norm_and_no_layers_that_never_run(untrained_network):
    before = {name: value.clone() for name, value in untrained_network.state_dict().items()}
    lean = fold_batch_norm(untrained_network)
    kinds = [type(module) for module in lean.modules()]
    assert nn.BatchNorm2d not in kinds and nn.Linear not in kinds
    assert kinds.count(nn.Conv2d) == 20 + 11  # the encoder's, the decoder's with one of four output heads
    after = untrained_network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items()) and before.keys() == after.keys()


def test_the_normalisation_is_inside(untrained_network, pixels):
    metadata = WeightsMetadata(height=64, width=96, mean=0.5, std=0.25)
    with torch.no_grad():
        image = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
        expected = untrained_network(image)[:, 0].numpy()
        depth = LeanDepthNet(untrained_network, metadata)(torch.from_numpy(pixels)).numpy()
    assert relative_error(depth, expected).max() < 1e-4


@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
@pytest.mark.parametrize("finest", [6, 0])  # channels of the skip at half size; some encoders have none
def test_the_lean_decoder_gives_the_same_logits(upsampling, finest):
    torch.manual_seed(0)
    channels = (finest, 8, 10, 12, 14)
    decoder = DepthDecoder(channels, upsampling, "half").double()
    sizes = [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    features = [torch.randn(2, c, *size, dtype=torch.float64) if c else None for c, size in zip(channels, sizes)]
    lean = LeanDecoder(decoder).eval()
    lean.last.float()
    decoder.dispconvs.float()  # as both take float32 there
    with torch.no_grad():
        expected, given = decoder(features), lean(features)
    assert given.shape == (2, 1, 64, 96) and expected.std() > 1e-3
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-6)


def test_a_block_of_pixels_is_convolved_as_pixel_by_pixel():
    """With whole numbers, of which sums are exact in float32, so that every pixel and every border has to be right."""
    generator = torch.Generator().manual_seed(0)
    conv = ReflectConv(3, 1)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.copy_(torch.randint(-9, 10, parameter.shape, generator=generator))
        x = torch.randint(-9, 10, (2, 3, 8, 12), generator=generator).float()
        assert torch.equal(BlockConv(conv)(x), conv(x))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_the_last_convolution_stays_in_float32(untrained_network, precision):
    lean = LeanDepthNet(untrained_network, WeightsMetadata(), precision).network
    kinds = {name: parameter.dtype for name, parameter in lean.named_parameters()}
    assert not any(parameter.requires_grad for parameter in lean.parameters())
    last = {name for name in kinds if name.startswith("decoder.last.")}
    assert last and {kinds.pop(name) for name in last} == {torch.float32}
    assert set(kinds.values()) == {getattr(torch, precision)}


def test_folding_that_would_change_depth_is_refused():
    class Shared(nn.Module):
        """The convolution's output goes around the batch norm, too."""

        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 1, 3), nn.BatchNorm2d(1)
            self.norm.running_var.fill_(0.1)

        def forward(self, x):
            features = self.conv(x)
            return self.norm(features) + features

    torch.manual_seed(0)
    with pytest.raises(BackendError, match="folding batch norm into the convolutions changes depth by"):
        fold_batch_norm(Shared())


# --- parity -------------------------------------------------------------------------------------------------------


CPU_CASES = [(name, precision) for name, kind in KINDS.items() for precision in kind.cpu if precision != "int8"]


@pytest.mark.parametrize(("name", "precision"), CPU_CASES)
def test_every_backend_gives_the_depth_of_the_network(source, pixels, expected, name, precision):
    needed(name, precision)
    backend = load_backend(source, "cpu", name, precision)
    assert (backend.name, backend.precision, backend.device) == (name, precision, torch.device("cpu"))
    depth = backend.predict(pixels).copy()
    assert depth.dtype == np.float32 and depth.shape == (1, 64, 96)
    assert relative_error(depth, expected).max() < TOLERANCE[precision]
    backend.predict(255 - pixels)
    assert (backend.predict(pixels) == depth).all()  # nothing is remembered


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["torch", "cuda-graph", "onnxruntime", "tensorrt"])
def test_every_backend_on_cuda(source, pixels, expected, name, precision):
    if precision not in KINDS[name].cuda:
        pytest.skip(f"{name} has no {precision}")
    needed(name, "float32")
    if name in ("onnxruntime", "tensorrt"):
        library = import_optional("onnxruntime", "onnx", "this test")
        if {"onnxruntime": "CUDA", "tensorrt": "Tensorrt"}[name] not in " ".join(library.get_available_providers()):
            pytest.skip("this onnxruntime has no such provider")
    try:
        backend = load_backend(source, "cuda", name, precision)
    except BackendError as error:
        if "does not start" in str(error):  # the wheel knows the provider, the system lacks its libraries
            pytest.skip(str(error))
        raise
    tolerance = max(TOLERANCE[precision], 1e-3)  # TF32 and the order of sums
    first = backend.predict(pixels).copy()
    assert relative_error(first, expected).max() < tolerance
    with ThreadPoolExecutor(1) as elsewhere:  # as the node has it
        elsewhere.submit(backend.predict, 255 - pixels).result()
        assert (elsewhere.submit(backend.predict, pixels).result() == first).all()


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.cpu and name != "compiled"])
def test_an_estimator_takes_any_image(untrained_weights, name):
    needed(name, "float32")
    estimator = DepthEstimator.load(untrained_weights, "cpu", name)
    for shape in [(64, 96, 3), (37, 53, 3)]:
        image = np.full(shape, 90, np.uint8)
        image.setflags(write=False)
        first = estimator.predict(image)
        assert first.shape == shape[:2] and np.isfinite(first).all()
        kept = first.copy()
        estimator.predict(255 - image)
        assert (first == kept).all()  # the caller's own


# --- choosing -----------------------------------------------------------------------------------------------------


BOTH = ("openvino", "ncnn", "pnnx")


@pytest.mark.parametrize(
    ("width", "installed", "name"),
    [
        (224, BOTH, "ncnn"),
        (96, BOTH, "openvino"),  # too small for Winograd's tiles
        (224, ("openvino", "ncnn"), "openvino"),  # nothing to convert with
        (96, ("ncnn", "pnnx"), "ncnn"),
        (96, (), "torch"),
    ],
)
def test_auto_takes_the_fastest_on_the_cpu_that_is_installed(source, monkeypatch, width, installed, name):
    monkeypatch.setattr(backends, "is_installed", lambda *modules: set(modules) <= set(installed))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(backends.Kind, "load", lambda kind: lambda *given: (kind, *given[1:]))
    chosen = load_backend(replace(source, metadata=replace(source.metadata, width=width, height=160)))
    assert chosen == (KINDS[name], torch.device("cpu"), "float32")


@pytest.mark.parametrize(("provider", "device"), [("CUDAExecutionProvider", "cuda"), ("Azure", "cpu")])
def test_auto_takes_the_cpu_where_onnxruntime_has_nothing_for_the_gpu(source, monkeypatch, caplog, provider, device):
    """On a computer with a GPU, of which the usual `onnxruntime` knows nothing."""
    needed("onnxruntime", "float32")
    library = import_optional("onnxruntime", "onnx", "this test")
    monkeypatch.setattr(library, "get_available_providers", lambda: [provider, "CPUExecutionProvider"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(OnnxRuntime, "__init__", lambda self, *given: setattr(self, "given", given))
    exported = Source(source.metadata, file=Path("network.onnx"), file_precision="float32")
    assert load_backend(exported).given[1:] == (torch.device(device), "float32")
    warning = "has no CUDAExecutionProvider (it has Azure, CPUExecutionProvider), so the network runs on the CPU"
    assert (warning in caplog.text) == (device == "cpu")


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"backend": "tflite"}, "backend 'tflite' is unknown, expected auto, torch, compiled"),
        ({"precision": "float8"}, "precision 'float8' is unknown, expected auto, float32"),
        ({"backend": "cuda-graph", "device": "cpu"}, "cuda-graph runs on CUDA only, the device is cpu"),
        ({"backend": "torch", "precision": "float16", "device": "cpu"}, "torch has no float16 on cpu – choose float32"),
        ({"backend": "openvino", "precision": "int8"}, "int8 has to be calibrated on frames of your camera"),
    ],
)
def test_what_cannot_be_is_said(source, choice, sentence):
    with pytest.raises(BackendError, match=sentence):
        load_backend(source, **choice)


def test_bfloat16_is_refused_where_it_would_be_slower(source, monkeypatch):
    monkeypatch.setattr(backends, "cpu_features", frozenset)
    with pytest.raises(BackendError, match="no bfloat16 instructions"):
        load_backend(source, "cpu", "torch", "bfloat16")
    exported = Source(source.metadata, file=Path("network.xml"), file_precision="bfloat16")
    with pytest.raises(BackendError, match="export 'network.xml' again in float32"):
        load_backend(exported, "cpu")


def test_wrong_names_are_found_before_the_weights_are_read(tmp_path):
    with pytest.raises(BackendError, match="backend 'x'"):
        DepthEstimator.load(tmp_path / "nowhere", backend="x")
    with pytest.raises(CheckpointError):
        DepthEstimator.load(tmp_path / "nowhere", backend="torch")


@pytest.mark.parametrize(
    ("name", "library", "extra"),
    [("openvino", "openvino", "openvino"), ("onnxruntime", "onnxruntime", "onnx"), ("ncnn", "ncnn", "ncnn")],
)
def test_a_missing_library_is_named_with_the_way_to_it(source, monkeypatch, name, library, extra):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(BackendError, match=rf"backend {name} needs '{library}'.*pip install '.\[{extra}\]'"):
        load_backend(source, "cpu", name)


def test_a_missing_compiler_is_named(source, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BackendError, match=r"needs a C\+\+ compiler"):
        load_backend(source, "cpu", "compiled")


def test_a_compiler_that_fails_is_a_sentence(source, monkeypatch):
    """As TorchInductor tells of it, with a page of the compiler's own words behind; the network runs without it."""

    def compiled(network, **_):
        def run(pixels):
            raise TorchDynamoException("CppCompileError: C++ compile error\n\nCommand:\ng++ …")

        return run

    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/g++")
    monkeypatch.setattr(torch, "compile", compiled)
    with pytest.raises(BackendError, match=r"\(CppCompileError: C\+\+ compile error\) – choose torch, or see to"):
        load_backend(source, "cpu", "compiled")


def test_a_missing_provider_leaves_nothing_behind(source, monkeypatch, tmp_path):
    needed("onnxruntime", "float32")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library = import_optional("onnxruntime", "onnx", "this test")
    monkeypatch.setattr(library, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BackendError, match=r"this onnxruntime has no TensorrtExecutionProvider \(it has CPUEx"):
        TensorRT(source, torch.device("cuda"), "float32")
    assert not list(tmp_path.iterdir())


def test_an_engine_of_another_tensorrt_is_made_again(monkeypatch, tmp_path, caplog):
    """It fails to start as long as it is there."""
    engine = tmp_path / "plan.engine"
    engine.write_bytes(b"of TensorRT 10")

    def opened(backend, model):
        if engine.exists():
            raise RuntimeError("deserialization failed")
        return model

    monkeypatch.setattr(OnnxRuntime, "_open", opened)
    backend = object.__new__(TensorRT)
    backend._folder = tmp_path
    assert backend._open(b"model") == b"model" and tmp_path.is_dir()
    assert "does not start (deserialization failed), it is made again" in caplog.text
    monkeypatch.setattr(OnnxRuntime, "_open", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # nothing is there to be made again
        backend._open(b"model")


def test_tensorrt_is_told_of_float16(source):
    backend = object.__new__(TensorRT)
    for precision in ("float32", "float16"):
        backend.device, backend.precision, backend._provider = torch.device("cuda:1"), precision, TensorRT.on_cuda
        (name, options), (second, _) = backend._wanted_providers({"of": precision})
        assert (name, second) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
        assert options["trt_fp16_enable"] == (precision == "float16") and options["device_id"] == 1


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (
            RuntimeError("EP Error\nand more"),
            r"CPUExecutionProvider of onnxruntime does not start on cpu \(EP Error\)",
        ),
        (MemoryError(), r"onnxruntime cannot run this network here \(MemoryError\) – choose another backend"),
    ],
)
def test_what_a_library_raises_is_a_sentence(source, monkeypatch, failure, sentence):
    needed("onnxruntime", "float32")

    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(import_optional("onnxruntime", "onnx", "this test"), "InferenceSession", fail)
    exported = Source(source.metadata, file=Path(__file__), file_precision="float32")
    with pytest.raises(BackendError, match=sentence):
        OnnxRuntime(exported, torch.device("cpu"), "float32")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("#!/bin/sh\necho 'layer 7: what is this' >&2; exit 3", "layer 7: what is this"),
        ("#!/bin/sh", "no reason given"),  # it leaves no file
    ],
)
def test_a_conversion_to_ncnn_that_fails_is_a_sentence(source, monkeypatch, tmp_path, program, reason):
    needed("ncnn", "float32")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    converter = tmp_path / "pnnx"
    converter.write_text(program)
    converter.chmod(0o755)
    monkeypatch.setattr(import_optional("pnnx", "ncnn", "this test"), "EXEC_PATH", str(converter))
    with pytest.raises(BackendError, match=rf"pnnx cannot convert this network to ncnn \({reason}\) – choose another"):
        load_backend(source, "cpu", "ncnn")
    assert list(tmp_path.iterdir()) == [converter]


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "mobilenet_v3_small", "resnet50", "timm/mobilenetv3_small_100"])
def test_ncnn_runs_other_encoders(encoder, pixels):
    needed("ncnn", "float32")
    if encoder.startswith("timm/"):
        pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    network = DepthNet(encoder, "nearest", "half").eval()
    metadata = WeightsMetadata(height=64, width=96, encoder=encoder, upsampling="nearest", decoder="half")
    depth = load_backend(Source(metadata, network.state_dict()), "cpu", "ncnn").predict(pixels)
    assert relative_error(depth, plain_depth(network, pixels)).max() < TOLERANCE["float32"]


@pytest.mark.parametrize(("many", "direct"), [(64 * 96 + 1, 5), (64 * 96, 0)])
def test_ncnn_convolves_large_weights_directly_for_small_images(source, monkeypatch, many, direct):
    """In ResNet-18: four convolutions of its last stage and the decoder's first."""
    needed("ncnn", "float32")
    monkeypatch.setattr(ncnn_cpu, "MANY", many)
    graph, _ = parted(ncnn_cpu._converted(source))
    marked = [line.split() for line in graph.decode().splitlines() if line.endswith(" 31=64")]
    assert len(marked) == direct
    assert all(fields[0] == "Convolution" and {"0=512", "0=256"} & set(fields) for fields in marked)


# --- manners ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "threads_of"),
    [
        ("openvino", lambda b: b._request.get_compiled_model().get_property("INFERENCE_NUM_THREADS")),
        ("ncnn", lambda b: b._net.opt.num_threads),
    ],
)
def test_the_number_of_threads_is_that_of_pytorch(source, name, threads_of):
    needed(name, "float32")
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            assert limit_threads(threads) == threads
            assert threads_of(load_backend(source, "cpu", name)) == threads
        assert limit_threads() >= 1 and cv2.getNumThreads() == 1
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(-1)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's malloc")
def test_pytorch_keeps_the_memory_of_a_frame_for_the_next(monkeypatch):
    """Even where the C library is told to give back whatever it can."""
    for what in ("MMAP", "TRIM"):
        monkeypatch.setenv(f"MALLOC_{what}_THRESHOLD_", str(2**17))
    assert in_own_process(_page_faults_of_a_frame) < 500  # 10,000 otherwise


def _page_faults_of_a_frame() -> int:
    network, metadata = DepthNet().eval(), WeightsMetadata(height=256, width=320)
    backend = load_backend(Source(metadata, network.state_dict()), "cpu", "torch")
    for _ in range(4):
        before = page_faults()
        backend.predict(np.zeros((1, 256, 320, 3), np.uint8))
    return page_faults() - before


@pytest.mark.parametrize("library", ["openvino", "onnxruntime", "ncnn", "pnnx"])
def test_libraries_do_not_report_to_their_makers(tmp_path, library):
    """The first two would leave an identifier in the home folder and send it."""
    if not is_installed(library):
        pytest.skip(f"{library} is not installed")
    code = (
        "import os; from scdepth_core.inference.backends.libraries import import_optional\n"
        f"import_optional({library!r}, 'x', 'y'); assert 'CI' not in os.environ"
    )
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
    assert not list(tmp_path.rglob("*"))


def test_the_digest_is_that_of_what_decides_the_depth(untrained_weights, untrained_network):
    first, again = open_source(untrained_weights), open_source(untrained_weights)
    assert first.digest == again.digest
    other = open_source(untrained_weights)
    other.state["decoder.dispconvs.0.conv.bias"] += 1e-3
    resized = Source(WeightsMetadata(height=64, width=128), first.state)
    brighter = Source(replace(first.metadata, mean=0.5), first.state)
    assert len({first.digest, other.digest, resized.digest, brighter.digest}) == 4


def test_a_new_scale_needs_no_conversion(source):
    """Nor do the words about the data set: they decide nothing that the network computes."""
    said = replace(source.metadata, metres_per_unit=2.5, dataset="kitchen", fingerprint="0123456789abcdef")
    assert Source(said, source.state).digest == source.digest


CONVERTED = """
import sys
from scdepth_core.inference import DepthEstimator
DepthEstimator.load(sys.argv[1], device="cpu", backend="openvino", precision="float32")
print("torchvision" in sys.modules)
"""


@pytest.mark.skipif(not is_installed("openvino"), reason="openvino is not installed")
def test_a_converted_network_is_not_built_again(untrained_weights):
    """What it would be built of takes seconds to import."""
    command = [sys.executable, "-c", CONVERTED, str(untrained_weights)]
    said = [subprocess.run(command, capture_output=True, text=True, timeout=120).stdout for _ in range(2)]
    assert said[1] == "False\n" and said[0] in ("True\n", "False\n")  # the cache is that of the whole run


SIGNALLED = """
import os, signal
from scdepth_core.inference import DepthEstimator
first, second = (DepthEstimator.load(device="cpu", backend="openvino") for _ in range(2))
del first
del second
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_signal_is_handled_after_openvino_has_ended_in_any_order():
    needed("openvino", "float32")
    done = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True)
    assert done.returncode == 0 and "handled" in done.stdout, done.stderr
