"""Attribution of predictions to modalities and regions, by ablation."""

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from omicsmlm import IsoFormer
from omicsmlm._types import MASK_BIT
from omicsmlm.models.isoformer._attribution import mask_region
from tests.objects import SMALL_ISOFORMER, letters_of, transcripts


def without(adata: AnnData, column: str) -> AnnData:
    adata = adata.copy()
    adata.obs[column] = None
    return adata


def test_attribution_of_a_modality_is_the_change_without_it(trained):
    table = trained.attribute_modalities()
    obs = trained.adata.obs
    both = (obs["dna"].notna() & obs["protein"].notna()).to_numpy()
    change = trained.predict() - trained.predict(without(transcripts(), "protein"))
    np.testing.assert_allclose(table.loc[both, ("protein", "brain")], change.loc[both, "brain"], atol=1e-5)
    assert table["protein"][~both].isna().all().all()
    assert table.columns.nlevels == 2


def test_attribution_of_a_region_is_the_change_when_its_residues_are_masked(trained):
    table = trained.attribute_regions("dna", "liver", n_regions=3)
    hidden = transcripts()
    for row, text in enumerate(hidden.obs["dna"]):
        if pd.notna(text):
            code = [("N" if place * 3 // len(text) == 1 else residue) for place, residue in enumerate(text)]
            hidden.obs.iloc[row, hidden.obs.columns.get_loc("dna")] = "".join(code)
    has = hidden.obs["dna"].notna().to_numpy()
    assert table[~has].isna().all().all()
    module = trained.module
    codes = module.encoders["dna"].codes
    assert codes[ord("N")] != codes[ord("N") | MASK_BIT], (
        "to the encoder an ambiguous residue and a masked one are two tokens"
    )
    hidden_views = trained.parts.tokenizer(trained.manager_for(hidden).create_torch_dataset()[list(range(72))])
    residues = hidden_views["dna"]
    hidden_views["dna"] = residues._replace(
        residues=torch.where(residues.residues == ord("N"), residues.residues | MASK_BIT, residues.residues)
    )
    with torch.no_grad():
        expected = trained.predict()["liver"] - trained._from_views(hidden_views)[:, 0].numpy()
    np.testing.assert_allclose(table.loc[has, 1], expected[has], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rna", "liver"), "modality: expected one of"),
        (("dna", "skin"), "target: expected one of the 3 variables, got 'skin'"),
        (("dna", "liver", None, 0), "n_regions: expected at least 1"),
    ],
)
def test_each_wrong_question_gets_its_sentence(trained, arguments, message):
    with pytest.raises(ValueError, match=message):
        trained.attribute_regions(*arguments)


def test_of_a_single_modality_nothing_can_be_removed():
    adata = transcripts(24)
    IsoFormer.setup_anndata(adata, dna_key="dna")
    table = IsoFormer(adata, SMALL_ISOFORMER).attribute_modalities()
    assert table.shape == (24, 3)
    assert table.isna().all().all()


# ---- masked regions -----------------------------------------------------------------------------------------------


def text(residues) -> list[str]:
    whole = "".join("?" if code & MASK_BIT else chr(code) for code in residues.residues.tolist())
    ends = residues.offsets.tolist()
    return [whole[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (0, ["??GTAC", "???CGTA", "?"]),
        (1, ["AC??AC", "TGA??TA", "C"]),
        (2, ["ACGT??", "TGACG??", "C"]),
    ],
)
def test_a_region_is_a_third_of_each_sequence(region, expected):
    """The residue at place p of l is in region floor(3 p / l)."""
    assert text(mask_region(letters_of("ACGTAC", "TGACGTA", "C"), region, 3)) == expected


def test_masked_sequences_have_digests_of_their_own():
    sequences = letters_of("ACGTAC", "TGACGTA")
    digests = {tuple(sequences.digests[0].tolist())}
    for n_regions in (1, 2, 3):
        for region in range(n_regions):
            digests.add(tuple(mask_region(sequences, region, n_regions).digests[0].tolist()))
    assert len(digests) == 1 + 1 + 2 + 3
