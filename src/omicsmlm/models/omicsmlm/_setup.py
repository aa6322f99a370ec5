"""How an object is registered for OmicsMLM: what every family registers, and labels, continuous covariates and size factors."""

from collections.abc import Mapping, Sequence

from anndata import AnnData
from mudata import MuData

from omicsmlm.models.base import Registered, further_columns, listed_covariates

UNLABELED = "Unknown"
"""What stands for a label that is not known, unless the user says otherwise."""


class SetupWithLabels(Registered):
    """Abstract: a registered model whose ``setup_*`` methods take labels and numbers of the observations."""

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        *,
        modalities: Sequence[str] | None = None,
        layers: Mapping[str, str] | None = None,
        kinds: Mapping[str, str] | None = None,
        batch_key: str | Sequence[str] | None = None,
        categorical_covariate_keys: Sequence[str] = (),
        continuous_covariate_keys: Sequence[str] = (),
        size_factor_key: str | None = None,
        labels_key: str | None = None,
        unlabeled_category: str = UNLABELED,
    ) -> None:
        """Register a MuData; its observations need not be paired.

        Parameters
        ----------
        mdata
            Observations are those of ``mdata.obs``; a modality may lack some of them.
        modalities
            Names of the modalities to use; None for all.
        layers
            Layer that holds the values, by modality; ``X`` where none is named. Where ``X`` holds no raw counts and the layer
            ``counts`` or ``raw_counts`` does, that layer is read, and a warning says so.
        kinds
            What the values are, by modality: ``counts``, ``accessibility``, ``protein``, ``fraction`` or ``real``
            (see :data:`omicsmlm._types.Kind`); inferred where none is named.
        batch_key
            Column with the batch, in ``mdata.obs`` or in the ``obs`` of modalities; of several columns, each combination
            of values is a batch. The batch stays out of the latent.
        categorical_covariate_keys, continuous_covariate_keys
            Further columns that the decoder is conditioned on; numbers are standardised. In a query, a category that is
            new, or a number that is missing, counts as the mean of the reference.
        size_factor_key
            Column with size factors, above 0: the expected counts of an observation add up to its size factor times the
            reference's depth at the median size factor, and not to its own depth. It concerns ``counts`` alone.
        labels_key, unlabeled_category
            As in :class:`OmicsMLM`.

        Raises
        ------
        ValueError
            If the values are not what they should be, or a name is not there; the object is then left as it was.
        """
        covariates = listed_covariates(batch_key, categorical_covariate_keys)
        further = further_columns(labels_key, unlabeled_category, continuous_covariate_keys, size_factor_key)
        cls._setup_mudata(mdata, modalities, layers, kinds, covariates, further)

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        *,
        modalities: str = "rna",
        layer: str | None = None,
        kind: str | None = None,
        batch_key: str | Sequence[str] | None = None,
        categorical_covariate_keys: Sequence[str] = (),
        continuous_covariate_keys: Sequence[str] = (),
        size_factor_key: str | None = None,
        labels_key: str | None = None,
        unlabeled_category: str = UNLABELED,
    ) -> None:
        """Register an AnnData as an object of one modality; see :meth:`setup_mudata`.

        Parameters
        ----------
        adata
            The object.
        modalities
            Name to give to its only modality.
        layer, kind, batch_key, categorical_covariate_keys, continuous_covariate_keys, size_factor_key
            As in :meth:`setup_mudata`.
        labels_key, unlabeled_category
            As in :class:`OmicsMLM`.
        """
        covariates = listed_covariates(batch_key, categorical_covariate_keys)
        further = further_columns(labels_key, unlabeled_category, continuous_covariate_keys, size_factor_key)
        cls._setup_anndata(adata, modalities, layer, kind, covariates, further)
