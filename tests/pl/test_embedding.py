import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex

from omicsmlm import pl
from omicsmlm.pl._embedding import palette
from tests.objects import multiome, state_of


@pytest.fixture(scope="module")
def mdata():
    mdata = multiome()
    kept = mdata["rna"].obs_names[5:]
    mdata.mod["rna"] = mdata["rna"][kept].copy()
    mdata.update()
    mdata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(mdata.n_obs, 3)).astype(np.float32)
    mdata.obsm["X_umap"][-1] = np.nan
    return mdata


def colored(axes):
    """The points that have a value: coordinates, values."""
    points = next(part for part in axes.collections if part.get_array() is not None)
    return np.asarray(points.get_offsets(), dtype=np.float32), np.asarray(points.get_array())


def test_the_first_two_columns_are_drawn_of_what_is_finite(mdata):
    axes = pl.embedding(mdata, "X_umap", "type").axes[0]
    drawn = np.asarray(axes.collections[0].get_offsets(), dtype=np.float32)
    assert len(drawn) == mdata.n_obs - 1
    assert {tuple(xy) for xy in drawn} == {tuple(xy) for xy in mdata.obsm["X_umap"][:-1, :2]}


def test_a_gene_colours_and_cells_without_the_modality_are_grey(mdata):
    gene = next(name for name in mdata["rna"].var_names if mdata["rna"][:, name].X.sum() > 20)
    axes = pl.embedding(mdata, "X_umap", gene).axes[0]
    xy, value = colored(axes)
    adata = mdata["rna"]
    cp10k = adata[:, gene].X.toarray()[:, 0] / np.asarray(adata.X.sum(1)).ravel() * 1e4
    expected = pd.Series(np.log1p(cp10k), adata.obs_names).reindex(mdata.obs_names)[:-1]
    place = {tuple(at): i for i, at in enumerate(mdata.obsm["X_umap"][:-1, :2])}
    at = [place[tuple(point)] for point in xy]
    np.testing.assert_allclose(value, expected.iloc[at], rtol=1e-6)
    assert list(value) == sorted(value), "high values lie on top"
    grey = axes.collections[0]
    assert len(grey.get_offsets()) == expected.isna().sum() > 0
    assert to_hex(grey.get_facecolor()[0]) == "#d9d9d9"


def test_imputed_values_go_before_measured_ones_unless_the_modality_is_named(mdata):
    gene = mdata["rna"].var_names[0]
    imputed = pd.DataFrame({gene: np.arange(mdata.n_obs, dtype=float)}, mdata.obs_names)
    figure = pl.embedding(mdata, "X_umap", [gene, f"rna:{gene}"], imputed=imputed)
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == [gene, gene]
    assert sorted(colored(panels[0])[1]) == list(range(mdata.n_obs - 1))
    assert colored(panels[1])[1].max() < 15, "a logarithm"


def test_the_object_stays_as_it_was(mdata):
    before = state_of(mdata)
    pl.embedding(mdata, "X_umap", ["type", mdata["rna"].var_names[0]])
    assert state_of(mdata) == before


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_no_figure_is_wider_than_a_column(mdata, n):
    figure = pl.embedding(mdata, "X_umap", ["type"] * n)
    assert figure.get_figwidth() <= 7.2
    legends = [legend for axes in figure.axes if (legend := axes.get_legend())]
    assert len(legends) == n
    sizes = [text.get_fontsize() for legend in legends for text in legend.get_texts()]
    assert min(sizes) >= 8


@pytest.mark.parametrize("n", [1, 9, 10, 52])
def test_colours_differ(n):
    assert len(set(palette(n))) == n


def test_wrong_input_gets_a_sentence(mdata):
    mdata.obsm["one"] = np.zeros((mdata.n_obs, 1))
    with pytest.raises(ValueError, match="key 'one': expected at least two columns, got one; pass another key"):
        pl.embedding(mdata, "one", "type")
    with pytest.raises(ValueError, match="key 'Z': expected an embedding in .obsm, got only"):
        pl.embedding(mdata, "Z", "type")


def test_a_long_legend_lies_below_all_panels():
    names = [f"a type of cells with a long name {i}" for i in range(40)]
    adata = AnnData(
        np.zeros((80, 1)), obs=pd.DataFrame({"type": names * 2, "batch": ["a", "b"] * 40}).rename(index=str)
    )
    adata.obsm["X"] = np.random.default_rng(0).normal(size=(80, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib's, of a legend that leaves no room for the panel
        figure = pl.embedding(adata, "X", ["type", "batch"])
        figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == sorted(names)
    assert legend.get_title().get_text() == "type"
    first, second = figure.axes
    assert first.get_legend() is None
    assert second.get_legend() is not None
    assert legend.get_window_extent().y1 <= second.get_window_extent().y0
    assert first.get_window_extent().height > 200, "the panel keeps its height"
