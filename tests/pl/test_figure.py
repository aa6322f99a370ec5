"""Figures without pyplot: shown by notebooks, written where they can be."""

import matplotlib.pyplot as plt
import pytest

from omicsmlm import pl
from omicsmlm.pl._figure import ink, new_figure, saved


def test_a_figure_is_white_of_its_size_and_unknown_to_pyplot():
    before = plt.get_fignums()
    figure = new_figure(3, 2)
    assert figure.get_size_inches().tolist() == [3, 2]
    assert figure.get_facecolor() == (1, 1, 1, 1)
    assert figure.axes == []
    assert plt.get_fignums() == before


def test_a_notebook_shows_the_figure():
    assert pl.history({"train_loss": [2.0, 1.0]})._repr_png_().startswith(b"\x89PNG"), "what IPython asks for"


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ((0, 0, 0.4, 1), "white"),
        ((1, 1, 0.8, 1), "black"),
        ((1, 0, 0), "white"),  # a luminance of 0.30
        ((0, 1, 0), "black"),  # 0.59
        ((0.5, 0.5, 0.5), "white"),  # 0.50
        ((0.6, 0.6, 0.6), "black"),
    ],
)
def test_ink_reads_on_dark_and_on_light(color, expected):
    assert ink(color) == expected


def test_a_figure_is_written_where_it_is_to_be(tmp_path):
    figure = new_figure(2, 2)
    assert saved(figure, None) is figure
    for place in (tmp_path / "a.png", str(tmp_path / "b.pdf")):
        assert saved(figure, place) is figure
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("place", ["nowhere/a.png", "a.odd"])
def test_a_place_that_cannot_be_written_gets_a_sentence(tmp_path, place):
    with pytest.raises(ValueError, match="^save: expected a file that can be written.*, got .*; pass another"):
        saved(new_figure(2, 2), tmp_path / place)
