"""Columns that the user names in a ``setup_*`` method, in the form in which they are registered."""

from collections.abc import Iterable, Sequence
from typing import Any

from omicsmlm._checks import shortened, value_error
from omicsmlm.data import COLUMN_SEPARATOR


def listed(names: str | Sequence[str], argument: str = "modalities") -> list[str]:
    """Return names, each once; a text is one name."""
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, Iterable) or not all(isinstance(name, str) for name in listed):
        raise value_error(argument, "a name, or a list of names", shortened(names), "pass names as text")
    return list(dict.fromkeys(listed))


def listed_covariates(batch_key: str | Sequence[str] | None, others: str | Sequence[str]) -> list[str | None]:
    """Return the columns of covariates: the batch, or None in its place, comes first.

    Examples
    --------
    >>> listed_covariates("batch", "donor"), listed_covariates(None, ["donor"]), listed_covariates(None, ())
    (['batch', 'donor'], [None, 'donor'], [])
    """
    if batch_key is not None:
        batch_key = COLUMN_SEPARATOR.join(listed(batch_key, "batch_key"))
    keys = [key for key in listed(others, "categorical_covariate_keys") if key != batch_key]
    return [batch_key, *keys] if keys or batch_key is not None else []


def further_columns(
    labels_key: str | None,
    unlabeled_category: str,
    continuous_covariate_keys: str | Sequence[str],
    size_factor_key: str | None,
) -> dict[str, Any]:
    """Return the columns that only some families register, as :meth:`OmicsManager.define` takes them: those that are named.

    Examples
    --------
    >>> further_columns("type", "Unknown", (), None), further_columns(None, "Unknown", ["age"], None)
    ({'labels': ['type', 'Unknown']}, {'numbers': [['age'], None]})
    """
    continuous = listed(continuous_covariate_keys, "continuous_covariate_keys")
    found: dict[str, Any] = {}
    if labels_key is not None:
        found["labels"] = [labels_key, unlabeled_category]
    if continuous or size_factor_key is not None:
        found["numbers"] = [continuous, size_factor_key]
    return found
