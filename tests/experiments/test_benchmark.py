"""The benchmark: equal conditions, resumption, tuning on validation only, tables that follow from the counts."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from overcast.batch import InputModalities
from overcast.cli import app
from overcast.errors import ConfigError, LeakError
from overcast.evaluation.seeds import Runs, difference_over_seeds, iou_over_seeds, recovery_over_seeds
from overcast.experiments.benchmark.comparisons import difference_table, drop_table
from overcast.experiments.benchmark.jobs import Job, final_jobs, trial_jobs
from overcast.experiments.benchmark.options import BenchmarkConfig, load_benchmark
from overcast.experiments.benchmark.report import write_benchmark
from overcast.experiments.benchmark.runner import Finished, kept, prepare_data, run_benchmark
from overcast.experiments.benchmark.tables import FIGURES, Scores, score_tables
from overcast.experiments.benchmark.work import Row
from overcast.experiments.benchmark.workers import Workers
from overcast.metrics.pixel import PixelCounts
from overcast.report.text_tables import DASH, Table, latex, markdown
from overcast.settings import read_settings
from overcast.simulator.options import SimulationOptions

pytestmark = pytest.mark.usefixtures("one_thread")

RUN = {
    "network": {
        "preset": "tiny",
        "encoder": "tu-test_resnet",
        "pretrained": False,
        "decoder_channels": [8, 8, 8, 8, 8],
        "fusion_channels": 8,
    },
    "training": {
        "steps": 2,
        "round_steps": 2,
        "batch_size": 4,
        "crop": 32,
        "precision": "fp32",
        "accelerator": "cpu",
        "workers": 0,
    },
}
SPLIT = {"by": "places", "test_share": 0.25, "validation_share": 0.25}


def _write(folder: Path, data: dict[str, Any], **benchmark: Any) -> Path:
    run = folder / "run.yaml"
    run.write_text(yaml.safe_dump({"data": data, **RUN}))
    path = folder / "benchmark.yaml"
    content = {"title": "Tiny", "datasets": {"tiny": {"config": str(run)}}, "seeds": [0], "panels": 2} | benchmark
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def config(tiny_folder: Path, tmp_path: Path) -> Path:
    kd = {"label": "wide", "sets": ["method.name=sar"], "candidates": [["training.crop=32"], ["training.crop=64"]]}
    return _write(
        tmp_path,
        {"root": str(tiny_folder), "split": SPLIT},
        methods=["sar_twin", "fusion", kd],
        seeds=[0, 1],
        optical_shares=[0, 0.5, 1],
    )


def _silent(*_: object) -> None:
    pass


def _run(benchmark: BenchmarkConfig, output: Path, workers: Workers | None = None) -> tuple[Finished, list[str]]:
    done: list[str] = []
    options = prepare_data(benchmark, _silent)
    finished = run_benchmark(
        benchmark, output, options, workers or Workers(), lambda job, _outcome, _done, _all: done.append(job.name)
    )
    return finished, done


def test_every_method_and_seed_has_rows_and_a_second_call_trains_nothing(config: Path, tmp_path: Path) -> None:
    benchmark, output = load_benchmark(config), tmp_path / "out"
    finished, done = _run(benchmark, output)
    assert len(done) == 2 + 3 * 2
    assert not list(output.rglob("last.ckpt"))
    rows = [row for _, outcome in finished.runs for row in outcome.rows]
    given = {(row.label, row.seed, row.available) for row in rows}
    alone = {(label, seed, InputModalities.SAR) for label in ("sar_twin", "wide") for seed in (0, 1)}
    both = {
        ("fusion", seed, way) for seed in (0, 1) for way in (InputModalities.BOTH, InputModalities.BOTH_OPTICAL_ZERO)
    }
    assert given == alone | both
    again, nothing = _run(benchmark, output)
    assert nothing == []
    assert again == finished == kept(benchmark, output)
    compared = load_benchmark(config, ["compare=[[wide, sar_twin]]"])
    report = write_benchmark(compared, kept(compared, output), output, "command")
    for text in (report.html.read_text(), report.markdown.read_text(), report.latex.read_text()):
        assert "wide minus sar" in text
        assert "paired differences, given SAR alone" in text
    with report.csv.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows)
    assert {row["label"]: int(row["parameters"]) for row in table}["sar_twin"] > 0
    html = report.html.read_text()
    assert "<svg" in html
    assert "minus sar_twin" in html
    assert report.pages[0].is_file()
    assert "| wide | 2 |" in report.markdown.read_text()
    spent = sum(outcome.seconds or 0 for _, outcome in (*finished.trials, *finished.runs)) / 3600
    assert f"2 trials and 6 runs, {spent:.2f} hours when added up" in report.markdown.read_text()
    _check_tuning(benchmark, finished)
    _check_older_outcomes(benchmark, output, report.csv.read_text(), tmp_path / "again")
    _check_taken_over_tuning(benchmark, kept(benchmark, output), output)
    scores = Scores(benchmark, "tiny", finished)
    clear = scores.clouded("fusion")
    assert clear[1].value == iou_over_seeds(scores.runs("fusion", InputModalities.BOTH)).value
    assert scores.clouded("sar_twin") == {}
    assert "IoU under clouds" in html


def _row(figures: dict[str, float]) -> Row:
    content = {"dataset": "d", "label": "a", "method": "sar", "settings": "", "seed": 0, "available": "sar"}
    content |= {"parameters": 1, "multiply_adds": 1, "steps": 1, "best_step": 1, "machine": "m", "date": "2026-11-27"}
    return Row.model_validate(content | {"figures": figures})


def _cells(rows: list[Row]) -> dict[str, str]:
    """The figures of a row of the score table, by column."""
    return {figure.title: figure.text(rows) for figure in FIGURES}


def test_figures_that_a_run_lacks_are_a_dash() -> None:
    known = {"iou": 0.5, "instance_recall": 0.25, "polis_m": 1.234, "brier": 0.1, "ece": 0.02}
    rows = [_row(known | {"polis_m": polis}) for polis in (1.0, 2.0)]
    assert {title: text for title, text in _cells(rows).items() if text != DASH} == {
        "match rate": "0.250",
        "PoLiS (m)": "1.50",
        "Brier": "0.100",
        "ECE": "0.020",
    }


def test_an_ablation_takes_over_the_settings_of_its_method(config: Path, tmp_path: Path) -> None:
    content = load_benchmark(config).model_dump()
    ablation = {"label": "ablation", "sets": ["method.name=sar"], "tuned_as": "wide"}
    benchmark = BenchmarkConfig.model_validate(content | {"methods": [*content["methods"], ablation]})
    chosen = {("tiny", "wide"): ("training.crop=64",)}
    jobs = [job for job in final_jobs(benchmark, tmp_path, chosen) if job.label in {"wide", "ablation"}]
    assert {job.config.training.crop for job in jobs} == {64}
    assert len(trial_jobs(benchmark, tmp_path)) == 2
    for wrong in ({"tuned_as": "sar_twin"}, {"tuned_as": "nothing"}, {"candidates": [["training.crop=32"]]}):
        with pytest.raises(ValueError, match=r"tuned_as|candidates"):
            BenchmarkConfig.model_validate(content | {"methods": [*content["methods"], ablation | wrong]})


def _check_tuning(benchmark: BenchmarkConfig, finished: Finished) -> None:
    """The candidate with the best validation score is taken, and trials never see the test chips."""
    scores = [outcome.validation for _, outcome in finished.trials]
    assert None not in scores
    taken = benchmark.methods[2].candidates[int(np.argmax([score or 0 for score in scores]))]
    assert finished.chosen == {("tiny", "wide"): taken}
    runs = [job for job, _ in finished.runs if job.label == "wide"]
    assert [job.config.training.crop for job in runs] == [int(taken[0].split("=")[1])] * 2
    assert {job.config.training.seed for job, _ in finished.trials} == {benchmark.tuning.seed}
    assert not any(outcome.rows for _, outcome in finished.trials)


def _check_taken_over_tuning(benchmark: BenchmarkConfig, finished: Finished, output: Path) -> None:
    """Choices of another benchmark hold here without a trial, and nothing is trained where they are the same."""
    for job, _ in finished.trials:
        shutil.rmtree(job.folder)
    assert kept(benchmark, output, finished) == finished
    options = prepare_data(benchmark, _silent)
    assert run_benchmark(benchmark, output, options, Workers(), _refuse, finished) == finished
    lost = next(c for c in benchmark.methods[2].candidates if c != finished.chosen["tiny", "wide"])
    with pytest.raises(ConfigError, match="other settings"):
        kept(benchmark, output, replace(finished, chosen={("tiny", "wide"): lost}))


def _refuse(job: Job, *_: object) -> None:
    pytest.fail(f"{job.name} was trained")


def _check_older_outcomes(benchmark: BenchmarkConfig, output: Path, table: str, again: Path) -> None:
    """What earlier versions did not write is found from what a finished job keeps."""
    for path in output.rglob("outcome.json"):
        outcome = json.loads(path.read_text())
        for row in outcome["rows"]:
            assert row.pop("peak_bytes") > 4 * row["parameters"]
            row["figures"].pop("instance_ece", None)
        path.write_text(json.dumps(outcome))
    (row, *_) = kept(benchmark, output).runs[0][1].rows
    assert row.peak_bytes is None
    found = write_benchmark(benchmark, kept(benchmark, output), again, "command").csv
    rows = [list(csv.DictReader(io.StringIO(text))) for text in (table, found.read_text())]
    assert rows[0] == rows[1]


def test_a_failed_run_is_reported_and_does_not_stop_the_others(config: Path, tmp_path: Path) -> None:
    broken = {"label": "broken", "sets": ["method.name=sar", "training.devices=3"]}
    benchmark = load_benchmark(config, ["seeds=[0]"])
    extended = BenchmarkConfig.model_validate(
        benchmark.model_dump() | {"methods": [broken, *benchmark.model_dump()["methods"][:1]]}
    )
    finished, done = _run(extended, tmp_path / "out")
    assert len(done) == 2
    by_label = {job.label: outcome for job, outcome in finished.runs}
    assert by_label["sar_twin"].rows
    assert "ConfigError" in (by_label["broken"].error or "")
    report = write_benchmark(extended, finished, tmp_path / "out", "command")
    assert "### Failed" in report.markdown.read_text()


def test_candidates_are_compared_by_the_score_that_keeps_a_round(config: Path, tmp_path: Path) -> None:
    both = {"label": "both", "sets": ["method.name=modality_dropout", "training.keep_best=any_sky"]}
    content = load_benchmark(config, ["seeds=[0]"]).model_dump()
    finished, _ = _run(BenchmarkConfig.model_validate(content | {"methods": [both, "sar_twin"]}), tmp_path / "out")
    job, outcome = next((job, outcome) for job, outcome in finished.runs if job.label == "both")
    metrics = json.loads((job.run / "result.json").read_text())["metrics"]
    assert outcome.validation == pytest.approx(
        np.mean([metrics[f"validation {way}"]["iou"] for way in ("sar", "both")])
    )
    assert metrics["validation sar"]["iou"] != metrics["validation both"]["iou"]


@pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning")  # about accelerator variables
@pytest.mark.parametrize("elsewhere", [Workers(at_once=2), Workers(address="local", cpus_per_job=1)])
def test_other_processes_give_the_same_rows(config: Path, tmp_path: Path, elsewhere: Workers) -> None:
    benchmark = load_benchmark(config, ["seeds=[0]", "methods=[sar, sar_twin]", "control=sar"])
    (one, _), (two, done) = _run(benchmark, tmp_path / "1"), _run(benchmark, tmp_path / "2", elsewhere)
    assert len(done) == len(one.runs) == len(two.runs) == 2
    for (_, first), (_, second) in zip(one.runs, two.runs, strict=True):
        assert len(first.rows) == len(second.rows)
        for before, after in zip(first.rows, second.rows, strict=True):
            clocks = {"s_per_km2"}
            assert {k: v for k, v in before.figures.items() if k not in clocks} == pytest.approx(
                {k: v for k, v in after.figures.items() if k not in clocks}
            )


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX")
def test_a_killed_command_goes_on_to_the_same_rows(config: Path, tmp_path: Path) -> None:
    """Killed with its whole group once the first job is done; the next call trains only what is left."""
    sets = ["seeds=[0]", "methods=[sar, sar_twin]", "control=sar", "panels=0"]
    arguments = ["benchmark", str(config), *(part for override in sets for part in ("--set", override)), "-o"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-m", "overcast", *arguments, str(killed)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True, env=environment) as process:
        while not (done := list(killed.glob("*/*/*/outcome.json"))):  # rglob stumbles over folders that go meanwhile
            assert process.poll() is None, "ended before its first job"
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(done) == len(list(killed.glob("*/*/*/outcome.json"))) == 1
    before = done[0].stat().st_mtime_ns
    for output in (killed, whole):
        result = CliRunner().invoke(app, [*arguments, str(output)])
        assert result.exit_code == 0, result.output
    assert done[0].stat().st_mtime_ns == before
    rows = [_timeless_rows(output / "results.csv") for output in (killed, whole)]
    assert len(rows[0]) == 2
    assert rows[0] == rows[1]


def _timeless_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in {"s_per_km2", "date"}} for row in csv.DictReader(file)]


def test_a_planted_leak_is_refused_before_anything_is_trained(tiny_folder: Path, tmp_path: Path) -> None:
    root = shutil.copytree(tiny_folder, tmp_path / "data")
    for folder in ("sar", "optical", "masks"):
        shutil.copy(root / folder / "p0_0.tif", root / folder / "p9_0.tif")
    split = {"train": ["p0_0", "p1_0", "p2_0"], "validation": ["p3_0"], "test": ["p9_0", "p4_0"]}
    rows = [f"{key},{part}" for part, keys in split.items() for key in keys]
    (tmp_path / "split.csv").write_text("\n".join(["key,split", *rows]) + "\n")
    planted = {"root": str(root), "split": {"by": "file", "path": str(tmp_path / "split.csv")}}
    path = _write(tmp_path, planted, methods=["sar"])
    with pytest.raises(LeakError, match="p0_0"):
        prepare_data(load_benchmark(path), _silent)
    result = CliRunner().invoke(app, ["benchmark", str(path), "-o", str(tmp_path / "out")])
    assert isinstance(result.exception, LeakError)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["sar", "sar"], "given twice"),
        (
            [
                {"label": "a", "sets": ["method.name=sar"], "candidates": [["training.crop=32"]]},
                {"label": "b", "sets": ["method.name=sar"], "candidates": [["training.crop=32"], ["training.crop=64"]]},
            ],
            "same number of candidates",
        ),
        ([{"label": "../up", "sets": ["method.name=sar"]}], "label"),
    ],
)
def test_unfair_or_ambiguous_benchmarks_are_refused(
    methods: list[object], message: str, tiny_folder: Path, tmp_path: Path
) -> None:
    path = _write(tmp_path, {"root": str(tiny_folder), "split": SPLIT}, methods=methods)
    with pytest.raises(ConfigError, match=message):
        load_benchmark(path)


def test_every_method_has_the_same_budget_and_data(config: Path, tmp_path: Path) -> None:
    benchmark = load_benchmark(config)
    jobs = final_jobs(benchmark, tmp_path, {})
    assert {job.config.training.steps for job in jobs} == {2}
    assert len({job.config.data.model_dump_json() for job in jobs}) == 1
    assert len({job.folder for job in (*jobs, *trial_jobs(benchmark, tmp_path))}) == len(jobs) + 2


@pytest.mark.parametrize("path", sorted(Path("configs/benchmark").glob("*.yaml")), ids=lambda path: path.stem)
def test_configurations_that_come_with_overcast_expand_to_runs(path: Path, tmp_path: Path) -> None:
    benchmark = load_benchmark(path)
    jobs = (*trial_jobs(benchmark, tmp_path), *final_jobs(benchmark, tmp_path, {}))
    labels = {job.label for job in jobs}
    assert {"sar", "sar_twin", "fusion", "cmhcl", "kd", "hallucination"} <= labels
    assert len(jobs) >= 3 * len(labels)
    for dataset in benchmark.datasets.values():
        if dataset.simulation is not None:
            assert read_settings(SimulationOptions, dataset.simulation).places >= 20


def _counts(ious: list[float]) -> dict[str, PixelCounts]:
    return {f"p{i}": PixelCounts(tp=round(1000 * iou), fn=1000 - round(1000 * iou)) for i, iou in enumerate(ious)}


def test_equal_seeds_say_the_same_as_one() -> None:
    a, b, c = _counts([0.6, 0.7, 0.5]), _counts([0.5, 0.65, 0.4]), _counts([0.8, 0.9, 0.7])
    one, three = difference_over_seeds([a], [b]), difference_over_seeds([a] * 3, [b] * 2)
    assert three.value == pytest.approx(one.value)
    assert one.interval is not None
    assert three.interval is not None
    assert (three.interval.low, three.interval.high) == pytest.approx((one.interval.low, one.interval.high))
    single, several = recovery_over_seeds([a], [b], [c]), recovery_over_seeds([a] * 2, [b] * 3, [c])
    assert single is not None
    assert several is not None
    assert (several.value, several.seeds) == (pytest.approx(single.value), 2)
    assert single.interval is not None
    assert several.interval is not None
    assert (several.interval.low, several.interval.high) == pytest.approx((single.interval.low, single.interval.high))


def test_mean_and_spread_over_seeds() -> None:
    runs = [_counts([0.5, 0.7]), _counts([0.6, 0.8])]
    found = iou_over_seeds(runs)
    assert (found.value, found.lowest, found.highest, found.seeds) == (pytest.approx(0.65), 0.6, 0.7, 2)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (pytest.approx(0.55), pytest.approx(0.75))
    with pytest.raises(ConfigError, match="different places"):
        iou_over_seeds([_counts([0.5]), _counts([0.5, 0.6])])
    with pytest.raises(ConfigError, match="no run"):
        iou_over_seeds([])


@dataclass(frozen=True)
class Given(Scores):
    """Scores of runs that are written here."""

    counts: Mapping[tuple[str, InputModalities], Runs] = field(default_factory=dict)

    def runs(self, label: str, available: InputModalities) -> Runs:
        return self.counts.get((label, available), [])

    def rows(self, label: str, available: InputModalities) -> list[Row]:
        return [_row({})]


def _given(config: Path, counts: Mapping[tuple[str, InputModalities], Runs]) -> Given:
    overrides = ["compare=[[wide, sar_twin], [sar_twin, fusion]]"]
    return Given(load_benchmark(config, overrides), "tiny", Finished((), (), {}), counts)


def test_the_drop_to_sar_alone_by_hand(config: Path) -> None:
    """Two places, equally large: a set's IoU is the mean; resamples hold one of them twice, or both."""
    both, alone = [_counts([0.9, 0.7])] * 2, [_counts([0.6, 0.6]), _counts([0.5, 0.5])]
    scores = _given(config, {("wide", InputModalities.BOTH): both, ("wide", InputModalities.SAR): alone})
    table = drop_table(scores)
    assert table is not None
    assert table.rows == (("wide", "0.800", "0.550", "2", "+0.250", "+0.200 .. +0.300", "+0.150 .. +0.350"),)
    assert (
        drop_table(_given(config, {("wide", InputModalities.BOTH): both, ("fusion", InputModalities.SAR): alone}))
        is None
    )


