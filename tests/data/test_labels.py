import numpy as np
import pandas as pd

from omicsmlm.data import LabelsField, label_codes, label_names
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


def test_labels_that_occur_are_registered_and_others_are_refused():
    data = rna(6)
    data.obs["label"] = ["b", "Unknown", "a", None, "b", "a"]
    field = LabelsField("label", "Unknown")
    state = field.register_field(data)
    assert state["categories"] == ["a", "b"]
    assert field.codes(data, state).tolist() == [1, -1, 0, -1, 1, 0]
    data.obs["label"] = ["b", "a", "a", None, "b", "c"]
    with refused("column 'label': expected the labels that were registered, 'a', 'b', got 'c'"):
        field.codes(data, state)


def test_another_object_keeps_the_labels_without_its_column_being_read():
    field = LabelsField("label", "Unknown")
    state = {"key": "label", "categories": ["a", "b"]}
    for column in (None, ["z"] * 6):
        data = rna(6)
        if column is not None:
            data.obs["label"] = column
        assert field.transfer_field(state, data) == state


def test_one_label_is_nothing_to_tell_apart():
    data = rna(6)
    data.obs["label"] = ["a"] * 3 + ["Unknown"] * 3
    with refused("labels_key 'label': expected two labels or more beside 'Unknown', got 'a'"):
        LabelsField("label", "Unknown").register_field(data)
