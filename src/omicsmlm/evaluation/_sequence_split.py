"""Training, validation and test observations of sequences that are not homologous to one another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error
from omicsmlm.evaluation._kmers import AMINO_ACIDS, NUCLEOTIDES, kmer_blocks, texts

K_NUCLEOTIDES, K_AMINO_ACIDS = 16, 5
"""Long enough that unrelated sequences share next to none, short enough that variants share many."""
_MOST_ROWS = 50
"""Observations up to which all pairs that share a k-mer are compared; beyond, each with the next one and the first."""
_PAIRS = 2**18
"""Pairs of observations that are compared at once."""
Sequences = Sequence[Any] | Mapping[str, Sequence[Any]]


@in_one_sentence_of_types
def homology_groups(sequences: Sequences, *, k: int | None = None, min_shared: float = 0.2) -> np.ndarray:
    """Group sequences that share many k-mers, directly or through others.

    Two sequences are linked if the k-mers that both hold are at least `min_shared` of those of the one with fewer, each
    counted once; groups are the connected components. Sequences whose letters all differ with probability p share
    about (1 − p)^k: by default this finds nucleotide sequences of 90 % identity and more, and proteins of 72 % and
    more. It is no alignment: far homologues stay apart; cluster with MMseqs2 where that matters, and pass `groups`.

    A k-mer that more than 50 sequences hold is compared along a chain of them rather than among all, which keeps
    repeats such as Alu from costing the square of their number.

    Parameters
    ----------
    sequences
        (n,) text; None, NaN or "" where absent. Or several modalities by name, and a link in any counts.
    k
        Letters of a k-mer; by default 16 for nucleotides and 5 for amino acids. Sequences shorter than this are linked
        to none, unless they are equal.
    min_shared
        Fraction of the k-mers of the shorter sequence, above 0 and up to 1.

    Returns
    -------
    numpy.ndarray
        int64 (n,): the number of the group, in the order of the first observations. Absent and lone sequences are
        groups of one.

    Raises
    ------
    ValueError
        If an argument is out of range, or modalities have different numbers of observations.

    Examples
    --------
    >>> homology_groups(["MKVLAAGG", "TTYWPQRN", "MKVLAAGC", None]).tolist()
    [0, 1, 0, 2]
    """
    if not 0 < min_shared <= 1:
        raise value_error("min_shared", "a share above 0 and up to 1", str(min_shared), "pass 0.2, say")
    named = sequences if isinstance(sequences, Mapping) else {"sequences": sequences}
    listed = {modality: texts(modality, given) for modality, given in named.items()}
    lengths = {len(given) for given in listed.values()}
    if len(lengths) != 1:
        raise value_error(
            "sequences",
            "modalities of as many observations",
            str(sorted(lengths)),
            "pass those of the same observations",
        )
    (n,) = lengths
    pairs = [_linked(given, k, min_shared) for given in listed.values()]
    return _components(n, np.hstack(pairs))


@in_one_sentence_of_types
def sequence_split(
    sequences: Sequences | None = None,
    groups: Any = None,
    *,
    test: float = 0.1,
    val: float = 0.1,
    k: int | None = None,
    min_shared: float = 0.2,
    seed: int = 0,
) -> np.ndarray:
    """Divide observations into training, validation and test, homologous ones and groups on one side.

    Parameters
    ----------
    sequences, k, min_shared
        As for :func:`homology_groups`; None if `groups` say all.
    groups
        (n,) names, such as genes, that stay together whatever their sequences; missing ones are groups of their own.
        With `sequences`, groups that share near-copies stay together too.
    test, val
        Fractions of the observations, 0 or more, together below 1. Groups are taken in random order as long as they
        fit, so that a large one may leave a part a little smaller than asked for, and one larger than a part is trained
        on.
    seed
        Seed of the order.

    Returns
    -------
    numpy.ndarray
        (n,) "train", "val" or "test", for ``obs["split"]``.

    Raises
    ------
    ValueError
        If neither sequences nor groups are given, an argument is out of range, or there are too few groups.

    Examples
    --------
    >>> sequence_split(groups=["a", "b", "a", "c"], test=0.25, val=0.25).tolist()
    ['train', 'val', 'train', 'test']
    """
    if not (test >= 0 and val >= 0 and test + val < 1):
        found = f"{test} and {val}"
        raise value_error(
            "test, val", "fractions of the observations, together below 1", found, "pass 0.1 and 0.1, say"
        )
    group_n = _joined(sequences, groups, k, min_shared)
    size_g = np.bincount(group_n)
    room = {"test": round(test * len(group_n)), "val": round(val * len(group_n))}
    part_g = np.full(len(size_g), "train", dtype=object)
    for group in np.random.default_rng(seed).permutation(len(size_g)):
        part = next((part for part, left in room.items() if size_g[group] <= left), None)
        if part is not None:
            part_g[group] = part
            room[part] -= size_g[group]
    found = part_g[group_n]
    empty = [
        part for part, fraction in {"test": test, "val": val}.items() if fraction > 0 and not (found == part).any()
    ]
    if empty:
        what = f"{len(size_g)} groups, of which the largest has {size_g.max(initial=0)} of {len(found)} observations"
        raise value_error(empty[0], "a group that fits into it", what, "ask for a larger fraction, or raise min_shared")
    return found


def _joined(sequences: Sequences | None, groups: Any, k: int | None, min_shared: float) -> np.ndarray:
    """Return the groups of observations that share a name or a near-copy."""
    if sequences is None and groups is None:
        raise value_error("sequence_split", "sequences or groups", "neither", "pass one of them, or both")
    if sequences is None:
        return _named_groups(groups)
    alike_n = homology_groups(sequences, k=k, min_shared=min_shared)
    if groups is None:
        return alike_n
    name_n = _named_groups(groups)
    if len(name_n) != len(alike_n):
        raise value_error(
            "groups", f"one per observation, {len(alike_n)}", str(len(name_n)), "pass those of the same observations"
        )
    rows = np.arange(len(name_n))
    firsts = [np.unique(code_n, return_index=True)[1][code_n] for code_n in (alike_n, name_n)]
    return _components(len(rows), np.hstack([np.stack([rows, first]) for first in firsts]))


def _named_groups(groups: Any) -> np.ndarray:
    code_n = pd.factorize(np.asarray(groups, dtype=object))[0]
    return np.where(code_n >= 0, code_n, code_n.max(initial=-1) + np.cumsum(code_n < 0))


def _components(n: int, pairs_2p: np.ndarray) -> np.ndarray:
    links = sparse.coo_array((np.ones(pairs_2p.shape[1], dtype=bool), tuple(pairs_2p)), shape=(n, n))
    return pd.factorize(connected_components(links, directed=False)[1])[0]


def _linked(sequences: list[str], k: int | None, min_shared: float) -> np.ndarray:
    """Return pairs of observations, (2, pairs), that share enough k-mers or are equal."""
    is_dna = set("".join(sequences[:1000]).upper()) <= set("ACGTUN")
    alphabet = NUCLEOTIDES if is_dna else AMINO_ACIDS
    k = (K_NUCLEOTIDES if is_dna else K_AMINO_ACIDS) if k is None else k
    if not 1 <= k <= np.log(2**62) / np.log(len(alphabet)):
        raise value_error("k", "1 or more, and fewer than a number of 62 bits can tell apart", str(k), "pass 16, say")
    holds = _incidence(sequences, k, alphabet)
    first_p, second_p = pairs = _candidates(holds, min_shared)
    shared_p = np.zeros(len(first_p))
    for start in range(0, len(first_p), _PAIRS):
        at = slice(start, start + _PAIRS)
        shared_p[at] = holds[first_p[at]].multiply(holds[second_p[at]]).sum(axis=1)
    linked = pairs[:, shared_p >= min_shared * _fewer(np.diff(holds.indptr), pairs)]
    present = pd.Series(sequences).loc[lambda text: text != ""]
    equal = present.index.to_series().groupby(present.to_numpy()).transform("first")
    return np.hstack([linked, [equal.index.to_numpy(dtype=np.int64), equal.to_numpy(dtype=np.int64)]])


def _incidence(sequences: list[str], k: int, alphabet: str) -> sparse.csr_array:
    """Return which observation has which k-mer, (n, k-mers), ones."""
    rows, kmers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for part, row_m, index_m in kmer_blocks(sequences, k, alphabet):
        rows.append(row_m + part.start)
        kmers.append(index_m)
    row_m, (column_m, known) = np.concatenate(rows), pd.factorize(np.concatenate(kmers))
    shape = (len(sequences), len(known))
    holds = sparse.coo_array((np.ones(len(row_m), dtype=np.int32), (row_m, column_m)), shape=shape).tocsr()
    holds.data[:] = 1
    return holds


def _candidates(holds: sparse.csr_array, min_shared: float) -> np.ndarray:
    """Return pairs of observations, (2, pairs), that may share enough k-mers: all with a rare one, chains and stars of the others."""
    by_kmer, n = holds.tocsc(), holds.shape[0]
    n_rows_m = np.diff(by_kmer.indptr)
    rare = by_kmer[:, (n_rows_m > 1) & (n_rows_m <= _MOST_ROWS)]
    found = sparse.triu(rare @ rare.T, k=1).tocoo()
    frequent_m = np.flatnonzero(n_rows_m > _MOST_ROWS)
    n_frequent_n = np.asarray(by_kmer[:, frequent_m].sum(axis=1)).ravel()
    pairs = np.stack([found.row, found.col]).astype(np.int64)
    most_p = found.data + _fewer(n_frequent_n, pairs)  # as many as they can share
    codes = [pairs[:, most_p >= min_shared * _fewer(np.diff(holds.indptr), pairs)].T @ [n, 1]]
    for kmer in frequent_m:
        rows = np.sort(by_kmer.indices[by_kmer.indptr[kmer] : by_kmer.indptr[kmer + 1]]).astype(np.int64)
        codes += [rows[:-1] * n + rows[1:], rows[0] * n + rows[1:]]
    return np.stack(np.divmod(np.unique(np.concatenate(codes)), n))


def _fewer(count_n: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the smaller count of each pair of observations."""
    return np.minimum(count_n[pairs[0]], count_n[pairs[1]])
