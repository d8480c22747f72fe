"""What takes part in a benchmark: networks, and ways to run them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch

from scdepth_core.errors import ConfigError
from scdepth_core.inference.backends import KINDS, check_names, load_backend
from scdepth_core.inference.backends.base import Backend, Source
from scdepth_core.inference.exported_file import open_source
from scdepth_core.inference.own_frames import own_frames
from scdepth_core.networks import DepthNet
from scdepth_core.weights_metadata import WeightsMetadata

STARTER = "starter"


@dataclass(frozen=True)
class Network:
    """A network to be measured; small enough to be sent to another process, which opens it again.

    Attributes:
        name: in the report.
        weights: file of weights, or an exported file; None takes the starter weights, or no weights where `untrained`.
        size: (width, height) of the input in the place of the file's own.
        untrained: (encoder, decoder) of a network without weights: how fast it is does not depend on them.
    """

    name: str
    weights: Path | None = None
    size: tuple[int, int] | None = None
    untrained: tuple[str, str] | None = None

    def open(self) -> Source:
        """The network, with its metadata, read once; raises as open_source does."""
        return _open(self)


@cache
def _open(network: Network) -> Source:
    size = {} if network.size is None else dict(zip(("width", "height"), network.size))
    if network.untrained is not None:
        encoder, decoder = network.untrained
        metadata = WeightsMetadata(encoder=encoder, decoder=decoder, **size)
        with torch.random.fork_rng():
            torch.manual_seed(0)  # opened in another process, it is the same
            return Source(metadata, DepthNet(encoder, decoder=decoder).state_dict())
    source = open_source(network.weights)
    return source if source.file is not None else replace(source, metadata=replace(source.metadata, **size))


@dataclass(frozen=True)
class Candidate:
    """A network and a way to run it.

    Attributes:
        name: of the row.
        network: what is run.
        reference: the network whose depth it should give: itself, or what an exported file was made from.
        device, backend, precision: as load_backend takes them.
        frames: folders of images, and `data` a data set whose training images, int8 is calibrated on.
    """

    name: str
    network: Network
    reference: Network
    device: str
    backend: str = "auto"
    precision: str = "auto"
    frames: tuple[Path, ...] = ()
    data: Path | None = None

    @property
    def is_int8(self) -> bool:
        return "int8" in (self.precision, self.network.open().file_precision)

    def load(self) -> Backend:
        """Ready to run; raises as load_backend does, DataError where the frames cannot be used."""
        source = self.network.open()
        if self.precision == "int8" and source.file is None:
            calibration = own_frames(self.frames, self.data, source.metadata)
            source = replace(source, calibration=tuple(calibration))
        return load_backend(source, self.device, self.backend, self.precision)


def networks(weights: Iterable[Path], models: Iterable[str], size: tuple[int, int] | None) -> list[Network]:
    """The networks of --weights and --models, the starter weights where neither is given; all of one input size.

    Raises:
        ConfigError: an exported file, or inputs of several sizes, which no ratio could compare.
    """
    files = [Network(path.name, path, size) for path in weights]
    found = files or ([] if models else [Network(STARTER, None, size)])
    opened = [network.open() for network in found]
    for network, source in zip(found, opened):
        if source.file is not None:
            raise ConfigError(f"'{network.weights}' is an exported file – give it to --exported")
    sizes = {(source.metadata.width, source.metadata.height) for source in opened}
    if len(sizes) > 1:
        listed = " and ".join(sorted(f"{width}x{height}" for width, height in sizes))
        raise ConfigError(f"networks with inputs of {listed} cannot be compared – choose one size for all with --size")
    common = size or next(iter(sizes), None)
    for name in models:
        encoder, _, decoder = name.partition(":")
        found.append(Network(name, None, common, (encoder, decoder or "full")))
    return found


def baseline_network(found: list[Network]) -> Network:
    """ResNet-18 with the full decoder at the same input: one of the networks, or one without weights."""
    for network in found:
        metadata = network.open().metadata
        if (metadata.encoder, metadata.decoder) == ("resnet18", "full"):
            return network
    return Network("resnet18", None, (metadata.width, metadata.height), ("resnet18", "full"))


def candidates(args: argparse.Namespace, found: list[Network], device: torch.device) -> list[Candidate]:
    """A row for each network and each way to run it, then one for each of --exported.

    Raises:
        ConfigError: an exported file takes another input. BackendError: a name is unknown.
    """
    rows = []
    for network in found:
        prefix = f"{network.name} " if len(found) > 1 else ""
        for backend, precision in ways(args.backends, device):
            name = f"{prefix}{backend}:{precision}"
            rows.append(
                Candidate(name, network, network, str(device), backend, precision, tuple(args.frames), args.data)
            )
    shape = found[0].open().shape
    for path in args.exported:
        network = Network(str(path), path)
        if network.open().shape != shape:
            sizes = " and the networks ".join(f"{s[2]}x{s[1]}" for s in (network.open().shape, shape))
            raise ConfigError(f"'{path}' takes {sizes} – export it from the weights that are measured")
        where = "cpu" if path.suffix == ".xml" else str(device)
        rows.append(Candidate(str(path), network, found[0], where))
    return rows


def ways(names: list[str] | None, device: torch.device) -> list[tuple[str, str]]:
    """(backend, precision) of each row: those that were asked for, or all that this kind of device can have.

    Raises:
        BackendError: a name is unknown.
    """
    if names is None:
        return [(name, p) for name, kind in KINDS.items() if name != "compiled" for p in kind.precisions(device)]
    chosen = [tuple((name.split(":") + ["auto"])[:2]) for name in names]
    for backend, precision in chosen:
        check_names("auto", backend, precision)
    return chosen
