"""The bar of construction: its stages are named and counted, and it is as silent as the log."""

import logging
import time

import numpy as np
import pytest

import omicsmlm
from omicsmlm import _stages
from omicsmlm._stages import Stages

MULTIOME = [
    "reading values",
    "choosing features of rna",
    "choosing features of atac",
    "building",
    "gathering rna",
    "gathering atac",
    "scaling rna",
    "scaling atac",
    "components of rna",
    "rna predicted from atac",
    "components of atac",
    "atac predicted from rna",
]


@pytest.fixture
def at_once(monkeypatch, caplog):
    """Show the bar from the start, where the log would be shown."""
    monkeypatch.setattr(_stages, "VISIBLE_AFTER", 0.0)
    caplog.set_level(logging.INFO, "omicsmlm")


@pytest.mark.parametrize("family", ["OmicsMLM", "ScMBERT"])
def test_construction_names_its_stages_and_counts_them(at_once, capsys, family):
    getattr(omicsmlm, family)(omicsmlm.datasets.simulate_multiome(150, 30, 40))
    shown = capsys.readouterr().err
    places = [shown.index(f"{family}: {stage}") for stage in MULTIOME]
    assert places == sorted(places)
    assert f"{len(MULTIOME) - 1}/{len(MULTIOME)}" in shown  # the last one is being worked on until the bar goes


def test_other_families_have_a_bar_too(at_once, capsys):
    omicsmlm.TxFM(omicsmlm.datasets.simulate_rna(60, 30))
    assert "TxFM: building" in capsys.readouterr().err


def test_a_small_object_shows_no_bar(caplog, capsys):
    caplog.set_level(logging.INFO, "omicsmlm")
    omicsmlm.OmicsMLM(omicsmlm.datasets.simulate_rna(60, 30))
    assert "reading values" not in capsys.readouterr().err


def test_the_bar_is_silent_where_the_log_is(at_once, caplog, capsys):
    caplog.set_level(logging.WARNING, "omicsmlm")
    omicsmlm.OmicsMLM(omicsmlm.datasets.simulate_rna(60, 30))
    assert capsys.readouterr().err == ""


def test_the_bar_goes_when_a_stage_fails(at_once):
    stages = Stages("Toy", 2)
    with pytest.raises(ValueError, match="in the middle"), stages:
        fail(stages)
    assert stages.bar.disable  # as tqdm leaves one that was closed


def fail(stages: Stages) -> None:
    """Begin a stage that ends in an error."""
    stages("first")
    raise ValueError("in the middle")


def test_a_long_first_stage_is_seen_before_it_ends(monkeypatch, caplog, capsys):
    caplog.set_level(logging.INFO, "omicsmlm")
    monkeypatch.setattr(_stages, "VISIBLE_AFTER", 0.05)
    with Stages("Toy", 2) as stages:
        stages("reading")
        assert capsys.readouterr().err == ""
        time.sleep(0.06)
        stages.go_on()
        assert "Toy: reading" in capsys.readouterr().err


def test_a_bar_redraws_itself_while_nobody_calls(monkeypatch, caplog, capsys):
    caplog.set_level(logging.INFO, "omicsmlm")
    monkeypatch.setattr(_stages, "VISIBLE_AFTER", 0.05)
    monkeypatch.setattr(_stages, "BEAT", 0.01)
    with Stages("Toy", 1, redraws=True) as stages:
        stages("one long call")
        assert capsys.readouterr().err == ""
        time.sleep(0.2)
    assert "Toy: one long call" in capsys.readouterr().err
    assert not stages._clock.is_alive(), "its thread ends with it"


def test_a_bar_that_is_not_wanted_is_not_shown(at_once, capsys):
    with Stages("Toy", 1, enabled=False, redraws=True) as stages:
        stages("fitting")
    assert capsys.readouterr().err == ""
    assert stages._clock is None


def test_attributions_count_their_steps(at_once, capsys):
    adata = omicsmlm.datasets.simulate_rna(60, 30)
    model = omicsmlm.OmicsMLM(adata)
    capsys.readouterr()
    model.attribute(labels="cell_type", n_steps=4, batch_size=32)
    shown = capsys.readouterr().err
    assert "OmicsMLM: integrated gradients" in shown
    assert "12/12" in shown, "two batches, each of four steps and both ends"


@pytest.mark.parametrize(("progress_bar", "is_shown"), [(True, True), (False, False)])
def test_a_classifier_names_what_it_fits(at_once, capsys, progress_bar, is_shown):
    adata = omicsmlm.datasets.simulate_rna(60, 30)
    classifier = omicsmlm.Classifier.from_model(omicsmlm.OmicsMLM(adata), "cell_type")
    capsys.readouterr()
    classifier.train(progress_bar=progress_bar)
    assert ("Classifier: head on the embedding" in capsys.readouterr().err) == is_shown


def test_survival_a_umap_and_reading_say_what_they_do(at_once, monkeypatch, capsys):
    monkeypatch.setattr(_stages, "BEAT", 0.01)
    adata = omicsmlm.datasets.simulate_rna(120, 30)
    adata.obs["time"], adata.obs["event"] = np.arange(1.0, 121.0), np.arange(120) % 2
    model = omicsmlm.OmicsMLM(adata)
    capsys.readouterr()
    omicsmlm.Survival.from_model(model, "time", "event", config=omicsmlm.SurvivalConfig(n_networks=0)).train()
    assert "Survival: Cox models" in capsys.readouterr().err
    z_nd = model.get_latent_representation()
    omicsmlm.pl.umap_coordinates(z_nd)
    assert "UMAP: 120 observations" in capsys.readouterr().err
    omicsmlm.read(rna=adata)
    assert "read: rna:" in capsys.readouterr().err


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _stages.VISIBLE_AFTER == 2.0
