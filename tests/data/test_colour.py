"""A photograph's colours are those that a viewer shows: what its file says of them is followed, by whatever way it says it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from jscgc.data.colour import Colour
from jscgc.data.images import PhotoError, open_in_full, open_photo
from jscgc.data.profiles import rgb_profile

# Linear light to XYZ, as CSS Color 4 lists it: of D65, but for ProPhoto's, which is of D50.
P3 = [[0.4865709, 0.2656677, 0.1982173], [0.2289746, 0.6917385, 0.0792869], [0, 0.0451134, 1.0439444]]
ADOBE = [[0.5766690, 0.1855582, 0.1882286], [0.2973450, 0.6273636, 0.0752915], [0.0270314, 0.0706889, 0.9913375]]
PROPHOTO = [[0.7977605, 0.1351858, 0.0313493], [0.2880711, 0.7118432, 0.0000857], [0, 0, 0.8251046]]
BT2020 = [[0.6369580, 0.1446169, 0.1688810], [0.2627002, 0.6779981, 0.0593017], [0, 0.0280727, 1.0609851]]
SRGB = [[0.4123908, 0.3575843, 0.1804808], [0.2126390, 0.7151687, 0.0721923], [0.0193308, 0.1191948, 0.9505322]]
D50_TO_D65 = [
    [0.9554735, -0.0230985, 0.0632593],
    [-0.0283697, 1.0099955, 0.0210414],
    [0.0123140, -0.0205077, 1.3303659],
]

WHITE, P3_XY = (0.3127, 0.3290), (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
SRGB_XY = (*WHITE, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE_XY = (*WHITE, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ROMM_XY = (0.3457, 0.3585, 0.734699, 0.265301, 0.159597, 0.840403, 0.036598, 0.000105)

# What a viewer shows: flat squares, so that codecs with losses keep them.
SHOWN = np.random.default_rng(0).integers(40, 216, (4, 4, 3)).repeat(16, 0).repeat(16, 1).astype(np.uint8)


def decoded(values: np.ndarray) -> np.ndarray:
    """sRGB's curve, to linear light."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def stored(space: list[list[float]], gamma: float | None) -> np.ndarray:
    """The numbers of SHOWN in another space."""
    to_xyz = np.array(space) if space is not PROPHOTO else np.array(D50_TO_D65) @ np.array(space)
    light = decoded(SHOWN / 255) @ np.array(SRGB).T @ np.linalg.inv(to_xyz).T
    numbers = encoded(light) if gamma is None else np.clip(light, 0, 1) ** (1 / gamma)
    return np.round(numbers * 255).astype(np.uint8)


WIDE = {
    "Display P3": (P3, None, rgb_profile((*WHITE, *P3_XY), None)),
    "Adobe RGB": (ADOBE, 563 / 256, rgb_profile(ADOBE_XY, 563 / 256)),
    "ProPhoto": (PROPHOTO, 1.8, rgb_profile(ROMM_XY, 1.8)),
}
CARRIERS = {
    "png": {},
    "jpg": {"quality": 100, "subsampling": 0},
    "tif": {},
    "webp": {"lossless": True, "exact": True},
    "avif": {"quality": 100, "subsampling": "4:4:4"},
}


def seen(numbers: np.ndarray, space: list[list[float]], gamma: float | None) -> np.ndarray:
    """What a viewer shows of numbers in another space."""
    to_xyz = np.array(space) if space is not PROPHOTO else np.array(D50_TO_D65) @ np.array(space)
    light = decoded(numbers / 255) if gamma is None else (numbers / 255) ** gamma
    return 255 * encoded(light @ to_xyz.T @ np.linalg.inv(np.array(SRGB)).T)


def apart(path: Path) -> int:
    return int(np.abs(open_photo(path).astype(int) - SHOWN).max())


@pytest.mark.parametrize("profile", WIDE)
@pytest.mark.parametrize("suffix", CARRIERS)
def test_an_embedded_profile_is_followed(tmp_path: Path, suffix: str, profile: str) -> None:
    space, gamma, icc = WIDE[profile]
    numbers = stored(space, gamma)
    assert np.abs(numbers.astype(int) - SHOWN).max() > 25
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(numbers).save(path, icc_profile=icc, **CARRIERS[suffix])
    in_the_file = np.asarray(Image.open(path)).astype(float)  # some formats lose a little
    assert np.abs(in_the_file - numbers).max() <= 3
    assert np.abs(open_photo(path) - seen(in_the_file, space, gamma)).max() <= 2
    assert open_in_full(path).colour.converted


def test_heic_with_a_profile_and_with_codes(tmp_path: Path) -> None:
    picture = pillow_heif.from_pillow(Image.fromarray(stored(P3, None)))
    best = {"quality": 100, "chroma": "444"}
    picture.save(tmp_path / "codes.heic", color_primaries=12, transfer_characteristics=13, **best)
    picture.info["icc_profile"] = WIDE["Display P3"][2]
    picture.save(tmp_path / "profile.heic", **best)
    for name in ("codes", "profile"):
        assert apart(tmp_path / f"{name}.heic") <= 5, name
    assert open_in_full(tmp_path / "codes.heic").colour == Colour("Display P3", converted=True)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(numbers: np.ndarray, *chunks: bytes) -> bytes:
    whole = io.BytesIO()
    Image.fromarray(numbers).save(whole, "PNG")
    return whole.getvalue()[:33] + b"".join(chunks) + whole.getvalue()[33:]


