"""Overcast maps building footprints from radar: it trains on optical and SAR images and works from SAR alone.

These names are the public interface; everything else in the package is internal and may change.

    import overcast as oc

    prediction = oc.predict("scene.tif")        # with the installed model, or model="runs/town"
    prediction.footprints                       # a GeoDataFrame
    prediction.save("footprints.gpkg")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overcast.api.learning import evaluate, simulate, train
    from overcast.api.mapping import predict, prepare, score
    from overcast.api.model import Model, load_model
    from overcast.api.optical import Optical
    from overcast.api.prediction import Prediction
    from overcast.errors import OvercastError

__version__ = "0.1.0"

__all__ = [
    "Model",
    "Optical",
    "OvercastError",
    "Prediction",
    "__version__",
    "evaluate",
    "load_model",
    "predict",
    "prepare",
    "score",
    "simulate",
    "train",
]

_ROOMS = {
    "api.learning": ("evaluate", "simulate", "train"),
    "api.mapping": ("predict", "prepare", "score"),
    "api.model": ("Model", "load_model"),
    "api.optical": ("Optical",),
    "api.prediction": ("Prediction",),
    "errors": ("OvercastError",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import overcast` stays quick."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
