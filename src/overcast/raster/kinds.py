"""What is said of a path that is no image by itself: a folder, an archive, a product, a record."""

from __future__ import annotations

from pathlib import Path

from overcast.errors import InputError

PREPARE = "overcast prepare makes one scene of"
_KINDS = {
    ".zip": f"is an archive; {PREPARE} the product in it, or unpack it and name its images",
    ".dim": f"describes a product of SNAP; {PREPARE} it, or name its images (.data/*.img)",
    ".safe": f"is the manifest of a product; {PREPARE} the folder that it lies in",
    ".json": f"is no image; if it is a STAC record, map it with overcast map, or {PREPARE} it",
    ".geojson": f"is no image; if it is a STAC record, map it with overcast map, or {PREPARE} it",
    ".txt": "is no image; if it lists scenes, map them with overcast map",
    ".h5": f"holds data sets; {PREPARE} those on a map, or convert one: gdal_translate HDF5:FILE://NAME scene.tif",
    ".tar": "is an archive; unpack it and name its images",
    ".gz": "is an archive; unpack it and name its images",
    ".7z": "is an archive; unpack it and name its images",
    ".xml": "holds metadata; name the image that it describes",
}
_KINDS |= dict.fromkeys((".hdf5", ".he5", ".nc"), _KINDS[".h5"])


def require_image(path: Path) -> None:
    """Raise InputError, which says what to do, where a local path does not exist or is no file that holds one image."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; {_of_folder(path)}.")
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path.")
    said = _KINDS.get(path.suffix.lower())
    if said is not None:
        raise InputError(f"{path} {said}.")


def _of_folder(path: Path) -> str:
    if path.suffix.lower() == ".safe" or (path / "manifest.safe").is_file():
        return (
            "a Sentinel-1 product is in radar geometry: take Sentinel-1 RTC, ready from OPERA (RTC-S1) or on demand "
            "from ASF (HyP3), or on flat ground overcast prepare --gcps"
        )
    return f"map the images in it with overcast map; {PREPARE} a product or of the tiles in it"
