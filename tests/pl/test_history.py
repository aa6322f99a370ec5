import numpy as np
import pandas as pd
import pytest

from omicsmlm import pl
from omicsmlm.pl._history import _split_name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("train_loss", ("loss", "train")),
        ("validation_rna", ("rna", "validation")),
        ("elbo_validation", ("elbo", "validation")),
        ("learning_rate", ("learning_rate", "")),
    ],
)
def test_names_are_split_into_quantity_and_rows(name, parts):
    assert _split_name(name) == parts


def test_training_and_validation_share_a_panel(tmp_path):
    frames = {
        "train_loss": pd.DataFrame({"train_loss": np.array([3.0, 2.0, 1.5], dtype=object)}),  # as scvi-tools keeps it
        "validation_loss": pd.Series([3.5, 2.5, 2.0]),
        "learning_rate": [0.1, 0.2, 0.1],
        "nothing": [],
    }
    figure = pl.history(frames, save=tmp_path / "history.png")
    drawn = {
        axes.get_title(loc="left"): {
            line.get_label(): line.get_ydata().tolist() for line in axes.lines if len(line.get_xdata()) > 2
        }
        for axes in figure.axes
    }
    assert drawn == {
        "loss": {"train": [3.0, 2.0, 1.5], "validation": [3.5, 2.5, 2.0]},
        "learning rate": {"_child0": [0.1, 0.2, 0.1]},  # without a label
    }
    assert (tmp_path / "history.png").stat().st_size > 3000


def test_values_that_are_missing_are_skipped_and_epochs_kept():
    line = pl.history({"train_loss": [1.0, np.nan, 0.5]}).axes[0].lines[0]
    assert line.get_xdata().tolist() == [0, 2]


@pytest.mark.parametrize("history", [{}, None, {"train_loss": []}])
def test_no_curve_gets_a_sentence(history):
    with pytest.raises(ValueError, match="history: expected at least one curve, got none; train the model first"):
        pl.history(history)


def test_a_notebook_shows_the_figure():
    assert pl.history({"train_loss": [2.0, 1.0]})._repr_png_().startswith(b"\x89PNG"), "what IPython asks for"


def test_what_begins_when_is_marked():
    steps = pd.Index([10, 20, 30, 40], name="step")
    frames = {
        "train_loss": pd.Series([5.0, 4.0, 6.0, 5.0], steps),
        "validation_loss": pd.Series([5.0, 3.0, 2.0, 2.5], steps),
        "train_alignment": pd.Series([0.0, 0.0, 2.0, 1.5], steps),
        "validation_alignment": pd.Series([0.0] * 4, steps),
        "train_off": pd.Series([0.0] * 4, steps),
    }
    figure = pl.history(frames, marks={"second training": 30})
    marks = {
        axes.get_title(loc="left"): [
            line.get_xdata()[0] for line in axes.lines if line.get_xdata()[0] == line.get_xdata()[1]
        ]
        for axes in figure.axes
    }
    assert marks == dict.fromkeys(["loss", "alignment", "off"], [20, 30])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["train", "validation", "alignment begins", "lowest validation loss, second training"]


def test_a_term_of_the_training_alone_has_no_curve_of_zeros():
    curves = {"train_alignment": [0.0, 4.0, 3.0], "validation_alignment": [0.0, 0.0, 0.0], "validation_kl": [0.0, 0.0]}
    figure = pl.history({**curves, "train_kl": [0.0, 0.0]})
    drawn = {axes.get_title(loc="left"): [line.get_label() for line in axes.lines] for axes in figure.axes}
    assert "validation" not in drawn["alignment"]
    assert "train" in drawn["alignment"]
    assert {"train", "validation"} <= set(drawn["kl"])