def test_differences_of_chosen_pairs_by_hand(config: Path) -> None:
    counts = {
        ("wide", InputModalities.SAR): [_counts([0.7, 0.7]), _counts([0.6, 0.6])],
        ("sar_twin", InputModalities.SAR): [_counts([0.6, 0.4])] * 2,
    }
    table = difference_table(_given(config, counts))
    assert table is not None
    assert table.rows == (
        ("wide minus sar_twin", "2", "+0.150", "+0.100 .. +0.200", "+0.050 .. +0.250"),
        ("sar_twin minus fusion", "2, 0", DASH, DASH, DASH),
    )
    counts["sar_twin", InputModalities.SAR] = counts["sar_twin", InputModalities.SAR][:1]
    unequal = difference_table(_given(config, counts))
    assert unequal is not None
    assert unequal.rows[0] == ("wide minus sar_twin", "2, 1", "+0.150", DASH, "+0.050 .. +0.250")
    assert difference_table(_given(config, {})) is None


def test_an_open_interval_of_the_recovery_ratio_is_printed(config: Path) -> None:
    """As in test_pixel: at the first place the ceiling is below the control, in a quarter of the resamples alone."""
    scores = _given(
        config,
        {
            ("wide", InputModalities.SAR): [_counts([0.7, 0.7])],
            ("sar_twin", InputModalities.SAR): [_counts([0.5, 0.5])],
            ("fusion", InputModalities.BOTH): [_counts([0.4, 0.9])],
        },
    )
    (table,) = [table for table in score_tables(scores) if table.title == "tiny, given SAR alone"]
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert rows["wide"]["recovery ratio"] == "1.33 (0.50 .. ∞)"
    assert rows["sar_twin"]["recovery ratio"] == DASH
    assert re.search(r"In 2\d % of the resamples of places fusion is not above sar_twin", table.note)
    assert r"1.33 (0.50 to $\infty$)" in latex(table)


@pytest.mark.parametrize("compare", ["[[wide, unheard]]", "[[wide, wide]]", "[[wide]]"])
def test_pairs_must_be_of_two_methods(config: Path, compare: str) -> None:
    with pytest.raises(ConfigError, match="compare"):
        load_benchmark(config, [f"compare={compare}"])


def test_recovery_needs_a_gap() -> None:
    low, high = [_counts([0.6, 0.6])], [_counts([0.5, 0.5])]
    assert recovery_over_seeds(low, low, high) is None


def test_tables_escape_what_their_format_takes_for_markup() -> None:
    table = Table("T", ("method", "95 %"), (("sar_twin|x", "0.1 .. 0.2"),))
    assert "sar_twin\\|x" in markdown(table)
    assert r"sar\_twin|x & 0.1 to 0.2 \\" in latex(table)
    assert r"95 \%" in latex(table)
