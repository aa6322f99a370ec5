"""Registration of sequences: columns with text, vectors, and groups of observations that stay together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import check_type, named, value_error
from omicsmlm.data import find_column, holds_coding_sequences
from omicsmlm.models.base import FineTunedModel, listed_covariates
from omicsmlm.tokenizers import TARGETS

from ._config import KINDS, IsoFormerConfig
from ._derived import IsoFormerDerived
from ._module import IsoFormerModule

DEFAULT_COLUMNS = {"dna": ("dna", "promoter"), "rna": ("rna", "cds", "utr"), "protein": ("protein",)}
"""Columns of ``obs`` that are taken for a sequence where none is named, the first that is there."""


class SequenceModel(FineTunedModel[IsoFormerModule, IsoFormerConfig, IsoFormerDerived]):
    """Abstract: a model whose observations have sequences, in ``obs``, and whose variables are predicted from them."""

    @classmethod
    def setup_anndata(  # type: ignore[override]
        cls,
        adata: AnnData,
        *,
        dna_key: str | None = None,
        rna_key: str | None = None,
        protein_key: str | None = None,
        vector_keys: Mapping[str, str] | None = None,
        layer: str | None = None,
        group_key: str | None = None,
        batch_key: str | Sequence[str] | None = None,
        translate: bool = True,
    ) -> None:
        """Register an AnnData: observations are transcripts, variables the targets, NaN where not measured.

        Parameters
        ----------
        adata
            The object.
        dna_key, rna_key, protein_key
            Columns of ``obs`` with sequences as text; missing or empty where an observation has none. U counts as T.
        vector_keys
            Further modalities by name, each an entry of ``obsm`` with a vector per observation, NaN where not measured: say
            ``{"methylation": "promoter_beta"}``.
        layer
            Layer with the log expression; None for ``X``.
        group_key
            Column with the group of each observation, say the gene of an isoform: a group is never divided between training
            and validation, and the isoforms of a gene are predicted together (:meth:`IsoFormer.predict`). An observation
            without one is a group of its own.
        batch_key
            Column with the batch; registered, and not used.
        translate
            Whether an observation that has no protein gets the one that its RNA codes for, here and in later queries. It is
            read from the first nucleotide by the standard code, and not at all where the column of the RNA holds anything
            else than coding sequences (:data:`omicsmlm.data.holds_coding_sequences`): whole transcripts, say.

        Raises
        ------
        ValueError
            If there is no sequence, or a column does not hold what it should; the object is then left as it was.
        """
        if not isinstance(adata, AnnData):
            raise value_error(
                "setup_anndata", "an AnnData", type(adata).__name__, "pass transcripts as observations of an AnnData"
            )
        given = {
            "dna_key": dna_key,
            "rna_key": rna_key,
            "protein_key": protein_key,
            "layer": layer,
            "group_key": group_key,
        }
        for argument, value in given.items():
            check_type(argument, value, (str, type(None)), "a name, as text", "name a column of .obs, or a layer")
        check_type("translate", translate, bool, "True or False", "leave it out for True")
        check_type(
            "vector_keys", vector_keys, (Mapping, type(None)), "keys of .obsm by name", 'pass {"beta": "X_beta"}'
        )
        for name, value in (vector_keys or {}).items():
            for part in (name, value):
                check_type("vector_keys", part, str, "names as text", 'pass {"beta": "X_beta"}')
        keys = {"dna": dna_key, "rna": rna_key, "protein": protein_key}
        sequences = {name: [key, KINDS[name]] for name, key in keys.items() if key is not None}
        if translate and rna_key is not None and holds_coding_sequences(adata, rna_key):
            sequences["protein"] = [protein_key or rna_key, KINDS["protein"], rna_key]
        vectors = dict(vector_keys or {})
        reserved = [name for name in vectors if name in (*KINDS, TARGETS) or "." in name]
        if reserved:
            raise value_error(
                "vector_keys", "names of their own, without a dot", named(reserved), "name them otherwise"
            )
        if not sequences and not vectors:
            remedy = "pass dna_key=…, rna_key=… or protein_key=…"
            raise value_error("setup_anndata", "at least one column with sequences", "none", remedy)
        if group_key is not None:
            find_column(adata, group_key)
        setup = {
            "modalities": [TARGETS],
            "layers": None if layer is None else {TARGETS: layer},
            "kinds": {TARGETS: "real"},
            "covariate_keys": listed_covariates(batch_key, ()),
            "sequences": sequences,
            "vectors": vectors,
            "optional": [TARGETS],
            "group_key": group_key,
        }
        cls._register(adata, setup)

    @classmethod
    def setup_mudata(cls, mdata: MuData, **_: Any) -> None:  # type: ignore[override]
        """Raise: IsoFormer takes an AnnData, whose observations are transcripts."""
        raise value_error("setup_mudata", "an AnnData of transcripts", "a MuData", "call setup_anndata with one")

    @classmethod
    def _setup_unasked(
        cls, data: AnnData | MuData, batch_key: str | Sequence[str] | None, further: Mapping[str, Any]
    ) -> None:
        if not isinstance(data, AnnData):
            raise value_error(
                "data", "an AnnData of transcripts", type(data).__name__, "pass transcripts as observations"
            )
        found = {name: next((key for key in keys if key in data.obs), None) for name, keys in DEFAULT_COLUMNS.items()}
        if not any(found.values()):
            wanted = f"a column of .obs among {[key for keys in DEFAULT_COLUMNS.values() for key in keys]}"
            remedy = "call setup_anndata and name the columns"
            raise value_error("data", wanted, f"columns {named(data.obs.columns)}", remedy)
        dna_key, rna_key, protein_key = (found[name] for name in DEFAULT_COLUMNS)
        cls.setup_anndata(data, dna_key=dna_key, rna_key=rna_key, protein_key=protein_key, batch_key=batch_key)

    def _split(self, train_size: float) -> tuple[np.ndarray, np.ndarray]:
        """Divide whole groups of observations, drawn at random until the training set is full; it has one group at least."""
        train_indices, validation_indices = super()._split(train_size)
        if self._group_key is None or not len(validation_indices):
            return train_indices, validation_indices
        group_n = self._groups()
        order = np.random.default_rng(self.config.seed).permutation(group_n.max() + 1)
        size = np.bincount(group_n)[order].cumsum()
        trains = np.isin(group_n, order[size <= max(len(train_indices), size[0])])
        return np.flatnonzero(trains), np.flatnonzero(~trains)

    def _groups(self) -> np.ndarray:
        """Return the number of each observation's group, (n_obs,); without groups, each observation is one."""
        key = self._group_key
        return np.arange(self.adata.n_obs) if key is None else group_numbers(find_column(self.adata, key))

    @property
    def _group_key(self) -> str | None:
        """Column of the groups; None where none was registered."""
        return self.adata_manager.registry["setup_args"].get("group_key")


def group_numbers(groups: pd.Series) -> np.ndarray:
    """Return the number of each observation's group, (n,), from 0 on; where it is missing, the observation is a group of its own.

    Examples
    --------
    >>> group_numbers(pd.Series(["b", None, "a", "b", None])).tolist()
    [0, 2, 1, 0, 3]
    """
    codes, _ = pd.factorize(groups.astype(str).where(groups.notna()))
    alone_n = codes < 0
    codes[alone_n] = codes.max(initial=-1) + 1 + np.arange(alone_n.sum())
    return codes
