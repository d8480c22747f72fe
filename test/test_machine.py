"""What a machine says of itself."""

import torch

from scdepth_core.machine import MemoryMeter

MB = 2**20


def test_memory_of_libraries_that_pytorch_knows_nothing_of_counts(monkeypatch):
    """A GPU with 900 MB free, then 600; PyTorch itself took 20 of them."""
    free = iter([900 * MB, 600 * MB])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (next(free), 1000 * MB))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 20 * MB)
    device = torch.device("cuda")
    assert MemoryMeter(device).peak(device) == 300
