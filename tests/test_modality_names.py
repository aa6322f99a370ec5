"""What a modality is, by its name or by the names of its features."""

import pytest

from omicsmlm._modality_names import are_antibodies, role_of


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("rna", "rna"),
        ("GEX", "rna"),
        ("gene_expression", "rna"),
        ("scRNA", "rna"),
        ("spliced", "rna"),
        ("counts", "rna"),
        ("atac", "atac"),
        ("Peaks", "atac"),
        ("chromatin_accessibility", "atac"),
        ("prot", "protein"),
        ("adt", "protein"),
        ("Ab", "protein"),
        ("antibody_capture", "protein"),
        ("CSP", "protein"),
        ("methylation", "methylation"),
        ("cpg", "methylation"),
        ("mod2", None),
        ("lab", None),
        ("discounts", None),
    ],
)
def test_names_of_modalities(name, role):
    assert role_of(name) == role


@pytest.mark.parametrize(
    "names",
    [
        ["CD3", "CD4", "CD8", "CD19", "CD45RA", "CD14", "CD16"],
        ["CD3_TotalSeqB", "CD8a_TotalSeqB", "CD56_TotalSeqB", "CD45RO_TotalSeqB", "isotype"],
        ["anti-human_CD3", "anti-human_CD8", "anti-human_CD56"],
        ["adt:CD10", "adt:KLRG1", "adt:CD86"],
        ["HLA-DR", "IgD", "IgM", "TCR-gd", "CD27"],
    ],
)
def test_antibodies_are_known(names):
    assert are_antibodies(names)


@pytest.mark.parametrize(
    "names",
    [
        ["CD3D", "CD3E", "CD4", "CD8A", "CD8B", "CD14", "CD19", "CD79A", "MS4A1", "NKG7", "PTPRC", "NCAM1"],
        ["ABCD3", "TIGIT", "KLRG1", "HLA-A", "HLA-DRA", "IGHM", "CD163", "CD274"],
        ["CD3", "CD8"],
        ["chr1:100-200"] * 20,
        [],
    ],
)
def test_genes_are_no_antibodies(names):
    assert not are_antibodies(names)


@pytest.mark.data
@pytest.mark.parametrize("name", ["teaseq_pbmc_rna_adt", "bmmc_cite_2donor", "snareseq_mouse_cortex_rna_atac"])
def test_real_panels(data_folder, name):
    from mudata import read_h5mu

    mdata = read_h5mu(data_folder / "sc" / f"{name}.h5mu")
    for modality, part in mdata.mod.items():
        assert are_antibodies(part.var_names) == (modality == "adt")
