"""Lines that a user should see."""

import logging


def announce(logger: logging.Logger, line: str) -> None:
    """Log a line that the user should see, also where nobody has set up logging.

    Parameters
    ----------
    logger
        Of a module of omicsmlm.
    line
        What is logged, at the level of information.
    """
    if not logger.hasHandlers():
        package = logging.getLogger("omicsmlm")
        package.addHandler(logging.StreamHandler())
        package.setLevel(logging.INFO)
    logger.info("%s", line)
