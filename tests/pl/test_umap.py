import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from omicsmlm import pl
from omicsmlm.pl._umap import umap_coordinates
from tests.objects import rna, state_of


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    adata = rna(90)
    types = adata.obs["type"].cat.codes.to_numpy()
    adata.obsm["X"] = np.random.default_rng(0).normal(size=(90, 5)) + 20 * np.eye(3, 5)[types]
    adata.obs["depth"] = np.arange(90.0)
    adata.obs["some"] = adata.obs["type"].where(types > 0)
    adata.obsm["X"][:2] = np.nan
    before, file = state_of(adata), tmp_path_factory.mktemp("pl") / "umap.png"
    return adata, before, file, pl.umap(adata, "X", ["type", "batch", "depth", "some"], save=file)


def panels(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


def test_a_panel_for_each_column_and_a_file(drawn):
    _, _, file, figure = drawn
    assert set(panels(figure)) == {"type", "batch", "depth", "some"}
    assert file.stat().st_size > 10_000


def test_each_row_has_the_colour_of_its_class(drawn):
    adata, _, _, figure = drawn
    axes = panels(figure)["type"]
    points = axes.collections[0]  # those of the legend are empty
    legend = axes.get_legend()
    color_of = {
        text.get_text(): to_hex(handle.get_facecolor()[0])
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }
    assert list(color_of) == ["t0", "t1", "t2"]
    assert len(set(color_of.values())) == 3
    coordinates = umap_coordinates(adata.obsm["X"][2:])
    expected = {tuple(xy): color_of[t] for xy, t in zip(coordinates, adata.obs["type"].iloc[2:], strict=True)}
    got = {
        tuple(xy): to_hex(color) for xy, color in zip(points.get_offsets().data, points.get_facecolors(), strict=True)
    }
    assert {tuple(np.float32(k)): v for k, v in got.items()} == {tuple(np.float32(k)): v for k, v in expected.items()}


def test_missing_values_are_in_the_legend(drawn):
    texts = [text.get_text() for text in panels(drawn[3])["some"].get_legend().get_texts()]
    assert texts == ["t1", "t2", "missing"]


def test_the_object_stays_as_it_was(drawn):
    assert state_of(drawn[0]) == drawn[1]


def test_groups_that_are_apart_stay_apart(drawn):
    adata = drawn[0]
    xy, types = umap_coordinates(adata.obsm["X"][2:]), adata.obs["type"].iloc[2:].astype(str)
    centres = pd.DataFrame(xy).groupby(types.to_numpy()).mean().to_numpy()
    spread = max(np.linalg.norm(xy[(types == f"t{k}").to_numpy()] - centres[k], axis=1).max() for k in range(3))
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=-1)[np.triu_indices(3, 1)]
    assert gaps.min() > spread


@pytest.mark.parametrize(
    ("key", "color", "words"),
    [
        ("Z", "type", "key 'Z': expected an embedding in .obsm, got only 'X'"),
        (
            "X",
            ["type", "no"],
            r"color 'no': expected a column of .obs or a feature of a modality, got neither",
        ),
        ("X", [], "color: expected at least one column of .obs or feature, got none"),
        ("one", "type", "key 'one': expected at least two columns, got one"),
        ("N", "type", "key 'N': expected at least three finite observations, got 0"),
    ],
)
def test_wrong_input_gets_a_sentence(key, color, words):
    adata = rna()
    adata.obsm["X"], adata.obsm["N"] = np.zeros((72, 2)), np.full((72, 2), np.nan)
    adata.obsm["one"] = np.zeros((72, 1))
    words = words.replace("only 'X'", "only 'X', 'N', 'one'")
    with pytest.raises(ValueError, match=words):
        pl.umap(adata, key, color)


def test_classes_keep_the_order_of_the_category():
    adata = rna(60)
    order = ["late", "early", "never", "middle"]
    adata.obs["stage"] = pd.Categorical(["early", "middle", "late"] * 20, categories=order)
    adata.obsm["X"] = np.random.default_rng(0).normal(size=(60, 4))
    axes = panels(pl.umap(adata, "X", "stage"))["stage"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["late", "early", "middle"]


@pytest.mark.parametrize("n", [3, 4, 5])
def test_very_few_observations_have_a_layout(n, rng):
    xy = umap_coordinates(rng.normal(size=(n, 4)))
    assert xy.shape == (n, 2)
    assert np.isfinite(xy).all()


def test_two_columns_are_drawn_as_they_are():
    adata = rna(40)
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    axes = pl.umap(adata, "X_umap", "type").axes[0]
    drawn = {tuple(xy) for xy in np.asarray(axes.collections[0].get_offsets(), dtype=np.float32)}
    assert drawn == {tuple(xy) for xy in adata.obsm["X_umap"]}
    assert axes.get_xlabel() == "UMAP 1"
