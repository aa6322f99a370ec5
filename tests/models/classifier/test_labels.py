import numpy as np
import pandas as pd

from omicsmlm.models.classifier._labels import label_codes, label_names
from tests.objects import rna
from tests.test_bad_input import refused


def test_names_are_text_and_missing_where_there_is_no_label():
    data = rna(6)
    data.obs["level"] = [1, 2, np.nan, 1, 2, 9]
    assert label_names(data, "level", "9.0").tolist()[:2] == ["1.0", "2.0"]
    assert label_names(data, "level", "9.0").isna().tolist() == [False, False, True, False, False, True]
    assert label_names(data, "level", "none").isna().sum() == 1
    with refused("column 'nothing': expected a column of .obs", data):
        label_names(data, "nothing", "Unknown")


def test_codes_are_positions_among_the_labels():
    names = pd.Series(["b", "a", None, "z", "b"])
    code_n = label_codes(names, ["a", "b", "c"])
    assert code_n.tolist() == [1, 0, -1, -1, 1]
    assert code_n.dtype == np.int64
    assert label_codes(names, ["b", "a"]).tolist() == [0, 1, -1, -1, 0]


def test_missing_labels_that_became_text_are_missing(caplog):
    data = rna(6)
    data.obs["label"] = ["a", "nan", "", "NA", "b", "None"]
    assert label_names(data, "label", "Unknown").isna().tolist() == [False, True, True, True, False, True]
    assert (
        "column 'label': the texts 'nan' (1), '' (1), 'NA' (1), 'None' (1) are taken for missing values."
        in caplog.messages
    )
