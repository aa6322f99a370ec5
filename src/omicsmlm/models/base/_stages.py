"""The bar that says what construction is doing, where that takes long."""

import logging
from types import TracebackType
from typing import Self

from tqdm.auto import tqdm

VISIBLE_AFTER = 2.0
"""Seconds after which the bar appears: a small object is done before."""


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
    """

    def __init__(self, title: str, n_stages: int) -> None:
        logger = logging.getLogger("omicsmlm")
        silent = logger.hasHandlers() and not logger.isEnabledFor(logging.INFO)
        self.title, self.n_begun = title, 0
        self.bar = tqdm(
            total=n_stages, delay=VISIBLE_AFTER, disable=silent, leave=False, mininterval=0, miniters=0, unit="stage"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.close()

    def __call__(self, stage: str) -> None:
        """Begin a stage; the one before is done."""
        self.bar.set_description_str(f"{self.title}: {stage}", refresh=False)
        self.bar.update(min(self.n_begun, 1))
        self.n_begun += 1

    def go_on(self) -> None:
        """Redraw the bar, if it is time, in the middle of a stage that takes many steps."""
        self.bar.update(0)
