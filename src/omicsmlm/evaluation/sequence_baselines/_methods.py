"""What a model of sequences has to beat: predictions from lengths, k-mers, codons and pooled embeddings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm.evaluation._kmers import NUCLEOTIDES
from omicsmlm.evaluation.sequence_baselines._features import codon_frequencies, kmer_frequencies, length_features
from omicsmlm.evaluation.sequence_baselines._ridge import concatenated, ridge


@in_one_sentence_of_types
def length(
    sequences: Mapping[str, Sequence[Any]], targets_nt: Any, trained_n: Any, *, groups: Any = None, seed: int = 0
) -> np.ndarray:
    """Predict outputs from nothing but the lengths of the sequences.

    Parameters
    ----------
    sequences
        By modality, as for :func:`length_features`.
    targets_nt, trained_n, groups, seed
        As for :func:`ridge`.

    Returns
    -------
    numpy.ndarray
        float32 (n, t), for all observations.

    Raises
    ------
    ValueError
        As :func:`length_features` and :func:`ridge`.
    """
    return ridge(length_features(sequences), targets_nt, trained_n, groups=groups, seed=seed)


@in_one_sentence_of_types
def kmer_ridge(
    sequences: Sequence[Any],
    targets_nt: Any,
    trained_n: Any,
    *,
    k: int | Sequence[int] = (1, 2, 3, 4),
    alphabet: str = NUCLEOTIDES,
    groups: Any = None,
    seed: int = 0,
) -> np.ndarray:
    """Predict outputs from the k-mer frequencies and the log-length of one modality, by ridge regression.

    Parameters
    ----------
    sequences, alphabet
        As for :func:`kmer_frequencies`.
    targets_nt, trained_n, groups, seed
        As for :func:`ridge`. Leave out observations that lack the modality; here they are observations without any
        k-mer.
    k
        Letters of a k-mer; several sizes are put beside each other.

    Returns
    -------
    numpy.ndarray
        float32 (n, t), for all observations.

    Raises
    ------
    ValueError
        As :func:`kmer_frequencies` and :func:`ridge`.
    """
    sizes = (k,) if isinstance(k, int) else tuple(k)
    features_nd = np.hstack([kmer_frequencies(sequences, size, alphabet) for size in sizes])
    return ridge(_with_length(features_nd, sequences), targets_nt, trained_n, groups=groups, seed=seed)


@in_one_sentence_of_types
def codon_ridge(
    sequences: Sequence[Any], targets_nt: Any, trained_n: Any, *, groups: Any = None, seed: int = 0
) -> np.ndarray:
    """Predict outputs from the codon frequencies and the log-length of coding sequences, by ridge regression.

    Parameters
    ----------
    sequences
        As for :func:`codon_frequencies`.
    targets_nt, trained_n, groups, seed
        As for :func:`ridge`. Leave out observations that lack the coding sequence; here they are observations without
        any codon.

    Returns
    -------
    numpy.ndarray
        float32 (n, t), for all observations.

    Raises
    ------
    ValueError
        As :func:`ridge`.
    """
    return ridge(_with_length(codon_frequencies(sequences), sequences), targets_nt, trained_n, groups=groups, seed=seed)


@in_one_sentence_of_types
def concatenated_ridge(
    features: Mapping[str, Any], targets_nt: Any, trained_n: Any, *, groups: Any = None, seed: int = 0
) -> np.ndarray:
    """Predict outputs from the features of several modalities beside each other, any of them missing.

    Parameters
    ----------
    features
        By modality, (n, d) pooled embeddings, k-mer frequencies or lengths; NaN in the observations that lack the
        modality. They are scaled and put together by :func:`concatenated`.
    targets_nt, trained_n, groups, seed
        As for :func:`ridge`.

    Returns
    -------
    numpy.ndarray
        float32 (n, t), for all observations.

    Raises
    ------
    ValueError
        As :func:`concatenated` and :func:`ridge`.
    """
    features_nd = concatenated(features, trained_n)
    return ridge(features_nd, targets_nt, trained_n, groups=groups, standardise=False, seed=seed)


def _with_length(features_nd: np.ndarray, sequences: Sequence[Any]) -> np.ndarray:
    return np.hstack([features_nd, length_features({"sequences": sequences})[:, :1]])
