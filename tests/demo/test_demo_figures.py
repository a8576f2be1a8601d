"""Symbols on the I/Q plane, the scale of uncertainty maps, and HTML that holds whatever a file is called."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from jscgc.demo import markup
from jscgc.demo.choice import Choice
from jscgc.demo.figures import POINTS, SCALES, Points, brightest, constellation, points
from jscgc.demo.shown import Refused, Shown, Transmission
from jscgc.flow.params import SampleParams
from jscgc.systems.base import OnAir


def on_air(count: int, error: float) -> OnAir:
    rng = torch.Generator().manual_seed(0)
    sent = torch.polar(torch.ones(count), 6.28 * torch.rand(count, generator=rng)).reshape(1, 1, count)
    return OnAir(sent, 2j * sent, sent * (1 + error))


def test_points_are_the_symbols_and_their_error():
    few = points(on_air(10, error=0.1))
    assert few.total == 10
    np.testing.assert_array_equal(few.received, 2j * few.sent)
    assert few.error_db == pytest.approx(-20, abs=1e-3)
    many = points(on_air(5 * POINTS, error=0.0))
    assert len(many.sent) == len(many.equalised) == POINTS and many.total == 5 * POINTS
    assert many.error_db == pytest.approx(-120)


def test_the_constellation_draws_every_symbol_on_three_planes_of_one_scale():
    drawn = points(on_air(10, error=0.1))
    figure = constellation(drawn)
    for trace, symbols in zip(figure.data, (drawn.sent, drawn.received, drawn.equalised), strict=True):
        np.testing.assert_allclose(np.asarray(trace.x) + 1j * np.asarray(trace.y), symbols, atol=2e-3)
        np.testing.assert_allclose(trace.marker.color, np.degrees(np.angle(drawn.sent)), atol=0.51)
    layout = figure.layout
    assert layout.xaxis.range == layout.xaxis3.range == layout.yaxis2.range
    assert layout.xaxis.range[1] >= 2


def test_one_outlier_does_not_shrink_the_rest():
    sent = np.exp(2j * np.pi * np.arange(1000) / 1000).astype(np.complex64)
    wild = sent.copy()
    wild[0] = 1000
    assert constellation(Points(sent, wild, sent, 1000, 0.0)).layout.xaxis.range[1] < 2


@pytest.mark.parametrize("spread, scale", [(0.001, SCALES[0]), (0.03, 0.05), (0.07, 0.1), (0.2, 0.25), (0.6, 0.25)])
def test_maps_share_the_least_scale_that_holds_them(spread, scale):
    assert brightest([np.full((8, 8), 0.001, np.float32), np.full((8, 8), spread, np.float32)]) == scale


def choice(name: str) -> Choice:
    return Choice(name, name, "", ("jscgc", "hevc_ldpc"), "awgn", 5.0, "8/768", 64, 2, 1.5, 2, 0)


def arrived(spread: float) -> Shown:
    stream = io.BytesIO()
    Image.new("RGB", (16, 8)).save(stream, format="PNG")
    names = ("jscgc", "jscgc_sample_2", "jscgc_mean", "jscgc_uncertainty")
    row = {"method": "jscgc", "k": 1536, "cbr_exact": 0.01, "nfe": 8, "encode_ms": 1.0, "decode_ms": 2.0, "samples": 2}
    row |= {"metrics": {"psnr": 20.0}, "mean_metrics": {"psnr": 21.0}}
    return Shown("jscgc", row, dict.fromkeys(names, stream.getvalue()), None, np.full((8, 16), spread, np.float32))


def test_names_and_reasons_are_text_and_nothing_else():
    evil = "<img src=x onerror=alert(1)>\"'![x](http://example.com/x.png).png"
    sent = Transmission(choice(evil), np.zeros((8, 16, 3), np.uint8), {"hevc_ldpc": Refused("hevc_ldpc", evil, True)})
    for html in (markup.note(evil), markup.facts(sent), markup.pictures(sent.photo, sent.choice.methods, sent)):
        assert "<img src=x" not in html and "&lt;img src=x" in html


def test_pictures_say_what_each_method_is_up_to():
    sent = Transmission(choice("a.png"), np.zeros((8, 16, 3), np.uint8))
    methods = sent.choice.methods
    assert markup.pictures(sent.photo, methods, None).count("press Send") == 2
    assert "on its way" in (html := markup.pictures(sent.photo, methods, sent)) and "next" in html
    sent.done = {"jscgc": arrived(0.1), "hevc_ldpc": Refused("hevc_ldpc", "the link carries 3 bits", True)}
    html = markup.pictures(sent.photo, methods, sent)
    assert "cannot operate" in html and "the link carries 3 bits" in html and "20.0 dB" in html
    failed = arrived(0.1)
    failed.row["failed"] = True
    sent.done["jscgc"] = failed
    assert "channel decoder failed" in markup.pictures(sent.photo, methods, sent)
    sent.stopped, sent.done = True, {}
    assert markup.pictures(sent.photo, methods, sent).count("stopped") == 2


def test_the_table_has_directions_means_and_what_it_took():
    html = re.sub(r"\s+", " ", markup.metrics_table([arrived(0.1)]))
    for said in ("PSNR", "↑", "of the samples’ mean", "<td>20</td>", "<td>21</td>", "1,536", "network evaluations"):
        assert said in html, said


def test_the_map_is_drawn_on_the_scale_it_names():
    html = markup.uncertainty([arrived(0.03)])
    assert "0.05 or more" in html
    uri = re.search(r'src="data:image/png;base64,([^"]+)" alt="uncertainty map', html)
    assert uri is not None
    pixel = Image.open(io.BytesIO(base64.b64decode(uri[1]))).getpixel((0, 0))
    from matplotlib import colormaps

    assert pixel == colormaps["inferno"](0.03 / 0.05, bytes=True)[:3]


def test_a_choice_is_a_request():
    request = choice("a.png").request
    assert request.sample == SampleParams(steps=2, guidance=1.5) and request.samples == 2
