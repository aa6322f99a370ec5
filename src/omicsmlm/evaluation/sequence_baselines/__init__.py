"""Predictions of expression from sequences that need no network, and the scores of any: pure functions of arrays.

Sequences are lists of text; None, NaN or "" is an absent one.
"""

from omicsmlm.evaluation._kmers import AMINO_ACIDS, NUCLEOTIDES
from omicsmlm.evaluation.sequence_baselines._features import codon_frequencies, kmer_frequencies, length_features
from omicsmlm.evaluation.sequence_baselines._methods import codon_ridge, concatenated_ridge, kmer_ridge, length
from omicsmlm.evaluation.sequence_baselines._ridge import concatenated, ridge
from omicsmlm.evaluation.sequence_baselines._scores import output_scores, sequence_scores

__all__ = [
    "AMINO_ACIDS",
    "NUCLEOTIDES",
    "codon_frequencies",
    "codon_ridge",
    "concatenated",
    "concatenated_ridge",
    "kmer_frequencies",
    "kmer_ridge",
    "length",
    "length_features",
    "output_scores",
    "ridge",
    "sequence_scores",
]
