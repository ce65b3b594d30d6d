"""The report: self-contained, complete, honest about small samples; and the training curves it reads."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from evaluation_cases import make_batch, place_table, predictor

from overcast.batch import InputModalities
from overcast.errors import InputError
from overcast.evaluation.machine import describe_machine
from overcast.evaluation.panels import decode_png
from overcast.evaluation.result import Evaluation, EvaluationOptions
from overcast.evaluation.run import evaluate
from overcast.evaluation.selection import PanelOptions
from overcast.report import tables
from overcast.report.data import available_text
from overcast.report.history import read_history
from overcast.report.page import Origin, ReportData, Result, render_report, write_report

SEEDS = range(8)
QUALITY = {
    ("cmhcl", InputModalities.SAR): 0.9,
    ("sar_twin", InputModalities.SAR): 1.2,
    ("fusion", InputModalities.BOTH): 0.4,
    ("fusion", InputModalities.BOTH_OPTICAL_ZERO): 2.5,
}


def run(noise: float, keys: dict[str, Any] | None = None, gsd_m: float = 0.5) -> Evaluation:
    options = EvaluationOptions(min_area_m2=2, panels=PanelOptions(count=1, size_px=32, keys=keys))
    batches = (make_batch([seed]) for seed in SEEDS)
    return evaluate(predictor(noise, seed=int(noise * 10)), batches, place_table(SEEDS), gsd_m, options)


@pytest.fixture(scope="module")
def data() -> ReportData:
    lead = run(0.9)
    results = [Result("cmhcl", InputModalities.SAR, lead)]
    results += [Result(name, given, run(noise, lead.panel_keys)) for (name, given), noise in list(QUALITY.items())[1:]]
    return ReportData(
        title="Buildings <from> radar",
        class_name="building",
        data_set="a made-up city",
        split="four places",
        model="tiny",
        origin=Origin.SIMULATED,
        created="1 May 2025",
        machine=describe_machine(),
        command="overcast evaluate 'runs/a & b'",
        results=tuple(results),
        caveats=("Trees are missing.",),
    )


class Page(HTMLParser):
    """Tags, addresses and text of a page; checks that tags nest."""

    VOID = frozenset({"meta", "img", "link", "br", "input", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href", "action", "data", "srcset"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_the_page_needs_nothing_else(data):
    html = render_report(data)
    page = Page(html)
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"https?://|@import|url\(", html)
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html


def test_every_picture_decodes(data):
    pictures = [decode_png(base64.b64decode(address.split(",")[1])) for address in Page(render_report(data)).addresses]
    assert {picture.shape for picture in pictures} == {(32, 32, 3)}
    assert len(pictures) == 3 * (3 + 2 * len(QUALITY))


def test_user_text_is_escaped(data):
    html = render_report(data)
    assert "Buildings &lt;from&gt; radar" in html
    assert "<from>" not in html
    assert "runs/a &amp; b" in html


def test_the_numbers_are_in_the_page(data):
    text = Page(render_report(data)).text
    for result in data.results:
        assert f"{result.evaluation.pixels.iou:.3f}" in text
        interval = result.evaluation.iou_interval()
        assert f"{interval.low:.3f} to {interval.high:.3f}" in text
    for place in data.lead.evaluation.places:
        assert place in text
    for fact in ("a made-up city", "four places", "tiny", "1 May 2025", "Trees are missing.", "Given SAR alone"):
        assert fact in text
    assert "nan" not in text.lower().split()


def test_the_match_rate_stands_beside_polis(data):
    table = tables.score_table(data)
    rate = table.columns.index("Match rate")
    assert table.columns[rate + 1] == "PoLiS (m)"
    counts = data.lead.evaluation.total.instances
    assert table.groups[0].rows[0].cells[rate].text == f"{counts.tp / (counts.tp + counts.fn):.3f}"


def test_the_headline_compares_with_control_and_ceiling(data):
    text = Page(render_report(data)).text
    assert "Its control, sar_twin, reaches" in text
    assert "Recovery ratio" in text
    assert "the interval excludes 0" in text or "no difference is shown" in text
    alone = Page(render_report(replace(data, results=data.results[:1]))).text
    assert "control" not in alone
    assert "Recovery ratio" not in alone


def test_equal_results_show_no_difference(data):
    twin = Result("sar_twin", InputModalities.SAR, data.lead.evaluation)
    text = Page(render_report(replace(data, results=(data.lead, twin)))).text
    assert "+0.000 (+0.000 to +0.000): the interval includes 0, so no difference is shown" in text


def test_the_report_says_what_is_simulated(data):
    assert "say nothing about real scenes" in render_report(data)
    real = render_report(replace(data, origin=Origin.REAL))
    assert "Real imagery" in real
    assert "simulated" not in Page(real).text.lower()


def test_caveats_follow_from_the_results(data):
    assert "only 4 places" in render_report(data)
    assert "not a method" in render_report(data)
    batches = [make_batch([0, 4])]
    one = evaluate(predictor(1.0), batches, place_table(SEEDS), 10.0, EvaluationOptions(instances=False))
    text = Page(render_report(replace(data, results=(Result("sar", InputModalities.SAR, one),)))).text
    assert "there is no interval" in text
    assert "coarser than the band of 1 m" in text
    assert "one place: no interval" in text


def test_a_single_result_without_pictures_or_optical_still_reports(data):
    options = EvaluationOptions(instances=False, panels=PanelOptions(count=0))
    batch = make_batch([1, 2, 3], optical=False)
    lean = evaluate(predictor(1.0), [batch], place_table(SEEDS), 0.5, options)
    page = Page(render_report(replace(data, results=(Result("sar", InputModalities.SAR, lean),), origin=Origin.REAL)))
    assert page.addresses == []
    assert "Pictures" not in page.text
    assert "–" in page.text


def test_many_places_are_cut_to_the_ends(data):
    seeds = range(30)
    options = EvaluationOptions(instances=False, panels=PanelOptions(count=0))
    places = {f"chip-{seed}": f"place {seed}" for seed in seeds}
    many = evaluate(predictor(1.0), (make_batch([s], 32) for s in seeds), places, 0.5, options)
    table = tables.place_table(replace(data, results=(Result("sar", InputModalities.SAR, many),)))
    scores = [row.iou for row in table.rows]
    assert len(scores) == tables.MAX_PLACES
    assert table.left_out == 30 - tables.MAX_PLACES
    assert scores == sorted(scores)


def test_writing_is_complete_or_not_at_all(data, tmp_path, monkeypatch):
    path = tmp_path / "new" / "report.html"
    write_report(path, data)
    first = path.read_text(encoding="utf-8")
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]
    broken = replace(data, training={"cmhcl": tmp_path / "missing.csv"})
    with pytest.raises(InputError):
        write_report(path, broken)
    assert path.read_text(encoding="utf-8") == first


def test_a_report_needs_a_result(data):
    with pytest.raises(ValueError, match="needs a result"):
        replace(data, results=())


def test_every_availability_has_words():
    assert len({available_text(available) for available in InputModalities}) == len(InputModalities)


# Training curves


def write_csv(path: Path) -> Path:
    rows = ["epoch,step,train/loss,train/msa,validation/iou,lr"]
    rows += [f"{step // 50},{step},{2 - step / 100},{0.5 - step / 400},,0.001" for step in range(0, 100, 10)]
    rows += ["0,50,,,0.4,", "1,100,,,0.6,"]
    path.write_text("\n".join(rows))
    return path


def test_history_reads_gaps(tmp_path):
    history = read_history(write_csv(tmp_path / "metrics.csv"))
    assert set(history.losses) == {"train/loss", "train/msa"}
    assert history.main_score == ((50.0, 0.4), (100.0, 0.6))
    assert history.main_loss is not None
    assert history.main_loss[0] == (0.0, 2.0)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "step,loss\n1,x\n", "step,loss\n1,2,3\n"])
def test_a_table_of_something_else_is_refused(tmp_path, text):
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"metrics\.csv"):
        read_history(path)


def test_training_curves_are_in_the_report(data, tmp_path):
    csv = write_csv(tmp_path / "metrics.csv")
    text = Page(render_report(replace(data, training={"cmhcl": csv, "sar_twin": csv}))).text
    assert "Validation IoU" in text
    assert "Loss terms of cmhcl" in text
    assert "Training loss" not in Page(render_report(data)).text
