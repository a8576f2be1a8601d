"""What is said of an encoder's scans is what runs."""

from __future__ import annotations

import pytest
import torch

from jscgc.encoder import mamba, scan, selective
from jscgc.encoder.blocks import StageScan, stage_scans
from jscgc.encoder.encoder import MambaDecoder, MambaEncoder
from jscgc.encoder.params import EncoderParams

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SHIPPED = EncoderParams(widths=[8] * 4, depths=[1] * 4, downsample=[2, 1, 1, 1], state=4, head=4, window=128)


@pytest.mark.parametrize("block", ["ssd", "mambajscc"])
@pytest.mark.parametrize(
    "factor, downsample, window, size",
    [(8, [2, 1], 128, (320, 192)), (8, [1, 2], 0, (96, 160)), (1, [4, 4], 64, (128, 96)), (8, [1, 2], 256, (64, 64))],
)
def test_encoder_and_decoder_scan_as_is_said(block, factor, downsample, window, size, monkeypatch: pytest.MonkeyPatch):
    params = EncoderParams(
        block=block, widths=[8, 8], depths=[1, 1], downsample=downsample, state=4, head=4, window=window
    )
    ran: list[tuple[str, int]] = []

    def noting(module, function: str, name: str, length):
        real = getattr(module, function)
        monkeypatch.setattr(module, function, lambda *a: ran.append((name, length(*a))) or real(*a))

    noting(mamba, "readings", "readings", lambda *a: a[-1] * a[-2])
    noting(scan, "scan_chunked", "chunked", lambda *a: a[0].shape[1])
    noting(selective, "selective_chunked", "chunked", lambda *a: a[0].shape[1])
    said = list(stage_scans(params, factor, *size, CPU))
    with torch.no_grad():
        MambaEncoder(4, params, 3, factor)(torch.randn(1, 4, *(s // factor for s in size)), torch.ones(1), 2)
    assert list(dict.fromkeys(ran)) == list(dict.fromkeys((s.implementation, s.steps) for s in said))
    ran.clear()
    with torch.no_grad():
        MambaDecoder(4, params, 3, factor)(torch.randn(1, 9, *(s // 16 for s in size)), torch.ones(1))
    assert list(dict.fromkeys(ran)) == list(dict.fromkeys((s.implementation, s.steps) for s in reversed(said)))


def test_on_a_gpu_short_scans_run_no_kernel_whatever_is_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scan, "cuda_scan", lambda: (object(), "there"))
    monkeypatch.setattr(selective, "cuda_selective_scan", lambda: (object(), "there"))
    assert {s.implementation for s in stage_scans(SHIPPED, 8, 512, 768, GPU)} == {"readings"}

    def found(**changes) -> list[StageScan]:
        return list(stage_scans(SHIPPED.model_copy(update=changes), 8, 512, 768, GPU))

    assert {(s.implementation, s.steps) for s in found(window=256)} == {("chunked", 256)}
    assert found(window=256)[0].why == "mamba-ssm's kernels are for 512 steps or more"
    assert {(s.implementation, s.steps) for s in found(window=0)} == {("mamba_ssm", 1536)}
    assert {(s.implementation, s.steps) for s in found(block="mambajscc")} == {("mamba_ssm", 64)}
    monkeypatch.setattr(scan, "cuda_scan", lambda: (None, "not there"))
    assert set(found(window=0)) == {StageScan(1536, "chunked", "not there")}
