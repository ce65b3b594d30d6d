"""Where the radar stood, from what the user, the file's declaration or its metadata say, in this order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyproj import Geod, Transformer

from overcast.errors import RadiometryError
from overcast.preparation.look import Radar, orbit_heading, radar_behind
from overcast.preparation.metadata import RadarFacts
from overcast.preparation.options import PrepareOptions
from overcast.raster.compass import azimuth_of, difference
from overcast.raster.units import RadarSide

CLEAR_DEG = 75.0
"""How near to the orbit's estimate an end of the viewing azimuth has to be: squint turns it by up to about 50."""

_GEOD = Geod(ellps="WGS84")
_SENTINEL1 = re.compile(r"sentinel[-_ ]?1|\bs1[a-d]\b|rtc-s1", re.IGNORECASE)
_POLAR = re.compile(r"terrasar|tandem-?x|\bt[sd]x\b|\bpaz\b|cosmo|\bcsk|radarsat|\brcm|\balos|gaofen-?3|saocom", re.I)
_HINT = "give --radar-side north|east|south|west (the side where the radar stood) or --look-azimuth DEGREES"


def stated_radar(options: PrepareOptions) -> Radar | None:
    """From the options."""
    if options.look_azimuth_deg is not None:
        return Radar((options.look_azimuth_deg + 180.0) % 360.0, f"--look-azimuth {options.look_azimuth_deg:g}")
    if options.radar_side is not None:
        return Radar(azimuth_of(options.radar_side), f"--radar-side {options.radar_side.value}")
    return None


def declared_radar(declared: Mapping[str, object], name: str) -> Radar | None:
    """From the azimuth or the side of the compass in a declaration. Raises RadiometryError for an unknown side."""
    look, azimuth = declared.get("radar_side"), declared.get("radar_azimuth_deg")
    if isinstance(azimuth, int | float) and 0 <= azimuth < 360:
        return Radar(float(azimuth), f"declared by {name}")
    if look is None:
        return None
    if look not in set(RadarSide):
        raise RadiometryError(f"{name} declares the radar side {look!r}; choose from {', '.join(RadarSide)}.")
    return Radar(azimuth_of(RadarSide(str(look))), f"declared by {name}")


def metadata_radar(facts: RadarFacts, latitude_deg: float, names: Sequence[str], scene: str) -> Radar | None:
    """From metadata; None where they do not say.

    Positions of the radar are exact, a heading nearly; `ascending` alone is enough for sun-synchronous satellites. A
    viewing azimuth counts as a line without direction, because publishers disagree on it (stac-extensions/view issue
    14): which of its ends is the radar's follows from orbit and side.

    Raises RadiometryError where these contradict each other.
    """
    if facts.positions:
        return Radar(_seen_from(*facts.positions[0]), f"position of the radar in {facts.source}")
    known = " ".join((facts.platform, *names))
    side = facts.side or ("right" if _SENTINEL1.search(known) else None)
    if side is not None and facts.heading_deg is not None:
        return Radar(radar_behind(facts.heading_deg, side), f"heading {facts.heading_deg:g}, {side}: {facts.source}")
    heading = orbit_heading(facts.orbit, latitude_deg) if side is not None and facts.orbit is not None else None
    if side is None or heading is None:
        return None
    estimate, orbit = radar_behind(heading, side), f"{facts.orbit}, {side}"
    if facts.view_azimuth_deg is not None:
        return _nearer_end(facts.view_azimuth_deg, estimate, orbit, facts.source, scene)
    polar = _SENTINEL1.search(known) or _POLAR.search(known)
    return Radar(estimate, f"{orbit}: {facts.source}") if polar else None


def _nearer_end(azimuth_deg: float, estimate_deg: float, orbit: str, source: str, scene: str) -> Radar:
    turned = (azimuth_deg + 180.0) % 360.0
    ends = sorted((azimuth_deg % 360.0, turned), key=lambda end: abs(difference(end, estimate_deg)))
    if abs(difference(ends[0], estimate_deg)) > CLEAR_DEG:
        raise RadiometryError(
            f"{scene}: {source} gives the viewing azimuth {azimuth_deg:g} for {orbit}, which leaves open on which of "
            f"two sides the radar stood; {_HINT}."
        )
    return Radar(ends[0], f"viewing azimuth {azimuth_deg:g}, {orbit}: {source}")


def known(facts: RadarFacts, named: Sequence[Path]) -> str:
    """What metadata say where that does not determine the radar's side; nothing where none was found."""
    said = [text for text in (facts.orbit, facts.side) if text is not None]
    if facts.view_azimuth_deg is not None:
        said.append(f"viewing azimuth {facts.view_azimuth_deg:g}")
    if said:
        return (
            f"{facts.source} says {', '.join(said)}, which does not say where the radar stood (heading and look "
            "side together would)"
        )
    return f"{' and '.join(path.name for path in named)} was read and says nothing of the radar" if named else ""


def unknown_look(scene: str, model: str, side: RadarSide, said: str) -> RadiometryError:
    """What to say where nobody knows; `said` is what metadata that were found say."""
    if said:
        return RadiometryError(
            f"{scene}: {said}; model {model} needs the radar's side (trained on {side.value}); {_HINT}."
        )
    return RadiometryError(
        f"{scene} does not say from which side the radar looked, and model {model} needs it (trained on "
        f"{side.value}); {_HINT}, or name its metadata file with --metadata."
    )


def _seen_from(radar: Sequence[float], target: Sequence[float]) -> float:
    """Azimuth of the radar at the target, both in Earth-fixed metres."""
    to_degrees = Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True)
    lon, lat, _ = to_degrees.transform(target[0], target[1], target[2])
    radar_lon, radar_lat, _ = to_degrees.transform(radar[0], radar[1], radar[2])
    return float(_GEOD.inv(lon, lat, radar_lon, radar_lat)[0]) % 360.0
