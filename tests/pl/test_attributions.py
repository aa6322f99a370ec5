import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from omicsmlm import pl
from omicsmlm.pl._embedding import palette


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    rows = [
        (label, modality, f"{modality}{i}", float(value))
        for label in ("B", "NK", "T", "mono")
        for modality in ("rna", "adt")
        for i, value in enumerate(rng.normal(size=20))
    ]
    return pd.DataFrame(rows, columns=["label", "modality", "feature", "attribution"])


def test_the_highest_features_of_each_label(table, tmp_path):
    before = table.copy()
    figure = pl.attributions(table, 5, title="Types", save=tmp_path / "attributions.png")
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}
    assert list(panels) == ["B", "NK", "T", "mono"]
    colors = dict(zip(["rna", "adt"], palette(2), strict=True))
    for label, axes in panels.items():
        expected = table[table["label"] == label].sort_values("attribution", ascending=False).head(5)
        assert [text.get_text() for text in axes.get_yticklabels()] == list(expected["feature"])
        assert [bar.get_width() for bar in axes.patches] == list(expected["attribution"])
        assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [colors[name] for name in expected["modality"]]
    assert figure.get_figwidth() <= 7.2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["rna", "adt"]
    assert (tmp_path / "attributions.png").stat().st_size > 5000
    pd.testing.assert_frame_equal(table, before)


def test_one_modality_needs_no_legend(table):
    assert pl.attributions(table[table["modality"] == "rna"]).legends == []


def test_wrong_input_gets_a_sentence(table):
    with pytest.raises(ValueError, match="table: expected the columns 'label', .* got no 'label'; pass the result of"):
        pl.attributions(table.drop(columns="label"))
    with pytest.raises(ValueError, match="table: expected the columns .*, got an empty table"):
        pl.attributions(table.iloc[:0])
    with pytest.raises(ValueError, match="n_features: expected at least 1, got 0; leave it out for 8"):
        pl.attributions(table, 0)
