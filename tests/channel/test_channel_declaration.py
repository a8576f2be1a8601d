"""A channel that a plugin declares in one file, with options of its own, is a channel like ours everywhere."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from channel_signals import gaussian_symbols, stream

from jscgc.channel.base import OUTAGE
from jscgc.channel.capacity import ergodic_capacity, outage_capacity, power_gains, snrs
from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise
from jscgc.channel.spec import KINDS, canonical, describe, file_name, identity, meanings, names, parse_channel, rank
from jscgc.classical.mcs import choose
from jscgc.registry import PLUGINS, add_plugin
from jscgc.report.reading import channel_label, order_channels
from jscgc.systems.base import Link
from jscgc.systems.load import load_system

BURST = '''
import torch
from jscgc.channel.base import ChannelOutput
from jscgc.channel.declaration import ChannelKind, Number
from jscgc.channel.noise import complex_normal, noise_variance, per_image


class Burst:
    """A symbol has POWER times the noise with a probability, and the receiver knows where."""

    def __init__(self, spec):
        self._probability, self._power = spec.options["probability"], 10 ** (spec.options["power_db"] / 10)

    def __call__(self, symbols, snr_db, rng):
        noise_var = noise_variance(snr_db)
        hit = torch.rand(symbols.shape, generator=rng) < self._probability
        more = hit * (self._power - 1) * per_image(noise_var, symbols.ndim)
        noise = (per_image(noise_var, symbols.ndim) + more).sqrt() * complex_normal(symbols.shape, rng, symbols)
        return ChannelOutput(symbols + noise, torch.ones_like(symbols), more, noise_var)

    def overhead(self, data):
        return 1


BURST = ChannelKind(
    "burst",
    "Bursts of noise",
    Burst,
    (
        Number("probability", 0.1, 0, 1, what="share of the symbols that a burst hits"),
        Number("power_db", 10.0, 0, 40, "dB", "power of a burst over the noise"),
    ),
)
'''
TRACE = """
import torch
from jscgc.channel.base import ChannelOutput
from jscgc.channel.declaration import SNR, ChannelKind
from jscgc.channel.noise import add_noise, noise_variance


class Name:
    key, default, meaning, receiver, usage = "name", None, "a recorded h", False, "indoor"

    def read(self, text):
        if text not in ("indoor", "outdoor"):
            raise ValueError(f"must be indoor or outdoor, got {text!r}")
        return text

    def label(self, value):
        return value


class Trace:
    def __init__(self, spec):
        self._gain = torch.tensor({"indoor": 1.0 + 0j, "outdoor": 0.5j}[spec.options["name"]])

    def __call__(self, symbols, snr_db, rng):
        gain, noise_var = self._gain.expand_as(symbols), noise_variance(snr_db)
        received = add_noise(gain * symbols, noise_var, rng)
        return ChannelOutput(received, gain, torch.zeros_like(gain.real), noise_var)

    def overhead(self, data):
        return 0


TRACE = ChannelKind("trace", "Recorded", Trace, (Name(), SNR), identity=lambda spec: f"{spec.options['name']}:c0ffee")
"""
Plug = Callable[[str, str], None]


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plug]:
    """Use a plugin with this text; again under the same name: its new text."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(PLUGINS, "")
    loaded = set()

    def use(name: str, text: str) -> None:
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        sys.modules.pop(name, None)
        # Python tells a changed module by its time in whole seconds.
        os.utime(path, (len(loaded), len(loaded) + text.count("\n")))
        loaded.add(name)
        add_plugin(str(path))

    yield use
    monkeypatch.undo()
    for name in loaded:
        sys.modules.pop(name, None)
    KINDS.forget()


def test_a_plugins_channel_has_texts_labels_and_help(plug: Plug):
    plug("test_burst", BURST)
    assert names()[-1] == "burst" and names()[0] == "awgn"
    assert canonical("burst:power_db=20,probability=0.10") == "burst:power_db=20"
    assert channel_label("burst:probability=0.25") == "Bursts of noise, probability = 0.25"
    assert channel_label("burst:power_db=20") == "Bursts of noise, power_db = 20 dB"
    assert describe("burst") == "probability=0.1 (0..1), power_db=10 (0..40)"
    assert meanings()["power_db"] == "power of a burst over the noise (dB)"
    assert order_channels(["zzz", "burst", "cdl_e", "burst:power_db=1"]) == [
        "cdl_e",
        "burst",
        "burst:power_db=1",
        "zzz",
    ]
    assert rank("burst") < rank("zzz") and identity("burst") == ""
    for text, said in (
        ("burst:probability=2", r"probability of channel burst must be a finite number in 0\.\.1, got '2'"),
        ("burst:csi=ls", "unknown option 'csi' of channel burst: .*available: probability, power_db$"),
        ("brust", "did you mean burst"),
    ):
        with pytest.raises(ValueError, match=said):
            parse_channel(text)


