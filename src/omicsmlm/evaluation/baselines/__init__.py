"""Plain and published embeddings from an AnnData or MuData to an array, row for row; the object is never changed."""

from omicsmlm.evaluation.baselines._harmony import harmony
from omicsmlm.evaluation.baselines._linear import clr, lsi, pca, pca_clr, pca_lsi
from omicsmlm.evaluation.baselines._variational import multivi, scvi, totalvi

__all__ = ["clr", "harmony", "lsi", "multivi", "pca", "pca_clr", "pca_lsi", "scvi", "totalvi"]
