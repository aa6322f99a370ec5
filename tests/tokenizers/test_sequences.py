"""Cropped sequences against slices of text, and standardised grids against a loop."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from omicsmlm.tokenizers import TARGETS, TruncatedSequences, Truncation
from omicsmlm.tokenizers._sequences import truncated
from tests.objects import letters_of, manager_of

SEQUENCES = ["ACGTACGTA", "GG", "TTTA", "C", "ACGTAC"]


def texts_of(residues):
    ends = residues.offsets.tolist()
    whole = bytes(residues.residues.tolist()).decode()
    return [whole[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


def sliced(text, length, keep):
    surplus = max(len(text) - length, 0)
    first = {"start": 0, "end": surplus, "centre": surplus // 2}[keep]
    return text[first : first + length]


@pytest.mark.parametrize("keep", ["start", "end", "centre"])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 8])
def test_a_truncation_is_a_slice(length, keep):
    whole = letters_of(*SEQUENCES)
    found = truncated(whole, Truncation(length, keep))
    assert texts_of(found) == [sliced(text, length, keep) for text in SEQUENCES]
    assert found.of_obs is whole.of_obs
    assert found.digests is whole.digests


def test_short_sequences_are_left_alone():
    whole = letters_of(*SEQUENCES)
    assert truncated(whole, Truncation(9, "centre")) is whole
    none = letters_of(of_obs=[-1, -1])
    assert truncated(none, Truncation(1, "end")) is none


def batch_and_tokenizer():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (5, 4)).astype(np.float32)
    x[0, 1] = x[2] = np.nan
    adata = AnnData(x, obs=pd.DataFrame({"dna": SEQUENCES}, index=list("abcde")))
    adata.obsm["beta"] = np.where(rng.random((5, 3)) < 0.3, np.nan, rng.random((5, 3)))
    setup = {"modalities": [TARGETS], "kinds": {TARGETS: "real"}, "vectors": {"methylation": "beta"}}
    manager = manager_of(adata, [None], sequences={"dna": ["dna", "nucleotide"]}, **setup)
    statistics = {"methylation": ([0.2, 0.5, 0.6], [0.1, 2.0, 1.0])}
    tokenizer = TruncatedSequences(
        {"dna": Truncation(3, "end")}, statistics, [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 0.5, 4.0]
    )
    return adata, manager.create_torch_dataset(), tokenizer


def test_vectors_and_targets_are_standardised_on_grids():
    adata, dataset, tokenizer = batch_and_tokenizer()
    rows = [3, 2, 0]
    views = tokenizer(dataset[rows])
    assert set(views) == {"dna", "methylation", TARGETS}
    for name, values in ((TARGETS, adata.X), ("methylation", adata.obsm["beta"])):
        mean, scale = tokenizer._statistics(name)
        for i, row in enumerate(rows):
            expected = [0.0 if math.isnan(v) else (v - m) / s for v, m, s in zip(values[row], mean, scale, strict=True)]
            assert views[name].values[i].tolist() == pytest.approx([float(v) for v in expected], abs=1e-6)
            assert views[name].visible[i].tolist() == [not math.isnan(v) for v in values[row]]
            assert float(views[name].total[i]) == pytest.approx(float(sum(expected)), abs=1e-5)
    by_row = [texts_of(views["dna"])[code] for code in views["dna"].of_obs.tolist()]
    assert by_row == [SEQUENCES[row][-3:] for row in rows]


def test_targets_come_back_to_their_own_units():
    adata, dataset, tokenizer = batch_and_tokenizer()
    grid = tokenizer(dataset[[0, 1, 4]])[TARGETS]
    back = tokenizer.unscaled(grid.values)
    expected = torch.from_numpy(np.asarray(adata.X)[[0, 1, 4]])
    torch.testing.assert_close(back[grid.visible], expected[grid.visible])
