"""Published weights: names and layouts against a network of the same form in haiku (``tests/fixtures/published_mojo.py``)."""

import json
import shutil
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from safetensors.numpy import save_file

from omicsmlm import MOJO
from omicsmlm.models.mojo._published import load_published, published_state, read_published
from tests.objects import QUIET, state_of
from tests.test_bad_input import refused

FOLDER = Path(__file__).parents[2] / "fixtures" / "published_mojo"
GENES = [f"g{j}" for j in range(7)]
OMICS = {"rna": "rnaseq", "methylation": "methylation"}


@pytest.fixture
def folder(tmp_path):
    """A copy of the folder, that a test may change."""
    return Path(shutil.copytree(FOLDER, tmp_path / "published"))


def outputs():
    return dict(np.load(FOLDER / "outputs.npz"))


def samples(genes=GENES):
    found, obs = outputs(), pd.DataFrame(index=["s0", "s1", "s2"])
    return mudata.MuData(
        {name: AnnData(found[f"values {omic}"], obs.copy(), pd.DataFrame(index=genes)) for name, omic in OMICS.items()}
    )


def test_the_embedding_and_the_logits_are_those_of_haiku():
    data = samples()
    model = MOJO.from_published(FOLDER, data, GENES)
    np.testing.assert_allclose(model.get_latent_representation(), outputs()["embedding"], atol=1e-5)
    batch = model.adata_manager.create_torch_dataset()[np.arange(3)]
    with torch.no_grad():
        found = model.module(model.parts.tokenizer(batch), batch).token_logits
        for name, omic in OMICS.items():
            logits = found[name].logits(torch.ones(3, 7, dtype=torch.bool)).view(3, 7, 6)
            np.testing.assert_allclose(logits, outputs()[f"logits {omic}"], atol=1e-4)
    assert model.is_trained_
    arrays = dict(np.load(FOLDER / "params.npz"))
    assert sum(w.numel() for w in model.module.parameters()) == sum(array.size for array in arrays.values())


def test_genes_are_matched_by_name_and_those_that_the_weights_lack_are_left_out(folder):
    arrays = dict(np.load(folder / "params.npz"))
    (folder / "params.npz").unlink()
    save_file(arrays, folder / "params.safetensors")
    order = [6, 2, 0, 1, 5, 4, 3]
    parts = {}
    for name, part in samples().mod.items():
        other = AnnData(np.full((3, 1), 0.5, dtype=np.float32), part.obs, pd.DataFrame(index=["other"]))
        table = pd.concat([part.to_df().iloc[:, order], other.to_df()], axis=1)
        parts[name] = AnnData(table)
    model = MOJO.from_published(folder, mudata.MuData(parts), GENES)
    np.testing.assert_allclose(model.get_latent_representation(), outputs()["embedding"], atol=1e-5)
    assert model.derived.genes == GENES


def test_it_is_saved_and_trained_on(tmp_path):
    data = samples()
    model = MOJO.from_published(FOLDER, data, GENES)
    before = model.get_latent_representation()
    model.save(tmp_path / "saved")
    np.testing.assert_allclose(MOJO.load(tmp_path / "saved", data).get_latent_representation(), before, atol=1e-6)
    model.train(1, train_size=1.0, key_added=None, **QUIET)
    assert not np.allclose(model.get_latent_representation(), before, atol=1e-6)


def test_one_modality_may_have_another_name():
    found = outputs()
    part = AnnData(found["values rnaseq"], pd.DataFrame(index=list("abc")), pd.DataFrame(index=GENES))
    model = MOJO.from_published(FOLDER, mudata.MuData({"expression": part}), GENES, modalities={"expression": "rnaseq"})
    # the other one is masked everywhere, as in the published network; in that with both, too
    np.testing.assert_allclose(model.get_latent_representation(), found["alone"], atol=1e-5)
    both = MOJO.from_published(FOLDER, samples(), GENES)
    rna = mudata.MuData({"rna": samples()["rna"]})
    np.testing.assert_allclose(both.get_latent_representation(rna), found["alone"], atol=1e-5)
    with refused("modality 'expression': expected one of 'rnaseq', 'methylation', got None"):
        MOJO.from_published(FOLDER, mudata.MuData({"expression": part}), GENES)


def test_what_does_not_fit_is_named_and_the_object_stays_as_it_was(folder, tmp_path):
    data = samples()
    before = state_of(data)
    with refused("directory: expected a folder with config.json", data):
        MOJO.from_published(tmp_path / "none", data, GENES)
    with refused("genes: expected 7 names, each once, got 6, 6 of them distinct", data):
        MOJO.from_published(folder, data, GENES[:6])
    with refused("rna: features: expected genes such as 'h0', 'h1', got 'g0', 'g1'", data):
        MOJO.from_published(folder, data, [f"h{j}" for j in range(7)])
    counts = samples()
    counts["rna"].X = np.round(counts["rna"].X)
    with refused("rna: expected continuous values, as the weights were trained on, got counts"):
        MOJO.from_published(folder, counts, GENES)
    arrays = dict(np.load(folder / "params.npz"))
    stem = arrays.pop("multi_omics_lm/stem/conv1_d/w")
    for changed, message in (
        (arrays, "weights: expected a parameter 'stem/conv1_d/w'"),
        ({**arrays, "multi_omics_lm/stem/conv1_d/w": stem[0]}, "weights: stem/conv1_d/w: expected 3 axes"),
        ({**arrays, "multi_omics_lm/stem/conv1_d/w": stem[:, :2]}, "weights: stem.layer.weight: expected the shape"),
    ):
        np.savez(folder / "params.npz", **changed)
        with refused(message, data):
            MOJO.from_published(folder, data, GENES)
    (folder / "params.npz").rename(folder / "params.joblib")
    with refused("directory: expected params.npz or params.safetensors", data):
        MOJO.from_published(folder, data, GENES)
    settings = json.loads((folder / "config.json").read_text())
    for changes, message in (
        ({"num_hidden_layers_head": 0}, "config.json: num_hidden_layers_head: expected 1, got 0"),
        ({"n_expressions_bins": {"rnaseq": 4, "methylation": 5}}, "config.json: bins: expected as many in all"),
    ):
        (folder / "config.json").write_text(json.dumps({**settings, **changes}))
        with refused(message, data):
            MOJO.from_published(folder, data, GENES)
    assert state_of(data) == before


def test_every_weight_of_ours_has_a_source_of_its_own():
    published = read_published(FOLDER)
    state = published_state(published, list(OMICS.values()))
    module = MOJO.from_published(FOLDER, samples(), GENES).module
    assert set(state) == set(module.state_dict())
    assert len(state) == len(published.arrays)
    load_published(module, published, ["methylation", "rnaseq"])
    expected = published.arrays["~/methylation_embedding/embeddings"]
    np.testing.assert_allclose(module.embedding.tokens[0].weight.detach(), expected)
