"""The bar that says what construction, the fit of a head, an attribution, a UMAP, a benchmark or the reading of files is doing, where that takes long."""

import logging
from threading import Event, Thread
from types import TracebackType
from typing import Self

from tqdm.auto import tqdm

VISIBLE_AFTER = 2.0
"""Seconds after which the bar appears: a small object is done before."""
BEAT = 1.0
"""Seconds between redraws of a bar that redraws itself."""


class Stages:
    """A bar with the name of the stage that is being worked on; it leaves nothing behind.

    It is shown wherever the line is that a finished model logs: not if the level of the logger ``omicsmlm`` (or of the root, where
    logging was set up) is above INFO.

    Parameters
    ----------
    title
        What is being made.
    n_stages
        How many stages there will be.
    enabled
        False for no bar at all.
    redraws
        Whether the bar redraws itself every second, for stages within which nobody calls :meth:`go_on`.
    """

    def __init__(self, title: str, n_stages: int, *, enabled: bool = True, redraws: bool = False) -> None:
        logger = logging.getLogger("omicsmlm")
        silent = not enabled or (logger.hasHandlers() and not logger.isEnabledFor(logging.INFO))
        self.title, self.n_begun = title, 0
        self.bar = tqdm(
            desc=title,
            total=n_stages,
            delay=VISIBLE_AFTER,
            disable=silent,
            leave=False,
            mininterval=0,
            miniters=0,
            unit="stage",
        )
        self._ended = Event()
        self._clock = Thread(target=self._redraw, daemon=True) if redraws and not silent else None

    def __enter__(self) -> Self:
        if self._clock is not None:
            self._clock.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        if self._clock is not None:
            self._clock.join()
        self.bar.close()

    def _redraw(self) -> None:
        """Redraw the bar until the last stage has ended."""
        while not self._ended.wait(BEAT):
            self.go_on()

    def __call__(self, stage: str) -> None:
        """Begin a stage; the one before is done."""
        self.bar.set_description_str(f"{self.title}: {stage}", refresh=False)
        self.bar.update(min(self.n_begun, 1))
        self.n_begun += 1

    def go_on(self) -> None:
        """Redraw the bar, if it is time, in the middle of a stage that takes many steps."""
        self.bar.update(0)

    def step(self) -> None:
        """Count a stage that has the name of the one before."""
        self.bar.update(1)