def chrm(xy: tuple[float, ...]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(100000 * value) for value in xy)))


def gama(exponent: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(100000 * exponent)))


def as_gamma(exponent: float) -> np.ndarray:
    return stored(SRGB, exponent)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (png_with(stored(P3, None), chunk(b"cICP", bytes([12, 13, 0, 1]))), "Display P3"),
        (png_with(stored(BT2020, None), chunk(b"cICP", bytes([9, 1, 0, 1]))), "BT.2020"),
        (png_with(stored(ADOBE, 563 / 256), chrm(ADOBE_XY), gama(256 / 563)), "PNG cHRM"),
        (png_with(as_gamma(1.0), gama(1.0)), "PNG gAMA"),
        (png_with(as_gamma(1.8), chrm(SRGB_XY), gama(1 / 1.8)), "PNG gAMA"),
    ],
)
def test_what_a_png_says_without_a_profile(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    # Linear light has few levels in the dark.
    assert apart(tmp_path / "a.png") <= (9 if name == "PNG gAMA" else 3)
    colour = open_in_full(tmp_path / "a.png").colour
    assert colour.converted and colour.profile.startswith(name)


def test_codes_come_before_the_profile_and_srgb_before_gamma(tmp_path: Path) -> None:
    coded = chunk(b"cICP", bytes([1, 13, 0, 1]))
    profile = chunk(b"iCCP", b"P3\0\0" + zlib.compress(WIDE["Display P3"][2]))
    for chunks in ((coded, profile), (chunk(b"sRGB", b"\0"), gama(1.0))):
        (tmp_path / "a.png").write_bytes(png_with(SHOWN, *chunks))
        np.testing.assert_array_equal(open_photo(tmp_path / "a.png"), SHOWN)


def test_avif_s_codes(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    Image.fromarray(stored(P3, None)).save(path, **CARRIERS["avif"])
    content = path.read_bytes()
    place = content.index(b"colrnclx") + 8
    path.write_bytes(content[:place] + struct.pack(">H", 12) + content[place + 2 :])
    assert apart(path) <= 4 and open_in_full(path).colour.profile == "Display P3"


def jpeg_2000(numbers: np.ndarray, colr: bytes) -> bytes:
    """With another colour box."""
    whole = io.BytesIO()
    Image.fromarray(numbers).save(whole, "JPEG2000")
    content = whole.getvalue()
    place = content.index(b"colr") - 4
    (size,) = struct.unpack(">I", content[place : place + 4])
    box = struct.pack(">I", 8 + len(colr)) + b"colr" + colr
    head = content.index(b"jp2h") - 4
    (outer,) = struct.unpack(">I", content[head : head + 4])
    inside = content[head + 4 : place] + box + content[place + size :]
    return content[:head] + struct.pack(">I", outer - size + len(box)) + inside


@pytest.mark.parametrize(
    ("wide", "colr"),
    [("Display P3", b"\2\0\0" + WIDE["Display P3"][2]), ("ProPhoto", b"\1\0\0" + struct.pack(">I", 21))],
)
def test_jpeg_2000_s_box(tmp_path: Path, wide: str, colr: bytes) -> None:
    path = tmp_path / "a.jp2"
    path.write_bytes(jpeg_2000(stored(*WIDE[wide][:2]), colr))
    assert apart(path) <= 3 and open_in_full(path).colour.converted


def test_a_camera_s_mark_of_adobe_rgb(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 0xFFFF, 0xA005: {1: "R03"}}
    Image.fromarray(stored(*WIDE["Adobe RGB"][:2])).save(tmp_path / "_A.jpg", exif=exif, **CARRIERS["jpg"])
    assert apart(tmp_path / "_A.jpg") <= 4
    exif[0x8769] = {0xA001: 1, 0xA005: {1: "R98"}}
    Image.fromarray(SHOWN).save(tmp_path / "A.jpg", exif=exif, **CARRIERS["jpg"])
    assert open_in_full(tmp_path / "A.jpg").colour == Colour()


def profile_of(space: bytes, pcs: bytes, **tags: bytes) -> bytes:
    """An ICC profile of version 2."""
    body, table, offset = b"", struct.pack(">I", len(tags)), 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name.encode(), offset + len(body), len(content))
        body += content
    head = struct.pack(">I4xI4s4s4s12x4s", offset + len(body), 0x02400000, b"prtr", space, pcs, b"acsp")
    return head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061).ljust(60, b"\0") + table + body


