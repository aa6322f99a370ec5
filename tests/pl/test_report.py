import base64
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from omicsmlm import OmicsMLM, pl
from omicsmlm.pl import _umap
from omicsmlm.pl._report import FEW_OBSERVATIONS, remarks
from tests.objects import QUIET, SMALL, multiome, rna
from tests.test_bad_input import refused


@pytest.fixture(scope="module")
def model():
    """A trained model of two modalities; tests must not change it."""
    made = OmicsMLM(multiome(), SMALL, batch_key="batch")
    made.train(2, **QUIET)
    return made


@pytest.fixture(autouse=True)
def quick_layout(monkeypatch):
    """Two columns of the embedding in the place of a UMAP, which ``test_umap.py`` tests and umap-learn compiles for seconds."""
    monkeypatch.setattr(_umap, "umap_coordinates", lambda embedding, **_: embedding[:, :2])


class Links(HTMLParser):
    """What a page would fetch."""

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_one_file_with_its_figures_inside(model, tmp_path):
    scores = pd.DataFrame({"Total": [0.7, 0.6]}, index=["OmicsMLM", "PCA"])
    figure = pl.history(model.history)
    path = pl.report(model, tmp_path / "run.html", color=["batch", "type"], table=scores, figures={"More <": figure})
    text = path.read_text()
    page = Links()
    page.feed(text)
    assert page.open == []
    assert len(page.found) == 5, "modalities, losses, UMAP, scores, and one more"
    for link in page.found:
        assert link.startswith("data:image/png;base64,")
        assert base64.b64decode(link.split(",")[1]).startswith(b"\x89PNG")
    assert "<h2>More &lt;</h2>" in text
    assert all(line in text for line in repr(model).splitlines()[:1])
    assert re.search(r"<td>PCA</td>|<th>PCA</th>", text)
    assert list(tmp_path.iterdir()) == [path]


def test_what_came_in_is_counted(model, tmp_path):
    text = pl.report(model, tmp_path / "run.html").read_text()
    cells = [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", text)]
    at = cells.index("rna")
    used, there = len(model.get_var_names()["rna"]), model.adata["rna"].n_vars
    assert cells[at : at + 6] == [
        "rna",
        "counts",
        str(model.adata["rna"].n_obs),
        str(there),
        str(used),
        str(there - used),
    ]


def test_remarks_say_what_deserves_a_look(model):
    few = f"Only 72 observations: with fewer than {FEW_OBSERVATIONS}, PCA and regressions are hard to beat."
    assert [text.split(". ")[0] + "." for text in remarks(model)] == [few]
    new = OmicsMLM(rna(), SMALL)
    told = remarks(new)
    assert told[0] == "The model is not trained: the embedding is that of its start. Call train()."
    assert told[-1].startswith("No batch was named")
    new.is_trained_ = True
    new.history_ = {"validation_loss": pd.DataFrame({"validation_loss": [1.0, 2.0]})}
    assert any(text.startswith("The validation loss never fell") for text in remarks(new))
    new.history_ = {"validation_loss": pd.DataFrame({"validation_loss": [1.0, 0.5]})}
    assert not any(text.startswith("The validation loss never fell") for text in remarks(new))


def test_a_rare_modality_is_told():
    data = multiome(400)
    data.mod["atac"] = data["atac"][:10].copy()
    data.update()
    told = f"Only 10 of {data.n_obs} observations have atac"
    assert any(told in text for text in remarks(OmicsMLM(data, SMALL)))


def test_an_untrained_model_is_embedded_and_its_object_left_alone(tmp_path):
    data = rna()
    model = OmicsMLM(data, SMALL, batch_key="batch")
    text = pl.report(model, tmp_path / "run.html", title="A & B").read_text()
    assert "<h1>A &amp; B</h1>" in text
    assert "X_omics" not in data.obsm
    assert f"{data.n_obs} observations in {model.module.n_latent} dimensions" in text


def test_wrong_arguments(model, tmp_path):
    with refused("^path: expected a name that ends in .html, got "):
        pl.report(model, tmp_path / "run.pdf")
    with refused(r"^color: expected columns of .obs \(.*\), got 'nothing'; pass names of columns"):
        pl.report(model, tmp_path / "run.html", color=["batch", "nothing"])
    with refused("^path: expected a file that can be written"):
        pl.report(model, tmp_path / "none" / "run.html")
    model.save(tmp_path / "saved")
    with refused("^report: expected a model with its object, got one that was loaded alone; pass adata=… to load"):
        pl.report(OmicsMLM.load(tmp_path / "saved"), tmp_path / "run.html")
    assert not np.any([path.suffix == ".html" for path in tmp_path.iterdir()])
