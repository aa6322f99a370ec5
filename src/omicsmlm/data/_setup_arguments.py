"""What was registered, as the arguments of the ``setup_*`` method that registers it again."""

from collections.abc import Mapping
from typing import Any


def setup_arguments(method: str, setup: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a ``setup_*`` method by which an object like the registered one is registered alike.

    Parameters
    ----------
    method
        ``setup_mudata`` or ``setup_anndata``.
    setup
        What was registered, as :meth:`OmicsManager.define` takes it.

    Returns
    -------
    dict
        Only arguments that say something, so that families which lack some of them take it.

    Examples
    --------
    >>> registered = {
    ...     "modalities": ["rna"],
    ...     "layers": {"rna": "counts"},
    ...     "kinds": None,
    ...     "covariate_keys": ["donor", "site"],
    ... }
    >>> setup_arguments("setup_anndata", registered)
    {'modalities': 'rna', 'layer': 'counts', 'batch_key': 'donor', 'categorical_covariate_keys': ['site']}
    """
    batch_key, *covariates = setup["covariate_keys"] or [None]
    if "sequences" in setup:
        return _named({**_of_sequences(setup), "batch_key": batch_key})
    layers, kinds = setup["layers"] or {}, setup["kinds"] or {}
    found: dict[str, Any] = {"modalities": list(setup["modalities"]), "layers": dict(layers), "kinds": dict(kinds)}
    if method == "setup_anndata":
        (name,) = setup["modalities"]
        found = {"modalities": name, "layer": layers.get(name), "kind": kinds.get(name)}
    continuous, size_factor_key = setup.get("numbers") or ([], None)
    labels_key, unlabeled_category = setup.get("labels") or (None, None)
    return _named(
        {
            **found,
            "batch_key": batch_key,
            "categorical_covariate_keys": covariates,
            "continuous_covariate_keys": list(continuous),
            "size_factor_key": size_factor_key,
            "labels_key": labels_key,
            "unlabeled_category": unlabeled_category,
        }
    )


def _of_sequences(setup: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that name sequences, vectors and groups; a protein that is only translated has no column."""
    coding = {name: column[2] for name, column in setup["sequences"].items() if len(column) > 2}
    keys = {f"{name}_key": key for name, (key, *_) in setup["sequences"].items() if key != coding.get(name)}
    layers = setup["layers"] or {}
    return {
        **keys,
        "vector_keys": dict(setup.get("vectors") or {}),
        "layer": next(iter(layers.values()), None),
        "group_key": setup.get("group_key"),
        "translate": bool(coding),
    }


def _named(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are neither None nor empty."""
    return {name: value for name, value in arguments.items() if value is not None and value not in ([], {})}