def grey_profile(gamma: float) -> bytes:
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    return profile_of(b"GRAY", b"XYZ ", wtpt=b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061), kTRC=curve)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_grey_profile(tmp_path: Path, mode: str) -> None:
    ramp = np.arange(32, 256, dtype=np.uint8)[None]
    picture = Image.fromarray(ramp).convert(mode)
    picture.save(tmp_path / "a.png", icc_profile=grey_profile(1.0))
    expected = np.round(255 * encoded(ramp / 255))
    assert np.abs(open_photo(tmp_path / "a.png") - expected[..., None]).max() <= 2
    picture.save(tmp_path / "b.png", icc_profile=WIDE["ProPhoto"][2])  # of colours, greys among them
    expected = np.round(255 * encoded((ramp / 255) ** 1.8))
    assert np.abs(open_photo(tmp_path / "b.png") - expected[..., None]).max() <= 2


def cmyk_profile() -> bytes:
    """Inks whose full cyan is a dark blue-green, by a table of two levels an ink (lut8) to Lab."""
    table = []
    for inks in np.ndindex(2, 2, 2, 2):
        cyan, magenta, yellow, black = inks
        light = 100 * (1 - black) * (1 - 0.5 * cyan) * (1 - 0.5 * magenta) * (1 - 0.1 * yellow)
        a, b = 60 * magenta - 40 * cyan, 80 * yellow - 40 * cyan
        table += [round(light * 2.55), round(a + 128), round(b + 128)]
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    ramp = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + 4 * ramp + bytes(table) + 3 * ramp
    return profile_of(b"CMYK", b"Lab ", A2B0=lut)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_inks_are_those_of_the_profile(tmp_path: Path, suffix: str) -> None:
    picture = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    plain, inks = tmp_path / f"plain.{suffix}", tmp_path / f"inks.{suffix}"
    picture.save(plain)
    picture.save(inks, icc_profile=cmyk_profile())
    assert np.abs(open_photo(plain)[0, 0].astype(int) - [0, 255, 255]).max() < 8
    # Lab (50, -40, -40) is about (0, 139, 189).
    assert np.abs(open_photo(inks)[0, 0].astype(int) - [0, 139, 189]).max() < 16
    assert open_in_full(inks).colour.converted


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_srgb_stays_as_it_is_whatever_says_so(tmp_path: Path, mode: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    picture = Image.fromarray(noise).convert(mode)
    picture.save(tmp_path / "plain.png")
    expected = open_photo(tmp_path / "plain.png")
    standard = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (standard, rgb_profile(SRGB_XY, None)):
        picture.save(tmp_path / "a.png", icc_profile=icc)
        np.testing.assert_array_equal(open_photo(tmp_path / "a.png"), expected)
        assert not open_in_full(tmp_path / "a.png").colour.converted
    (tmp_path / "a.png").write_bytes(png_with(noise, chrm(SRGB_XY), gama(0.45455)))
    np.testing.assert_array_equal(open_photo(tmp_path / "a.png"), noise)


def test_transparency_stays_where_colours_are_converted(tmp_path: Path) -> None:
    numbers = np.dstack([stored(P3, None), np.full(SHOWN.shape[:2], 255, np.uint8)])
    numbers[:16, :16, 3] = 0
    Image.fromarray(numbers).save(tmp_path / "a.png", icc_profile=WIDE["Display P3"][2])
    photo = open_photo(tmp_path / "a.png").astype(int)
    assert (photo[:16, :16] == 255).all() and np.abs(photo[16:] - SHOWN[16:]).max() <= 3


def damaged_png() -> bytes:
    return png_with(SHOWN, chunk(b"iCCP", b"a\0\0" + b"no deflate stream"))


def of_kind(icc: bytes) -> Callable[[], bytes]:
    def made() -> bytes:
        return png_with(SHOWN, chunk(b"iCCP", b"a\0\0" + zlib.compress(icc)))

    return made


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (damaged_png, "damaged"),
        (of_kind(b"garbage"), "damaged"),
        (of_kind(WIDE["Display P3"][2][:200]), "damaged"),
        (of_kind(cmyk_profile()), "for CMYK"),
        (of_kind(grey_profile(1.0)), "for GRAY"),
        (lambda: png_with(SHOWN, chrm((0.3, 0.3) * 4), gama(0.5)), "no sense"),
        (lambda: png_with(SHOWN, chunk(b"cICP", bytes([77, 13, 0, 1]))), "not known"),
    ],
)
def test_what_can_t_be_followed_is_taken_as_srgb_and_said(tmp_path: Path, make: Callable[[], bytes], why: str) -> None:
    (tmp_path / "a.png").write_bytes(make())
    opened = open_in_full(tmp_path / "a.png")
    np.testing.assert_array_equal(opened.pixels, SHOWN)
    assert why in opened.colour.why and str(opened.colour).startswith("taken as sRGB: ")


@pytest.mark.parametrize("transfer", [16, 18])
def test_light_beyond_white_is_refused_in_one_line(tmp_path: Path, transfer: int) -> None:
    (tmp_path / "a.png").write_bytes(png_with(SHOWN, chunk(b"cICP", bytes([9, transfer, 0, 1]))))
    with pytest.raises(PhotoError, match=r"^[^\n]*a\.png: unreadable image \(light beyond white[^\n]*$"):
        open_photo(tmp_path / "a.png")
