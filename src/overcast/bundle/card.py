"""The model card that lies in every bundle as README.md, with the front matter that Hugging Face reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

SPDX_ON_HUB = frozenset(
    ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "bsd-3-clause")
)
"""Licences whose lower-case SPDX identifier is also the hub's."""


SIMULATED = (
    "**Trained on simulated radar.** No pixel of it was measured by a satellite: cities, radar and labels were "
    "computed. The scores above hold for simulated places that the model did not see. On real scenes expect fewer "
    "buildings found and more false ones, most of all where roofs, vegetation, speckle, calibration or the incidence "
    "angle differ from the simulation; nothing here says how many. Use it to try the tool and to start from, check its "
    "map against known ground, and train on real pairs before the map is relied on.\n\n"
)
"""What a card says of a model that saw no measured image."""

BY_ITSELF = "amplitude, linear_power or dB; each scene is standardised by itself"
"""Unit of images whose gain and calibration do not matter."""

TAGS = ("remote-sensing", "sar", "semantic-segmentation")


def model_card(record: Mapping[str, Any]) -> str:
    """Markdown card of a bundle record (`bundle.json` as plain values)."""
    sections = [_front_matter(record), _summary(record), _radiometry(record), _metrics(record), _provenance(record)]
    return "\n\n".join(sections) + "\n"


def _front_matter(record: Mapping[str, Any]) -> str:
    licence = str(record["licence"])
    known = licence.lower() in SPDX_ON_HUB
    front: dict[str, Any] = {
        "license": licence.lower() if known else "other",
        "library_name": "overcast",
        "pipeline_tag": "image-segmentation",
        "tags": list(dict.fromkeys([*TAGS, str(record["class_name"]), str(record["method"]["name"])])),
    }
    if not known:
        front["license_name"] = licence
    if record["metrics"]:
        front["metrics"] = sorted({name for values in record["metrics"].values() for name in values})
        front["model-index"] = [_index(record)]
    return "---\n" + yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip() + "\n---"


def _index(record: Mapping[str, Any]) -> dict[str, Any]:
    """Scores in the form that the hub shows beside a model."""
    results = [
        {
            "task": {"type": "image-segmentation"},
            "dataset": {"name": f"{record['data']['name']}, {subset}", "type": "other"},
            "metrics": [{"type": name, "value": value} for name, value in sorted(values.items())],
        }
        for subset, values in record["metrics"].items()
    ]
    return {"name": f"{record['class_name']} {record['method']['name']}", "results": results}


def _summary(record: Mapping[str, Any]) -> str:
    class_name, sensor = record["class_name"], " and ".join(_sensor_name(name) for name in record["inputs"])
    holds = (
        f"It takes {sensor} and returns {_logits(record)} per pixel for the class *{class_name}*."
        if record["kind"] == "deployable"
        else f"It holds every branch of the trained network, for evaluation; the class is *{class_name}*."
    )
    use = (
        f"Mapping *{class_name}* in {sensor} images of the kind described below: same bands in the same order, unit, "
        "pixel size and radar side. Other images are refused. Scores were measured on the data set named "
        "below; expect less on other ground, seasons, incidence angles and sensors, and check a sample before the map "
        "is relied on. Not for decisions about single buildings or persons without a look at other sources."
    )
    one = len(record["inputs"]) == 1
    command = "predict scene.tif --model bundle --output footprints.gpkg" if one else "evaluate run --modalities both"
    return (
        f"# {class_name} from {sensor}: {record['method']['name']}\n\n{holds}\n\n"
        f"```\novercast {command}\n```\n\n## Intended use\n\n{use}"
    )


def _logits(record: Mapping[str, Any]) -> str:
    names = record["outputs"]
    return "one logit" if len(names) == 1 else f"{len(names)} logits ({', '.join(names)})"


def _sensor_name(modality: str) -> str:
    return {"sar": "SAR", "optical": "optical"}[modality]


def _radiometry(record: Mapping[str, Any]) -> str:
    lines = ["## Radiometry", "", "| | bands | unit | pixel | radar side |", "|---|---|---|---|---|"]
    for name, sensor in record["radiometry"].items():
        if sensor is not None:
            bands = ", ".join(sensor["bands"]).replace("|", " or ")
            look = sensor["radar_side"] or "not declared"
            unit = BY_ITSELF if sensor["standardise"] == "scene" else sensor["unit"]
            lines.append(f"| {_sensor_name(name)} | {bands} | {unit} | {sensor['gsd_m']:g} m | {look} |")
    return "\n".join(lines)


def _metrics(record: Mapping[str, Any]) -> str:
    if not record["metrics"]:
        return "## Metrics\n\nNone were measured."
    names = sorted({name for values in record["metrics"].values() for name in values})
    lines = ["## Metrics", "", f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for subset, values in record["metrics"].items():
        cells = (f"{values[name]:.4f}" if name in values else "" for name in names)
        lines.append(f"| {subset} | {' | '.join(cells)} |")
    lines += ["", "Counts are pooled over all valid pixels of the subset and divided once."]
    if record.get("calibration_temperature") is not None:
        fitted = f"divided by {record['calibration_temperature']:.4g}, fitted on validation."
        lines += ["", f"Probabilities are calibrated: logits are {fitted}"]
    return "\n".join(lines)


def _provenance(record: Mapping[str, Any]) -> str:
    data = record["data"]
    counts = ", ".join(f"{data[subset]['chips']} {subset}" for subset in ("train", "validation", "test"))
    split = data["split"].rstrip(".")
    return (
        f"## Training data\n\n{data['name']} ({data['licence']}): {counts} chips; split: {split}.\n\n"
        f"{SIMULATED if data['simulated'] else ''}"
        f"Trained for {record['steps']} steps with seed {record['seed']} by overcast {record['overcast_version']}"
        f"{'' if record.get('precision') is None else ' in ' + record['precision']}; "
        f"encoder `{record['network']['encoder']}`; weights{_storage(record)} sha256 `{record['weights_sha256']}`."
        f"{_parent(record)}{_teacher(record)}"
    )


def _storage(record: Mapping[str, Any]) -> str:
    return "" if record.get("storage") is None else f" in {record['storage']},"


def _parent(record: Mapping[str, Any]) -> str:
    parent = record.get("parent")
    if parent is None:
        return ""
    return (
        f"\n\nTraining started from the model {parent['name']} ({parent['licence']}; weights sha256 "
        f"`{parent['sha256']}`), of which it took over: {', '.join(parent['taken'])}."
    )


def _teacher(record: Mapping[str, Any]) -> str:
    teacher = record.get("teacher")
    if teacher is None:
        return ""
    return (
        f"\n\nDistilled from the model {teacher['name']} ({teacher['licence']}; weights sha256 "
        f"`{teacher['sha256']}`), of which it learned {', '.join(teacher['taken'])}."
    )
