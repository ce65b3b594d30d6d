"""Worker processes that end when the command that started them is killed."""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Watch for a killed parent: a worker that outlived it would wait for ever, or write beside the next attempt.

    To be called in the worker, once. A process that multiprocessing did not start has no parent to watch.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
