"""QGIS Processing: building footprints from a SAR scene, by the command `overcast predict`.

One file for the scripts folder of QGIS. QGIS's own Python needs nothing: Overcast stays in an environment of its own
and runs as a process beside QGIS. How to install and use it: docs/qgis.md of Overcast.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, Queue
from typing import Any, ClassVar, NamedTuple, TextIO

from qgis import core

UNITS = ("linear_power", "amplitude", "dB", "digital_number")
SIDES = ("north", "east", "south", "west")
OUTLINES = ("gentle", "strict", "off")
LOOK_S = 0.2
"""Seconds between two looks whether the user has cancelled."""
PATIENCE_S = 20.0
"""Seconds that a cancelled process has to end by itself: it keeps what it has computed."""
FOREIGN = ("PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA")
"""Variables that QGIS sets for its own Python and libraries; they would mislead those of Overcast."""
PROGRESS = re.compile(r"^(predict|join|polygons|write): ([\d.e+-]+)/([\d.e+-]+) km²")
"""A line of progress of `overcast predict`: stage, square kilometres done and in all."""
STAGES = {"predict": (0, 85), "join": (85, 90), "polygons": (90, 97), "write": (97, 100)}
"""Of each stage the percent at its beginning and at its end."""


class Request(NamedTuple):
    """What `overcast predict` is asked for; None and empty: not said."""

    scene: str
    footprints: str
    probability: str | None = None
    model: str | None = None
    area: str | None = None
    """File of polygons, or xmin,ymin,xmax,ymax in the scene's coordinates."""
    optical: tuple[str, ...] = ()
    clouds: str | None = None
    bands: str | None = None
    unit: str | None = None
    radar_side: str | None = None
    threshold: float = 0.5
    min_area_m2: float = 10.0
    outlines: str = "gentle"
    further: str = ""
    """Options as they are typed, for example --set tile=512."""


def command_line(overcast: str, request: Request) -> list[str]:
    """The command for a request, to be started without a shell."""
    said = [
        ("output", request.footprints),
        ("probability", request.probability),
        ("model", request.model),
        ("area", request.area),
        *(("optical", image) for image in request.optical),
        ("clouds", request.clouds),
        ("bands", request.bands),
        ("unit", request.unit),
        ("radar-side", request.radar_side),
        ("threshold", f"{request.threshold:g}"),
        ("min-area-m2", f"{request.min_area_m2:g}"),
        ("outlines", request.outlines),
    ]
    options = [f"--{name}={value}" for name, value in said if value]  # with "=": an area may begin with a minus
    return [overcast, "predict", *options, "--overwrite", *shlex.split(request.further), "--", request.scene]


def own_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables for Overcast's process: those of QGIS without what belongs to QGIS's own Python."""
    kept = {name: value for name, value in variables.items() if name not in FOREIGN}
    return {**kept, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def percent_of(line: str) -> float | None:
    """How far the work is by a line of Overcast's, 0..100; None where the line tells something else."""
    found = PROGRESS.match(line)
    if found is None:
        return None
    begin, end = STAGES[found[1]]
    done, total = float(found[2]), float(found[3])
    return begin + (end - begin) * min(1.0, done / total) if total > 0 else float(begin)


def complaint(lines: Iterable[str], code: int) -> str:
    """What went wrong, for the user: Overcast's own sentence, or the last that it said."""
    spoken = [text for line in lines if (text := line.strip("│╭╮╰╯─ \t\r\n"))]
    for line in reversed(spoken):
        if line.startswith("error: "):
            return line.removeprefix("error: ")
    last = spoken[-1] if spoken else "it said nothing"
    return f"overcast ended with code {code}: {last}"


def run_overcast(command: list[str], say: Callable[[str], None], canceled: Callable[[], bool]) -> tuple[int, list[str]]:
    """Run Overcast, hand on each line that it says, and stop it when the user cancels.

    Returns its exit code and all lines. Raises OSError where it cannot be started.
    """
    hidden = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}
    process = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=own_environment(os.environ),
        **hidden,
    )
    assert process.stdout is not None
    spoken: Queue[str | None] = Queue()
    threading.Thread(target=_read, args=(process.stdout, spoken), daemon=True).start()
    lines: list[str] = []
    while not canceled():
        try:
            line = spoken.get(timeout=LOOK_S)
        except Empty:
            continue
        if line is None:
            return process.wait(), lines
        lines.append(line)
        say(line)
    return _stopped(process), lines


