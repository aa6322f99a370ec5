import numpy as np
import pandas as pd
import pytest

from omicsmlm import pl
from omicsmlm.pl._marker_dots import standardised
from tests.objects import multiome, state_of


@pytest.fixture(scope="module")
def mdata():
    return multiome()


@pytest.fixture(scope="module")
def imputed(mdata):
    first = (mdata.obs["type"] == "t0").to_numpy(dtype=float)
    noise = np.random.default_rng(0).normal(size=(mdata.n_obs, 2))
    return pd.DataFrame({"up": 5 + first, "down": 3 - first, "noise": noise[:, 0]}, mdata.obs_names)


def dots(figure):
    """The main panel: places, sizes and values of its dots."""
    drawn = [axes for axes in figure.axes if axes.collections and axes.get_xticklabels()]
    axes = max(drawn, key=lambda axes: axes.get_position().width * axes.get_position().height)
    points = max(axes.collections, key=lambda part: len(part.get_offsets()))
    colors = points.get_facecolor()
    return axes, np.asarray(points.get_offsets()), np.asarray(points.get_sizes()), colors


def test_size_is_the_fraction_above_the_mean_and_colour_the_mean(mdata, imputed):
    figure = pl.marker_dots(mdata, ["up", "down"], "type", imputed=imputed)
    axes, xy, size, color = dots(figure)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["up", "down"]
    groups = [text.get_text() for text in axes.get_yticklabels()]
    largest = {(groups[int(y)], int(x)) for (x, y), s in zip(xy, size, strict=True) if s == size.max()}
    others = set(mdata.obs["type"].astype(str)) - {"t0"}
    assert largest == {("t0", 0), *((other, 1) for other in others)}, (
        "all of t0 are above the mean of `up`, all else of `down`"
    )
    red = {(groups[int(y)], int(x)) for (x, y), c in zip(xy, color, strict=True) if c[0] > c[2]}
    assert red == largest


def test_headings_and_a_file(mdata, imputed, tmp_path):
    markers = {"first": ["up"], "other": ["down", "noise"]}
    before = state_of(mdata)
    figure = pl.marker_dots(mdata, markers, "type", imputed=imputed, title="Markers", save=tmp_path / "dots.png")
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"first", "other"} <= texts
    assert (tmp_path / "dots.png").stat().st_size > 5000
    assert state_of(mdata) == before


def test_many_markers_stand_below_one_another(mdata):
    genes = list(mdata["rna"].var_names[:30])
    figure = pl.marker_dots(mdata, genes, "type")
    axes = dots(figure)[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == genes
    assert figure.get_figwidth() <= 7.2


def test_standardised():
    values = pd.DataFrame({"a": [1.0, 2.0, 6.0], "b": [4.0, 4.0, 4.0]})
    found = standardised(values)
    np.testing.assert_allclose(found["a"], (values["a"] - 3) / np.sqrt(14 / 3))
    assert (found["b"] == 0).all()


@pytest.mark.parametrize(
    ("markers", "groupby", "words"),
    [
        (["up"], "no", "groupby 'no': expected a column of .obs, got only"),
        ([], "type", "markers: expected features, each once, got none"),
        (["up", "up"], "type", "markers: expected features, each once, got 'up' twice"),
        (
            ["lost"],
            "type",
            "markers: expected observations with a value of all of them, got none; draw the modalities one",
        ),
    ],
)
def test_wrong_input_gets_a_sentence(mdata, imputed, markers, groupby, words):
    with pytest.raises(ValueError, match=words):
        pl.marker_dots(mdata, markers, groupby, imputed=imputed.assign(lost=np.nan))
