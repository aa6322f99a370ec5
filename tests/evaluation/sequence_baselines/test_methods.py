"""Each plain baseline finds the signal that is its own, and is a ridge regression on its features."""

import numpy as np
import pytest

from omicsmlm.evaluation.sequence_baselines import (
    AMINO_ACIDS,
    codon_frequencies,
    codon_ridge,
    concatenated,
    concatenated_ridge,
    kmer_frequencies,
    kmer_ridge,
    length,
    length_features,
    ridge,
)


def test_each_baseline_finds_its_own_signal(rng):
    """Outputs made of one kind of feature: its baseline predicts new observations, lengths alone do not."""
    n = 300
    sequences = [
        "".join(rng.choice(list("ACGT"), rng.integers(60, 300), p=rng.dirichlet(np.full(4, 5)))) for _ in range(n)
    ]
    trained_n = np.arange(n) < 200

    def correlation(y_n, predicted_nt):
        return np.corrcoef(y_n[200:], predicted_nt[200:, 0])[0, 1]

    long_n = length_features({"rna": sequences})[:, 0]
    assert correlation(long_n, length({"rna": sequences}, long_n[:, None], trained_n)) > 0.99
    for y_n, predict in [
        (kmer_frequencies(sequences, 2)[:, 3], lambda y_nt: kmer_ridge(sequences, y_nt, trained_n, k=2)),
        (kmer_frequencies(sequences, 1)[:, 3], lambda y_nt: kmer_ridge(sequences, y_nt, trained_n, k=(1, 2))),
        (codon_frequencies(sequences)[:, 0], lambda y_nt: codon_ridge(sequences, y_nt, trained_n)),
        (long_n, lambda y_nt: codon_ridge(sequences, y_nt, trained_n)),
    ]:
        assert correlation(y_n, predict(y_n[:, None])) > 0.95
    y_n = kmer_frequencies(sequences, 1)[:, 3]
    assert abs(correlation(y_n, length({"rna": sequences}, y_n[:, None], trained_n))) < 0.3
    proteins = [text.replace("T", "W") for text in sequences]
    assert correlation(y_n, kmer_ridge(proteins, y_n[:, None], trained_n, k=1, alphabet=AMINO_ACIDS)) > 0.95


def test_concatenation_uses_what_a_row_has(rng):
    x_nd, z_nd = rng.normal(size=(200, 3)), rng.normal(size=(200, 3))
    x_nd[100:150], z_nd[150:] = np.nan, np.nan
    y_nt = (np.nan_to_num(x_nd) + np.nan_to_num(z_nd)).sum(axis=1, keepdims=True)
    trained_n = rng.random(200) < 0.7
    predicted_nt = concatenated_ridge({"x": x_nd, "z": z_nd}, y_nt, trained_n)
    np.testing.assert_allclose(predicted_nt, y_nt, atol=0.05)


@pytest.fixture
def problem(rng):
    """Coding sequences, outputs that are noise, and what is learned from; three observations a group."""
    sequences = ["".join(rng.choice(list("ACGT"), rng.integers(30, 90))) for _ in range(60)]
    return sequences, rng.normal(size=(60, 2)), np.arange(60) < 40, np.arange(60) // 3


def test_each_is_a_ridge_regression_on_its_features_and_the_length(problem):
    sequences, y_nt, trained_n, groups = problem
    options = {"groups": groups, "seed": 5}
    long_n1 = length_features({"sequences": sequences})[:, :1]
    for found, features_nd in (
        (length({"rna": sequences}, y_nt, trained_n, **options), length_features({"rna": sequences})),
        (
            kmer_ridge(sequences, y_nt, trained_n, k=2, **options),
            np.hstack([kmer_frequencies(sequences, 2), long_n1]),
        ),
        (
            kmer_ridge(sequences, y_nt, trained_n, **options),
            np.hstack([*(kmer_frequencies(sequences, k) for k in (1, 2, 3, 4)), long_n1]),
        ),
        (codon_ridge(sequences, y_nt, trained_n, **options), np.hstack([codon_frequencies(sequences), long_n1])),
    ):
        np.testing.assert_allclose(found, ridge(features_nd, y_nt, trained_n, **options), rtol=1e-6, atol=1e-7)
        assert (found.dtype, found.shape) == (np.float32, (60, 2))


def test_groups_and_the_seed_divide_what_chooses_the_strength(problem):
    sequences, y_nt, trained_n, groups = problem
    x_nd = np.hstack([kmer_frequencies(sequences, 2), np.full((60, 1), 7.0)])
    features = {"kmers": x_nd}
    expected = ridge(concatenated(features, trained_n), y_nt, trained_n, groups=groups, standardise=False, seed=2)
    np.testing.assert_array_equal(concatenated_ridge(features, y_nt, trained_n, groups=groups, seed=2), expected)
    usual = ridge(concatenated(features, trained_n), y_nt, trained_n, standardise=False)
    np.testing.assert_array_equal(concatenated_ridge(features, y_nt, trained_n), usual)
