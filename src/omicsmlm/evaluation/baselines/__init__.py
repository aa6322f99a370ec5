"""Plain and published embeddings, from an AnnData or MuData to an array; the object is never changed."""

from omicsmlm.evaluation.baselines._clinical import cox, logistic_regression
from omicsmlm.evaluation.baselines._harmony import harmony
from omicsmlm.evaluation.baselines._imputation import ridge_imputation, totalvi_imputation
from omicsmlm.evaluation.baselines._linear import clr, lsi, pca, pca_clr, pca_lsi
from omicsmlm.evaluation.baselines._query import Transferred, projected_pca, scanvi_query, scvi_query
from omicsmlm.evaluation.baselines._variational import multivi, scanvi, scvi, totalvi

__all__ = [
    "Transferred",
    "clr",
    "cox",
    "harmony",
    "logistic_regression",
    "lsi",
    "multivi",
    "pca",
    "pca_clr",
    "pca_lsi",
    "projected_pca",
    "ridge_imputation",
    "scanvi",
    "scanvi_query",
    "scvi",
    "scvi_query",
    "totalvi",
    "totalvi_imputation",
]
