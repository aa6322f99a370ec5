import numpy as np
import pytest

from omicsmlm.evaluation import shuffle_modality
from tests.objects import multiome, state_of


def test_rows_of_one_modality_are_permuted_and_nothing_else():
    mdata = multiome()
    mdata["atac"].layers["counts"] = mdata["atac"].X * 3
    before = state_of(mdata)
    shuffled = shuffle_modality(mdata, "atac", seed=0)
    assert state_of(mdata) == before
    old, new = mdata["atac"].X.toarray(), shuffled["atac"].X.toarray()
    assert not np.array_equal(old, new)
    assert np.array_equal(np.sort(old.view(np.uint32), axis=0), np.sort(new.view(np.uint32), axis=0))
    assert sorted(map(bytes, old)) == sorted(map(bytes, new))
    assert np.array_equal(shuffled["atac"].layers["counts"].toarray(), new * 3)
    changed = {place for place, held in state_of(shuffled).items() if held != before[place]}
    assert changed - {"atac/layers/None"} == {"atac/X", "atac/layers/counts"}  # anndata 0.13 lists X as a layer None


def test_the_seed_decides():
    mdata = multiome()
    first, same, other = (shuffle_modality(mdata, "atac", seed=seed)["atac"].X for seed in (1, 1, 2))
    assert abs(first - same).nnz == 0
    assert abs(first - other).nnz > 0


def test_an_unknown_modality_gets_a_sentence():
    with pytest.raises(ValueError, match="modality: expected one of 'rna', 'atac', 'prot', got 'peaks'"):
        shuffle_modality(multiome(), "peaks")
