"""The STAC item of a model that lies in every bundle as stac.json, by the machine learning model extension (MLM)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pystac import Asset, Item, Link, MediaType

EXTENSIONS = (
    "https://stac-extensions.github.io/mlm/v1.4.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
)
TASK = "semantic-segmentation"
SHA256_MULTIHASH = "1220"
"""What a SHA-256 of 32 bytes begins with as a multihash."""


def model_name(class_name: str, sha256: str) -> str:
    """The model's `mlm:name`: letters, digits, points, hyphens; its weights make it unique.

    >>> model_name("flooded building", "636b51c8ca1262d0ca1098ae")
    'overcast-flooded-building-636b51c8ca12'
    """
    return f"overcast-{re.sub(r'[^A-Za-z0-9.]+', '-', class_name).strip('-')}-{sha256[:12]}"


def model_item(record: Mapping[str, Any], weights: str, weights_bytes: int) -> dict[str, Any]:
    """STAC 1.1 item of a bundle record (`bundle.json` as plain values).

    A record does not say where and when the training images were taken, so the item has no geometry, and its time is
    open on both sides.

    Args:
        record: What the model is.
        weights: Name of the file of weights, beside the item.
        weights_bytes: Its size.
    """
    name, licence = model_name(record["class_name"], record["weights_sha256"]), str(record["licence"])
    spdx = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", licence) is not None
    network = record["network"]
    item = Item(
        name,
        geometry=None,
        bbox=None,
        datetime=None,
        properties={
            "title": f"{record['class_name']} from {' and '.join(record['inputs'])}",
            "description": _description(record),
            "start_datetime": "1900-01-01T00:00:00Z",
            "end_datetime": "9999-12-31T23:59:59Z",
            "license": licence if spdx else "other",
            "bands": [{"name": band} for sensor in record["inputs"] for band in _described(record, sensor)["bands"]],
            "mlm:name": name,
            "mlm:architecture": "U-Net",
            "mlm:tasks": [TASK],
            "mlm:framework": "PyTorch",
            "mlm:pretrained": bool(network["pretrained"]),
            "mlm:pretrained_source": "ImageNet" if network["pretrained"] else None,
            "mlm:input": [_input(record, sensor) for sensor in record["inputs"]],
            "mlm:output": [_output(record)],
            "mlm:hyperparameters": _hyperparameters(record),
            "overcast:version": record["overcast_version"],
            "overcast:simulated": record["data"]["simulated"],
            **({"overcast:parent": record["parent"]} if record.get("parent") else {}),
            **({"overcast:teacher": record["teacher"]} if record.get("teacher") else {}),
            "overcast:radiometry": {sensor: _described(record, sensor) for sensor in record["inputs"]},
        },
        stac_extensions=list(EXTENSIONS),
        assets={"model": _weights(record, weights, weights_bytes)},
    )
    item.add_link(Link("about", "README.md", "text/markdown", "model card"))
    item.add_link(Link("describedby", "bundle.json", MediaType.JSON, "the whole record"))
    return item.to_dict()


def _hyperparameters(record: Mapping[str, Any]) -> dict[str, object]:
    kept = ("steps", "seed", "calibration_temperature", "precision")
    named = {"encoder": record["network"]["encoder"], "method": record["method"]["name"]}
    return named | {name: record[name] for name in kept}


def _weights(record: Mapping[str, Any], name: str, size: int) -> Asset:
    return Asset(
        name,
        f"weights ({record['kind']})",
        media_type="application/octet-stream; framework=pytorch",
        roles=["mlm:model", "mlm:weights", "data"],
        extra_fields={
            "mlm:artifact_type": "safetensors",
            "file:size": size,
            "file:checksum": SHA256_MULTIHASH + record["weights_sha256"],
        },
    )


def _description(record: Mapping[str, Any]) -> str:
    seen = " of simulated images" if record["data"]["simulated"] else ""
    return (
        f"Segments {record['class_name']} with Overcast {record['overcast_version']}, method "
        f"{record['method']['name']}, trained on {record['data']['name']}{seen}. Weights: {record['licence']}."
    )


def _described(record: Mapping[str, Any], sensor: str) -> Mapping[str, Any]:
    """Bands and unit of a sensor; early records do not describe every sensor."""
    found: Mapping[str, Any] | None = record["radiometry"].get(sensor)
    return found or {"bands": [], "unit": None}


def _input(record: Mapping[str, Any], sensor: str) -> dict[str, Any]:
    described, statistics = _described(record, sensor), record["statistics"].get(sensor) or {"mean": [], "std": []}
    scaling = [
        {"type": "z-score", "mean": mean, "stddev": std}
        for mean, std in zip(statistics["mean"], statistics["std"], strict=True)
    ]
    return {
        "name": sensor,
        "description": f"In {described['unit']}; pixels without data are 0 after the scaling.",
        "bands": list(described["bands"]),
        "input": _structure(record["network"][f"{sensor}_bands"]),
        "value_scaling": scaling,
        "resize_type": None,
        "pre_processing_function": None,
    }


def _output(record: Mapping[str, Any]) -> dict[str, Any]:
    several = record["network"]["num_classes"]
    count = several if several > 1 else len(record["outputs"])
    output: dict[str, Any] = {
        "name": "logits" if several > 1 else "logits of " + ", ".join(record["outputs"]),
        "description": "Divided by the temperature, where there is one, and through a sigmoid they are probabilities.",
        "tasks": [TASK],
        "result": _structure(count),
        "post_processing_function": None,
    }
    if several == 1:
        names = ("background", record["class_name"])
        output["classification:classes"] = [{"value": value, "name": _word(name)} for value, name in enumerate(names)]
    return output


def _word(name: str) -> str:
    """A class name as the classification extension allows it."""
    return re.sub(r"[^0-9A-Za-z_-]+", "-", name)


def _structure(channels: int) -> dict[str, Any]:
    order = ["batch", "channel", "height", "width"]
    return {"shape": [-1, channels, -1, -1], "dim_order": order, "data_type": "float32"}