def _read(stream: TextIO, spoken: Queue[str | None]) -> None:
    """All lines of a stream into a queue, and None at its end; the stream is closed."""
    with stream:
        for line in stream:
            spoken.put(line.rstrip())
    spoken.put(None)


def _stopped(process: subprocess.Popen[str]) -> int:
    """End a process: politely, and after a while by force."""
    process.terminate()
    try:
        return process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


class Styled(core.QgsProcessingLayerPostProcessorInterface):
    """Gives footprints the style that Overcast wrote with them, once QGIS has loaded them."""

    def postProcessLayer(self, layer, context, feedback):  # noqa: ARG002, N802 - QGIS's signature
        """Called by QGIS in its main thread."""
        layer.loadDefaultStyle()


class OvercastPredict(core.QgsProcessingAlgorithm):
    """The algorithm `script:overcast_predict`."""

    styles: ClassVar[list[Styled]] = []  # a new one for each layer, which QGIS deletes but keeps no reference to

    def createInstance(self):  # noqa: D102, N802 - QGIS's names, here and below
        return OvercastPredict()

    def name(self):  # noqa: D102
        return "overcast_predict"

    def displayName(self):  # noqa: D102, N802
        return "Building footprints from radar (Overcast)"

    def group(self):  # noqa: D102
        return "Overcast"

    def groupId(self):  # noqa: D102, N802
        return "overcast"

    def shortHelpString(self):  # noqa: N802
        """Beside the parameters."""
        return (
            "Maps footprints from a SAR scene of any size with the command <code>overcast predict</code>, which runs "
            "beside QGIS. Bands, unit and radar side are read from the file or from scene.yaml beside scene.tif; say "
            "them here where they are not there. Without a model the installed one is taken: HH, HV, VH, VV in dB at "
            "1 m. An optical image needs a run folder of <code>overcast train</code>. Existing outputs are replaced."
        )

    def initAlgorithm(self, config=None):  # noqa: ARG002, N802
        """The parameters."""
        for parameter, rare in _parameters():
            if rare:
                parameter.setFlags(parameter.flags() | core.QgsProcessingParameterDefinition.FlagAdvanced)
            self.addParameter(parameter)

    def processAlgorithm(self, parameters, context, feedback):  # noqa: N802
        """Map the scene. Raises QgsProcessingException with Overcast's own sentence where it cannot."""
        request = self._request(parameters, context, feedback)
        command = command_line(self.parameterAsString(parameters, "OVERCAST", context) or "overcast", request)
        feedback.pushCommandInfo(shlex.join(command))

        def say(line: str) -> None:
            percent = percent_of(line)
            if percent is not None:
                feedback.setProgress(percent)
            feedback.pushConsoleInfo(line)

        try:
            code, lines = run_overcast(command, say, feedback.isCanceled)
        except OSError as error:
            raise core.QgsProcessingException(
                f"{command[0]} cannot be started ({error.strerror}); name the command overcast of the environment in "
                "which Overcast is installed."
            ) from error
        if feedback.isCanceled():
            return {}
        if code:
            raise core.QgsProcessingException(complaint(lines, code))
        if context.willLoadLayerOnCompletion(request.footprints):
            self.styles.append(Styled())
            context.layerToLoadOnCompletionDetails(request.footprints).setPostProcessor(self.styles[-1])
        made = {"FOOTPRINTS": request.footprints, "PROBABILITY": request.probability}
        return {name: path for name, path in made.items() if path}

    def _request(self, parameters, context, feedback) -> Request:
        def text(name: str) -> str:
            return self.parameterAsString(parameters, name, context)

        def path(name: str) -> str | None:
            layer = self.parameterAsRasterLayer(parameters, name, context)
            return None if layer is None else _path(layer)

        scene = self.parameterAsRasterLayer(parameters, "SCENE", context)
        if scene is None:
            raise core.QgsProcessingException("the scene is no raster that QGIS can open; choose a GeoTIFF.")
        return Request(
            scene=_path(scene),
            footprints=self.parameterAsOutputLayer(parameters, "FOOTPRINTS", context),
            probability=self.parameterAsOutputLayer(parameters, "PROBABILITY", context),
            model=text("MODEL"),
            area=self._area(parameters, context, feedback, scene),
            optical=tuple(map(_path, self.parameterAsLayerList(parameters, "OPTICAL", context))),
            clouds=path("CLOUDS"),
            bands=text("BANDS"),
            unit=self.parameterAsEnumString(parameters, "UNIT", context),
            radar_side=self.parameterAsEnumString(parameters, "RADAR_SIDE", context),
            threshold=self.parameterAsDouble(parameters, "THRESHOLD", context),
            min_area_m2=self.parameterAsDouble(parameters, "MIN_AREA_M2", context),
            outlines=self.parameterAsEnumString(parameters, "OUTLINES", context),
            further=text("FURTHER"),
        )

    def _area(self, parameters, context, feedback, scene) -> str | None:
        polygons = self.parameterAsVectorLayer(parameters, "AREA", context)
        extent = self.parameterAsExtent(parameters, "EXTENT", context, scene.crs())
        if polygons is not None and not extent.isNull():
            raise core.QgsProcessingException("area and extent are both given; leave one of them empty.")
        if polygons is not None:
            known = ["gpkg", "geojson", "shp", "parquet"]
            return self.parameterAsCompatibleSourceLayerPath(parameters, "AREA", context, known, "gpkg", feedback)
        if extent.isNull():
            return None
        sides = (extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum())
        return ",".join(f"{side:.12g}" for side in sides)


