"""Ctrl-C in the middle of a training."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest


@contextmanager
def interrupted_at(step: int) -> Iterator[None]:
    """The training inside is interrupted, as by Ctrl-C, when it has done so many steps."""
    done = count(1)

    def interrupt(*_: object) -> None:
        if next(done) == step:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("overcast.training.progress.TrainingProgress.on_train_batch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            yield
