"""One streaming pass: it equals counting everything at once, whatever the batches, and survives a round trip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation_cases import PLACES, chip_arrays, make_batch, place_table, predictor

from overcast.batch import IGNORE_LABEL, Batch, Modality
from overcast.errors import BundleError, ConfigError, InputError, MissingModalityError
from overcast.evaluation.panels import decode_png
from overcast.evaluation.result import Evaluation, EvaluationOptions
from overcast.evaluation.run import evaluate
from overcast.evaluation.selection import PanelKind, PanelOptions
from overcast.metrics.boundary import count_boundary
from overcast.metrics.calibration import count_calibration
from overcast.metrics.instances import instances_from_probability, match_instances, outlines_from_label
from overcast.metrics.pixel import PixelCounts, count_pixels
from overcast.metrics.polis import polis

SEEDS = range(10)
OPTIONS = EvaluationOptions(min_area_m2=2.0, panels=PanelOptions(count=1, size_px=32))


def single_chips():
    return (make_batch([seed]) for seed in SEEDS)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(predictor(1.0), single_chips(), place_table(SEEDS), 0.5, OPTIONS)


def test_streaming_equals_counting_everything_at_once(evaluation):
    predict = predictor(1.0)
    probability = [torch.sigmoid(predict(make_batch([seed])))[0, 0].numpy() for seed in SEEDS]
    label = [chip_arrays(seed)[3] for seed in SEEDS]
    pooled = np.concatenate([p.ravel() for p in probability]), np.concatenate([y.ravel() for y in label])
    assert evaluation.pixels == count_pixels(*pooled)
    assert evaluation.calibration.ece == pytest.approx(count_calibration(*pooled).ece, abs=1e-12)
    distances, hits = [], 0
    for p, y in zip(probability, label, strict=True):
        truths = outlines_from_label(y, 0.5)
        claims = instances_from_probability(p, y != IGNORE_LABEL, 0.5)
        matching = match_instances(claims, truths, 2.0)
        hits += matching.counts.tp
        distances += [polis(claims[m.prediction].outline, truths[m.truth]) for m in matching.matches]
    assert evaluation.total.instances.tp == hits
    assert hits > 10
    assert evaluation.polis.mean_m == pytest.approx(np.mean(distances))
    bands = [count_boundary(p >= 0.5, y, 0.5) for p, y in zip(probability, label, strict=True)]
    assert evaluation.total.boundary.union == sum(band.union for band in bands)
    assert 0.3 < evaluation.pixels.iou < 0.95


def test_batches_of_any_size_give_the_same_counts():
    labels_only = EvaluationOptions(instances=False, panels=PanelOptions(count=0))

    def evaluation_of(batches):
        exact = evaluate(
            lambda batch: batch.require("sar").mean(1, keepdim=True), batches, place_table(SEEDS), 0.5, labels_only
        )
        return exact.places, exact.chips

    assert evaluation_of(single_chips()) == evaluation_of([make_batch(SEEDS[:7]), make_batch(SEEDS[7:])])


def test_places_hold_their_chips(evaluation):
    assert set(evaluation.places) == set(PLACES)
    harbour = [evaluation.chips[f"chip-{seed}"] for seed in SEEDS if seed % len(PLACES) == 0]
    assert evaluation.pixels_by_place["harbour"] == sum(harbour, PixelCounts())
    assert sum(evaluation.chips.values(), PixelCounts()) == evaluation.pixels


def test_a_perfect_model_scores_one():
    perfect = evaluate(predictor(0.0), single_chips(), place_table(SEEDS), 0.5, OPTIONS)
    summary = perfect.summary()
    assert [summary[name] for name in ("iou", "f1", "instance_f1", "boundary_iou", "iou_low", "iou_high")] == [1.0] * 6
    assert summary["polis_m"] == 0.0
    assert summary["ece"] == pytest.approx(1 / (1 + np.exp(2)), abs=1e-6)  # logits are +-2, never sure
    assert summary["places"] == 4


def test_calibration_of_polygons_by_hand():
    """A footprint at 0.8 that is there and one at 0.6 that is not: (|1 - 0.8| + |0 - 0.6|) / 2."""
    label = torch.zeros(1, 32, 32, dtype=torch.uint8)
    label[0, 2:12, 2:12] = 1
    probability = torch.full((1, 1, 32, 32), 0.01)
    probability[0, 0, 2:12, 2:12], probability[0, 0, 18:28, 18:28] = 0.8, 0.6
    valid = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    batch = Batch(torch.zeros(1, 1, 32, 32), valid, None, None, label, keys=("a",))
    found = evaluate(lambda _: torch.logit(probability), [batch], {"a": "p"}, 1.0, OPTIONS)
    assert found.summary()["instance_ece"] == pytest.approx(0.4, abs=1e-6)
    nothing = evaluate(lambda _: torch.full((1, 1, 32, 32), -5.0), [batch], {"a": "p"}, 1.0, OPTIONS)
    assert nothing.instance_ece is None
    assert "instance_ece" not in nothing.summary()
    pixels = evaluate(lambda _: torch.logit(probability), [batch], {"a": "p"}, 1.0, EvaluationOptions(instances=False))
    assert "instance_ece" not in pixels.summary()


def test_json_loses_nothing(evaluation, tmp_path):
    evaluation.write(tmp_path / "evaluation.json")
    assert Evaluation.read(tmp_path / "evaluation.json") == evaluation
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"gsd_m": 1}'])
def test_a_damaged_file_is_named(tmp_path, text):
    path = tmp_path / "evaluation.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"evaluation\.json is (not readable JSON|damaged)"):
        Evaluation.read(path)


def test_the_threshold_moves_the_scores_along_the_curve(evaluation):
    strict = evaluate(
        predictor(1.0), single_chips(), place_table(SEEDS), 0.5, OPTIONS.model_copy(update={"threshold": 0.73})
    )
    assert 0.73 in strict.options.thresholds
    assert strict.pixels.recall < evaluation.pixels.recall
    assert strict.total.curve.at(0.5) == evaluation.pixels


def test_panels_are_best_worst_and_random_and_never_twice(evaluation):
    panels = {panel.kind: panel for panel in evaluation.panels}
    assert [panel.kind for panel in evaluation.panels] == list(PanelKind)
    assert len({panel.key for panel in evaluation.panels}) == 3
    scores = {key: counts.iou for key, counts in evaluation.chips.items()}
    assert panels[PanelKind.BEST].key == max(scores, key=lambda key: scores[key])
    assert panels[PanelKind.WORST].key == min(scores, key=lambda key: scores[key])
    best = panels[PanelKind.BEST]
    assert decode_png(best.sar_png).shape == (32, 32, 3)
    assert decode_png(best.label_png).shape == decode_png(best.probability_png).shape == (32, 32)
    assert set(np.unique(decode_png(best.label_png))) <= {0, 1, IGNORE_LABEL}


def test_random_panels_do_not_depend_on_the_order_of_chips():
    def keys(seeds, seed):
        options = OPTIONS.model_copy(update={"panels": PanelOptions(count=2, seed=seed, size_px=16)})
        found = evaluate(predictor(0.0), (make_batch([s], 32) for s in seeds), place_table(SEEDS), 0.5, options)
        return [key for key, kind in found.panel_keys.items() if kind is PanelKind.RANDOM]

    assert len(keys(SEEDS, 0)) == 2
    assert set(keys(SEEDS, 0)) == set(keys(reversed(SEEDS), 0))
    assert len({tuple(sorted(keys(SEEDS, seed))) for seed in range(4)}) > 1


def test_best_chips_come_from_different_places():
    options = OPTIONS.model_copy(update={"panels": PanelOptions(count=3, size_px=16)})
    found = evaluate(predictor(1.0), single_chips(), place_table(SEEDS), 0.5, options)
    for kind in (PanelKind.BEST, PanelKind.WORST):
        places = [panel.place for panel in found.panels if panel.kind is kind]
        assert len(places) == len(set(places))


def test_another_method_shows_the_same_chips(evaluation):
    panels = OPTIONS.panels.model_copy(update={"keys": evaluation.panel_keys})
    other = evaluate(
        predictor(2.0), single_chips(), place_table(SEEDS), 0.5, OPTIONS.model_copy(update={"panels": panels})
    )
    assert other.panel_keys == evaluation.panel_keys
    assert [p.sar_png for p in other.panels] == [p.sar_png for p in evaluation.panels]
    assert [p.probability_png for p in other.panels] != [p.probability_png for p in evaluation.panels]


def test_an_empty_chip_is_neither_best_nor_worst():
    batch = make_batch([1, 2])
    label = batch.require("label").clone()
    label[0] = 0
    found = evaluate(predictor(1.0), [replace(batch, label=label)], place_table(SEEDS), 0.5, OPTIONS)
    assert "chip-1" not in [panel.key for panel in found.panels if panel.kind is not PanelKind.RANDOM]


def test_missing_optical_is_no_obstacle():
    batch = make_batch([1, 2]).without(Modality.OPTICAL)
    found = evaluate(predictor(1.0), [batch], place_table(SEEDS), 0.5, OPTIONS)
    assert all(panel.optical_png is None for panel in found.panels)


def test_progress_and_timing():
    seen: list[int] = []
    found = evaluate(
        predictor(1.0), [make_batch([1, 2, 3]), make_batch([4])], place_table(SEEDS), 0.5, OPTIONS, seen.append
    )
    assert seen == [3, 1]
    assert found.timing.pixels == 4 * 64 * 64
    assert 0 < found.timing.predict_s <= found.timing.total_s
    assert found.timing.predict_s_per_km2(0.5) == pytest.approx(found.timing.predict_s / (4 * 64 * 64 * 0.25e-6))


def test_a_band_thinner_than_a_pixel_is_reported_as_used():
    coarse = evaluate(predictor(1.0), [make_batch([1])], place_table(SEEDS), 10.0, OPTIONS)
    assert coarse.boundary_band_m == 10.0


def nan_predictor(batch):
    logits = predictor(1.0)(batch)
    logits[1, 0, 3, 3] = float("nan")
    return logits


@pytest.mark.parametrize(
    ("predict", "batches", "error", "message"),
    [
        (predictor(1.0), [], InputError, "no chips to evaluate"),
        (predictor(1.0), [make_batch([1]), make_batch([1])], InputError, "'chip-1' came twice"),
        (predictor(1.0), [make_batch([99])], InputError, "'chip-99' has no place"),
        (nan_predictor, [make_batch([1, 2])], BundleError, "NaN for chip 'chip-2'"),
        (lambda batch: batch.require("sar"), [make_batch([1])], ConfigError, "one logit per pixel"),
        (predictor(1.0), [replace(make_batch([1]), label=None)], MissingModalityError, "label"),
    ],
    ids=["empty", "twice", "no place", "nan", "shape", "no label"],
)
def test_what_cannot_be_evaluated_says_why(predict, batches, error, message):
    with pytest.raises(error, match=message):
        evaluate(predict, batches, place_table(SEEDS), 0.5, OPTIONS)