def _path(layer) -> str:
    """File or address of a raster, without what QGIS writes behind it."""
    return layer.source().partition("|")[0]


def _parameters() -> list[tuple[Any, bool]]:
    """Parameters, and whether each hides under "advanced"."""
    number = core.QgsProcessingParameterNumber.Double
    file, folder = core.QgsProcessingParameterFile.File, core.QgsProcessingParameterFile.Folder
    rasters, polygons = core.QgsProcessing.TypeRaster, core.QgsProcessing.TypeVectorPolygon
    found = os.environ.get("OVERCAST") or shutil.which("overcast") or ""

    def choice(name: str, title: str, options: tuple[str, ...], default: str | None = None) -> Any:
        return core.QgsProcessingParameterEnum(name, title, options, False, default, default is None, True)

    return [
        (core.QgsProcessingParameterRasterLayer("SCENE", "SAR scene"), False),
        (core.QgsProcessingParameterFile("MODEL", "Model: bundle or run folder", folder, optional=True), False),
        (core.QgsProcessingParameterVectorLayer("AREA", "Only inside of polygons", [polygons], optional=True), False),
        (core.QgsProcessingParameterExtent("EXTENT", "Only inside of this extent", optional=True), False),
        (core.QgsProcessingParameterMultipleLayers("OPTICAL", "Optical image", rasters, optional=True), False),
        (core.QgsProcessingParameterRasterLayer("CLOUDS", "Mask of its clouds", optional=True), False),
        (choice("RADAR_SIDE", "Side on which the radar stood", SIDES), False),
        (core.QgsProcessingParameterNumber("THRESHOLD", "Smallest probability", number, 0.5, False, 0, 1), False),
        (core.QgsProcessingParameterNumber("MIN_AREA_M2", "Smallest area in m²", number, 10, False, 0), True),
        (choice("OUTLINES", "Outlines", OUTLINES, OUTLINES[0]), True),
        (core.QgsProcessingParameterString("BANDS", "Bands in order, such as HH,HV,VH,VV", optional=True), True),
        (choice("UNIT", "Unit of the pixels", UNITS), True),
        (core.QgsProcessingParameterString("FURTHER", "Further options, such as --set tile=512", optional=True), True),
        (core.QgsProcessingParameterFile("OVERCAST", "Command", file, "", found, True, "All files (*)"), True),
        (core.QgsProcessingParameterVectorDestination("FOOTPRINTS", "Footprints", polygons), False),
        (core.QgsProcessingParameterRasterDestination("PROBABILITY", "Probability", None, True, False), False),
    ]
