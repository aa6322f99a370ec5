import anndata as ad
import numpy as np
import pandas as pd
import pytest
from mudata import MuData

from omicsmlm import pl
from omicsmlm.pl._missing_modalities import modality_patterns
from tests.objects import state_of


def part(names):
    return ad.AnnData(np.ones((len(names), 1), np.float32), pd.DataFrame(index=list(names)), pd.DataFrame(index=["x"]))


@pytest.fixture
def mdata():
    rna, atac = part("abcde"), part("defg")
    atac.var_names = ["y"]
    mdata = MuData({"rna": rna, "atac": atac})
    mdata.obs["batch"] = pd.Series(list("1122") + [None] * 3, mdata.obs_names)
    return mdata


def test_combinations_are_counted(mdata):
    found = modality_patterns(mdata)
    assert list(found.index.names) == ["rna", "atac"]
    assert found["observations"].to_dict() == {(True, False): 3, (True, True): 2, (False, True): 2}
    assert found["observations"].is_monotonic_decreasing
    by_batch = modality_patterns(mdata, "batch")
    assert by_batch.loc[(True, False)].to_dict() == {"1": 2, "2": 1, "missing": 0}
    assert by_batch.loc[(False, True)].to_dict() == {"1": 0, "2": 0, "missing": 2}


def test_bars_are_as_long_as_the_counts(mdata, tmp_path):
    before = state_of(mdata)
    figure = pl.missing_modalities(mdata, save=tmp_path / "modalities.png")
    left, right = figure.axes
    assert [bar.get_width() for bar in right.patches] == [3, 2, 2]
    assert [text.get_text().strip() for text in right.texts] == ["3 (43%)", "2 (29%)", "2 (29%)"]
    assert [text.get_text() for text in left.get_xticklabels()] == ["rna", "atac"]
    assert figure.get_figwidth() <= 7.2
    assert (tmp_path / "modalities.png").stat().st_size > 3000
    assert state_of(mdata) == before


def test_groups_divide_the_bars(mdata):
    right = pl.missing_modalities(mdata, "batch").axes[1]
    assert [bar.get_width() for bar in right.patches] == [2, 0, 0, 1, 0, 1, 0, 2, 1]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["1", "2", "missing"]


def test_groups_may_be_columns_of_the_modalities():
    rna, atac = part("ab"), part("bc")
    rna.obs["batch"], atac.obs["batch"] = ["1", "1"], ["1", "2"]
    found = modality_patterns(MuData({"rna": rna, "atac": atac}), "batch")
    assert found.sum().to_dict() == {"1": 2, "2": 1}


def test_a_single_modality_is_one_row():
    right = pl.missing_modalities(MuData({"rna": part("abc")})).axes[1]
    assert [bar.get_width() for bar in right.patches] == [3]


def test_wrong_input_gets_a_sentence(mdata):
    with pytest.raises(ValueError, match="mdata: expected a MuData, got AnnData, which has one modality"):
        pl.missing_modalities(mdata["rna"])
    with pytest.raises(ValueError, match="groupby 'no': expected a column of .obs, got only 'batch'"):
        pl.missing_modalities(mdata, "no")
    many = MuData({"rna": part([f"c{i}" for i in range(30)])})
    many.obs["id"] = [str(i) for i in range(30)]
    with pytest.raises(ValueError, match="groupby 'id': expected a column of at most 20 values, got 30"):
        pl.missing_modalities(many, "id")
