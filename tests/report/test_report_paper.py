"""Figures, tables and the PDF for a paper: their numbers by pandas, their bytes twice, their LaTeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from jscgc.files import sha256
from jscgc.report import summarise
from jscgc.report.booklet import save_paper
from jscgc.report.paper import paper_figures
from jscgc.report.reading import checked, number
from jscgc.report.summary import matrices
from jscgc.report.tables import escape

Maker = Callable[..., pd.DataFrame]


def with_semantics(table: pd.DataFrame) -> pd.DataFrame:
    psnr = table[table["metric"] == "psnr"]
    cosine = psnr.assign(metric="semantic_cosine_efficientnet_lite2", value=psnr["value"] / 50)
    stuck = psnr[(psnr["method"] == "mambajscc_psnr") & (psnr["snr_db"] == 0)]
    stuck = stuck.assign(method="hevc_ldpc", steps=0, metric="cannot_operate", value=1.0)
    return pd.concat([table, cosine, stuck], ignore_index=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, reports: Path) -> Path:
    table = with_semantics(pd.read_csv(reports / "results.csv"))
    folder = tmp_path_factory.mktemp("paper")
    Image.new("RGB", (80, 60), "navy").save(folder / "grid.png")
    save_paper(
        folder,
        matrices(checked(table)),
        summarise(table),
        commit="abc",
        profile="smoke",
        notes=["a $note_ that is no mathematics"],
    )
    return folder


def test_what_is_written(written: Path) -> None:
    names = {p.name for p in (written / "figures").iterdir()}
    stems = {f"{kind}_awgn_{rate}" for kind in ("quality", "semantics") for rate in (2, 8)} | {"quality_over_cbr_awgn"}
    assert names == {f"{stem}.{end}" for stem in stems for end in ("svg", "png")}
    tables = {p.name for p in (written / "tables").iterdir()}
    assert tables == {
        "headline.tex",
        "headline.csv",
        "results.csv",
        "published.csv",
        "results_awgn_2.tex",
        "results_awgn_8.tex",
    }
    pdf = (written / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-") and b"/CreationDate" not in pdf
    # The words, the table, the pictures, the readings, five figures.
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 4 + len(stems)


def test_the_same_results_give_the_same_bytes(written: Path, reports: Path, tmp_path: Path) -> None:
    table = with_semantics(pd.read_csv(reports / "results.csv"))
    shutil.copy(written / "grid.png", tmp_path)
    save_paper(
        tmp_path,
        matrices(checked(table)),
        summarise(table),
        commit="abc",
        profile="smoke",
        notes=["a $note_ that is no mathematics"],
    )
    for name in ("figures", "tables", "report.pdf"):
        assert sha256(tmp_path / name) == sha256(written / name), name


def test_figures_show_the_tables_means(make: Maker) -> None:
    table = make()
    figure = paper_figures(summarise(table))["quality_awgn_8"]
    own = table[(table["method"] == "jscgc") & (table["cbr"] > 0.005)]
    for axes in figure.axes:
        metric = "psnr" if axes.get_title().startswith("PSNR") else "fid_efficientnet_lite2"
        expected = own[own["metric"] == metric].groupby("snr_db")["value"].mean()
        (line,) = [line for line in axes.get_lines() if line.get_color() == "#2f7de1"]
        assert list(line.get_xdata()) == list(expected.index)
        assert list(line.get_ydata()) == pytest.approx(list(expected))


def test_csv_means_are_those_of_pandas(written: Path, reports: Path) -> None:
    raw = with_semantics(pd.read_csv(reports / "results.csv"))
    found = pd.read_csv(written / "tables" / "results.csv")
    key = ["method", "channel", "snr_db", "cbr", "steps", "metric"]
    expected = raw.groupby(key)["value"].mean()
    means = found.dropna(subset="mean").set_index(key)["mean"]
    pd.testing.assert_series_equal(means.sort_index(), expected.sort_index(), check_names=False)
    assert (found["low"] <= found["mean"] + 1e-12)[found["mean"].notna()].all()
    assert (found[found["mean"].isna()]["method"] == "hevc_ldpc").all()


def test_latex_rows_have_the_tables_numbers_the_best_bold(written: Path, reports: Path) -> None:
    text = (written / "tables" / "results_awgn_8.tex").read_text(encoding="utf-8")
    raw = pd.read_csv(reports / "results.csv")
    block = text[text.index("$0$ dB") : text.index("$5$ dB")]
    for label, method in (("JSCGC", "jscgc"), ("MambaJSCC (PSNR)", "mambajscc_psnr")):
        own = raw[(raw["method"] == method) & (raw["snr_db"] == 0) & (raw["cbr"] > 0.005)]
        (line,) = [line for line in block.splitlines() if line.startswith(f"{label} &")]
        for metric, cell in zip(("psnr", "semantic", "fid_efficientnet_lite2"), line.split(" & ")[1:], strict=True):
            if metric != "semantic":
                mean = number(own[own["metric"] == metric]["value"].mean())
                assert re.match(rf"(\\textbf{{)?{re.escape(mean)}\b", cell), (metric, cell)
    assert r"\emph{fails}" in next(line for line in block.splitlines() if line.startswith("HEVC"))
    headline = (written / "tables" / "headline.tex").read_text(encoding="utf-8")
    assert headline.count(r"\textbf{") >= 3  # one a metric


def test_only_the_best_is_bold(make: Maker, tmp_path: Path) -> None:
    table = make()
    table.loc[table["method"] == "mambajscc_psnr", "value"] += 10  # higher PSNR, but a higher Fréchet distance too
    save_paper(tmp_path, matrices(checked(table)), summarise(table), commit="", profile="smoke")
    text = (tmp_path / "tables" / "headline.tex").read_text(encoding="utf-8")
    ours, other = (
        next(x for x in text.splitlines() if x.startswith(name)).split(" & ")[1:] for name in ("JSCGC &", "Mamba")
    )
    assert ["textbf" in cell for cell in ours] == [False, True] and ["textbf" in cell for cell in other] == [
        True,
        False,
    ]


def test_latex_is_well_formed(written: Path, tmp_path: Path) -> None:
    for path in sorted((written / "tables").glob("*.tex")):
        text = path.read_text(encoding="utf-8")
        assert text.isascii() and text.count("{") == text.count("}") and text.count("$") % 2 == 0
        for name in ("table*", "tabular"):
            assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
        assert [text.count(rule) for rule in (r"\toprule", r"\bottomrule")] == [1, 1] and r"\midrule" in text
        columns = len(re.findall(r"\\begin{tabular}{(lr*)}", text)[0])
        lines = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {columns}
    if pdflatex := shutil.which("pdflatex"):
        inputs = "\n".join(rf"\input{{{p}}}" for p in sorted((written / "tables").glob("*.tex")))
        source = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{inputs}\end{{document}}"
        (tmp_path / "all.tex").write_text(source)
        done = subprocess.run([pdflatex, "-halt-on-error", "all.tex"], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]


def test_escaping() -> None:
    assert escape("a_b & 5 % of {x} ~ – −1 é") == r"a\_b \& 5 \% of \{x\} \textasciitilde{} -- $-$1 \'e"


def test_results_without_a_metric_make_a_pdf_that_says_so(make: Maker, tmp_path: Path) -> None:
    table = make()
    table = table[table["metric"] == "nfe"]
    save_paper(tmp_path, matrices(checked(table)), summarise(table), commit="", profile="smoke")
    assert (tmp_path / "report.pdf").stat().st_size > 1000 and not list((tmp_path / "figures").iterdir())