def test_a_plugins_channel_carries_symbols_and_what_it_can_carry_is_measured(plug: Plug):
    plug("test_burst", BURST)
    symbols = gaussian_symbols(1, 4, 100, 100)
    output = get_channel("burst:probability=0.5")(symbols, torch.tensor([10.0]), stream())
    assert (output.received - symbols).abs().square().mean().item() == pytest.approx(0.5 * (0.1 + 1), rel=0.03)
    assert get_channel("burst").overhead(5) == 1
    expected = 0.9 * math.log2(1 + 10) + 0.1 * math.log2(1 + 1)
    assert ergodic_capacity("burst", 10.0) == pytest.approx(expected, rel=1e-3)
    # 429 symbols of an image stand for it, and a tenth of the images has less: 1.28 standard deviations.
    spread = math.sqrt(0.1 * 0.9 / 429) * (math.log2(11) - 1)
    assert outage_capacity("burst", 10.0) == pytest.approx(expected - 1.28 * spread, abs=0.3 * spread)
    assert snrs("burst", 10.0).unique().tolist() == pytest.approx([1, 10], rel=1e-5)
    assert power_gains("burst").shape[0] == 200
    with pytest.raises(ValueError, match="unknown channel 'brst'"):
        ergodic_capacity("brst", 10.0)


def test_separation_loses_images_to_what_the_channel_does_not_average(plug: Plug):
    plug("test_burst", BURST)
    carrier = load_system("jpeg_capacity", "no folder of models is needed")._carry_ideally(
        Link("burst:probability=0.2", 5.0, 60), 429
    )
    lost = [carrier[2](b"file", stream(seed)) is None for seed in range(300)]
    assert sum(lost) / len(lost) == pytest.approx(OUTAGE, abs=3 * math.sqrt(OUTAGE * (1 - OUTAGE) / len(lost)))


def test_5g_knows_a_plugins_channel(plug: Plug):
    pytest.importorskip("sionna")
    plug("test_burst", BURST)
    with_bursts, without = (choose(name, 12.0, 6144) for name in ("burst:probability=0.3", "awgn"))
    assert with_bursts is not None and without is not None
    assert with_bursts.efficiency < without.efficiency


def test_a_plugin_that_is_gone_or_new_is_not_served_from_a_cache(plug: Plug, monkeypatch: pytest.MonkeyPatch):
    plug("test_burst", BURST)
    before, capacity = get_channel("burst"), ergodic_capacity("burst", 0.0)
    assert get_channel("burst:power_db=10") is before
    plug("test_burst", BURST.replace("10 ** (spec", "100 * 10 ** (spec").replace("return 1", "return 2"))
    assert get_channel("burst") is not before and get_channel("burst").overhead(1) == 2
    assert ergodic_capacity("burst", 0.0) < capacity
    monkeypatch.setenv(PLUGINS, "")
    KINDS.forget()
    with pytest.raises(ValueError, match="unknown channel 'burst'"):
        get_channel("burst")
    assert channel_label("burst") == "burst"


def test_a_channel_of_a_file_is_named_first_and_known_by_its_checksum(plug: Plug):
    plug("test_trace", TRACE)
    assert canonical("trace:indoor,snr=+3.0") == canonical("trace:snr=+3,name=indoor") == "trace:indoor,snr=+3"
    assert re.fullmatch(r"[\w.-]+", file_name("trace:indoor,snr=+3"))
    assert channel_label("trace:outdoor") == "Recorded, outdoor"
    assert identity("trace:outdoor,snr=+3") == "outdoor:c0ffee" and identity("tdl_a") == identity("awgn") == ""
    assert ergodic_capacity("trace:outdoor", 6.0) == pytest.approx(math.log2(1 + 10**0.6 / 4), rel=1e-4)
    for text, said in (
        ("trace", "channel trace needs its name, as in trace:indoor"),
        ("trace:", "option name of channel trace needs a value, as in name=indoor"),
        ("trace:snr=+3", "needs its name"),
        ("trace:indor", "name of channel trace must be indoor or outdoor, got 'indor'"),
        ("trace:indoor,outdoor", "unknown option 'outdoor' of channel trace"),
        ("trace:indoor,name=outdoor", "is given twice"),
    ):
        with pytest.raises(ValueError, match=said):
            parse_channel(text)


def test_a_receiver_of_full_knowledge_changes_nothing_of_the_air():
    spec = parse_channel("rician_block:k_db=3,pilots=4,csi=ls,snr=blind")
    assert str(spec.informed) == "rician_block:k_db=3"
    assert str(spec.but(snr="told", delay_spread_ns=7)) == "rician_block:k_db=3,pilots=4,csi=ls"
    symbols = gaussian_symbols(2, 1, 3, 3)
    received = [equalise(get_channel(str(s))(symbols, torch.zeros(2), stream())).snr_db for s in (spec, spec.informed)]
    assert not torch.equal(*received)
