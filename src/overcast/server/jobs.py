"""The queue: one job per device at a time, each in a process of its own, and all of them on disk."""

from __future__ import annotations

import json
import logging
import re
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from overcast.errors import OvercastError
from overcast.reading import first_line
from overcast.server.models import Models
from overcast.server.records import Inputs, Progress, Record, Status, load, now, save
from overcast.server.root import Root
from overcast.server.work import Files
from overcast.viewer.answers import RequestError

LOG = "log.txt"
CHECK_S = 300
"""Seconds that the look at a scene may take."""
_OPTION = re.compile(r"--([a-z][a-z-]*)")
_LOG = logging.getLogger("overcast.server")


class Jobs:
    """All jobs of a root. Safe to use from several threads."""

    def __init__(
        self, root: Root, models: Models, devices: Sequence[str] = ("auto",), address: str | None = None
    ) -> None:
        """Read the records; what was running when the server ended goes on first.

        Args:
            root: Where they lie.
            models: Bundles by name.
            devices: As `predict --device` takes them; one job at a time on each.
            address: Of a Ray cluster that computes the jobs; None: this machine.
        """
        self._root, self._models, self._address = root, models, address
        self._changed = threading.Condition()
        self._records: dict[str, Record] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._closed = False
        for folder in sorted(path for path in root.jobs.iterdir() if path.is_dir() and not path.is_symlink()):
            self._take(folder)
        self._threads = [threading.Thread(target=self._serve, args=(device,), daemon=True) for device in devices]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop; running jobs go on when a server starts again."""
        with self._changed:
            self._closed = True
            for process in self._processes.values():
                process.kill()
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(10)

    def submit(self, inputs: Inputs) -> Record:
        """A new job at the end of the queue. Raises RequestError where a file of it or its model cannot be used."""
        self._files(inputs)
        if self._root.room_bytes() <= 0:
            raise RequestError(507, "the folder of the server is full; delete finished jobs or uploads.")
        with self._changed:
            waiting = sum(not record.status.final for record in self._records.values())
            if waiting >= self._root.limits.waiting:
                raise RequestError(429, f"{waiting} jobs are waiting, and the server takes no more; come back later.")
            record = Record(id=f"{now():%Y%m%d-%H%M%S}-{secrets.token_hex(4)}", inputs=inputs, created=now())
            (self._root.jobs / record.id).mkdir()
            self._put(record)
        return record

    def check(self, inputs: Inputs) -> dict[str, Any]:
        """What would be done with a scene, or the sentence that says what is missing."""
        arguments = ["check", self._files(inputs).model_dump_json(), inputs.model_dump_json(exclude={"area"})]
        try:
            done = subprocess.run(
                _command(arguments), stdin=subprocess.DEVNULL, capture_output=True, timeout=CHECK_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise RequestError(504, "the look at the scene took too long; try it with a smaller scene.") from None
        answer = _last_object(done.stdout)
        if "ready" in answer:
            steps = [self._sentence(step) for step in answer["ready"]["steps"]]
            return {"ready": True, **answer["ready"], "steps": steps}
        return {"ready": False, "sentence": self._sentence(answer.get("error"))}

    def get(self, number: str) -> Record:
        """A job. Raises RequestError where there is none."""
        with self._changed:
            record = self._records.get(number)
        if record is None:
            raise RequestError(404, "there is no such job.")
        return record

    def listed(self) -> list[Record]:
        """All jobs, the newest first."""
        with self._changed:
            return sorted(self._records.values(), key=lambda record: record.created, reverse=True)

    def folder(self, number: str) -> Path:
        """Where the files of a job lie. Raises RequestError where there is no such job."""
        return self._root.jobs / self.get(number).id

    def dismiss(self, number: str) -> Record:
        """Cancel a job that is not finished, or remove a finished one with its results."""
        with self._changed:
            record = self.get(number)
            if record.status.final:
                del self._records[number]
                shutil.rmtree(self._root.jobs / number)
                return record
            record = self._put(
                record.model_copy(update={"status": Status.DISMISSED, "finished": now(), "message": "cancelled"})
            )
            process = self._processes.get(number)
            if process is not None:
                process.kill()
        return record

    def wait(self, number: str, known: Record, seconds: float) -> Record:
        """The job as soon as it differs from what is known, or after some seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._records.get(number) is not known, seconds)
        return self.get(number)

    def _files(self, inputs: Inputs) -> Files:
        """The files of a job. Raises RequestError where one of them or the model cannot be used."""
        optical = inputs.optical
        files = Files(
            scene=self._root.scene(inputs.scene),
            model=self._models.path(inputs.model),
            optical=() if optical is None else tuple(self._root.scene(name) for name in optical.files),
            clouds=None if optical is None or optical.clouds is None else self._root.scene(optical.clouds),
        )
        for path in (files.scene, *files.optical, *([] if files.clouds is None else [files.clouds])):
            self._root.require_size(path)
        return files

    def _take(self, folder: Path) -> None:
        try:
            record = load(folder)
        except OvercastError as error:
            _LOG.warning("%s", error)
            return
        if record.id != folder.name:
            return
        if record.status is Status.RUNNING:
            record = record.model_copy(update={"status": Status.ACCEPTED, "message": "goes on after a restart"})
        self._records[record.id] = record

    def _put(self, record: Record) -> Record:
        """Take note of a state, on disk and for those who wait."""
        with self._changed:
            save(self._root.jobs / record.id, record)
            self._records[record.id] = record
            self._changed.notify_all()
        return record

    def _serve(self, device: str) -> None:
        """Carry out one job after the other on a device."""
        while (record := self._next(device)) is not None:
            try:
                self._run(record, device)
            except Exception as error:  # noqa: BLE001 - one job must not end the work on all others
                _LOG.exception("job %s failed", record.id)
                self._finish(record.id, Status.FAILED, self._sentence(first_line(error)))

    def _next(self, device: str) -> Record | None:
        with self._changed:
            while not self._closed:
                waiting = [record for record in self._records.values() if record.status is Status.ACCEPTED]
                if waiting:
                    oldest = min(waiting, key=lambda record: (record.started or now(), record.created))
                    states = {"status": Status.RUNNING, "started": oldest.started or now(), "device": device}
                    return self._put(oldest.model_copy(update={**states, "message": "running"}))
                self._changed.wait()
        return None

    def _run(self, record: Record, device: str) -> None:
        folder = self._root.jobs / record.id
        arguments = ["run", self._files(record.inputs).model_dump_json(), str(folder), device]
        arguments += [] if self._address is None else [self._address]
        with (folder / LOG).open("ab") as log, subprocess.Popen(
            _command(arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        ) as process:  # fmt: skip
            with self._changed:
                self._processes[record.id] = process
                if self._closed or self.get(record.id).status is Status.DISMISSED:
                    process.kill()
            answer = self._followed(record.id, process)
        with self._changed:
            del self._processes[record.id]
            if self._closed or self.get(record.id).status is Status.DISMISSED:
                return
        if "result" in answer:
            numbers = {name: answer["result"][name] for name in ("footprints", "optical_share")}
            self._finish(record.id, Status.SUCCESSFUL, "finished", **numbers)
        else:
            self._finish(record.id, Status.FAILED, self._sentence(answer.get("error")))

    def _followed(self, number: str, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """What a process says at last; what it says before is kept as progress."""
        assert process.stdout is not None
        answer: dict[str, Any] = {}
        for line in process.stdout:
            answer = _last_object(line) or answer
            if "stage" in answer:
                with self._changed:
                    record = self.get(number)
                    if record.status is Status.RUNNING:
                        self._put(record.model_copy(update={"progress": Progress.model_validate(answer)}))
        return answer

    def _finish(self, number: str, status: Status, message: str, **numbers: float | None) -> None:
        states = {"status": status, "finished": now(), "message": message, **numbers}
        self._put(self.get(number).model_copy(update=states))

    def _sentence(self, text: str | None) -> str:
        """An error as the page shows it: options of the command line become the fields of its form."""
        if text is None:
            return "the job ended without a word, perhaps for want of memory; the server's log of the job says more."
        return _OPTION.sub(lambda found: f"“{found[1].replace('-', ' ')}”", self._root.relative(text))


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "overcast.server.work", *arguments]


def _last_object(output: bytes) -> dict[str, Any]:
    """The JSON object of the last line; empty where that is none."""
    lines = output.strip().splitlines()
    try:
        value = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
