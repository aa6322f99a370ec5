"""Real tables of sequences and their expression, found through the environment variable ``OMICSMLM_DATA``."""

from collections.abc import Mapping

import anndata as ad
import numpy as np
import pandas as pd

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm.datasets._files import find_file


@in_one_sentence_of_types
def tissues61() -> ad.AnnData:
    """Human genes with a promoter, a coding sequence or a protein, and their expression: 6,310 genes, 61 tissues.

    ``X`` is log2(1 + value), NaN where not measured. Few genes have all sequences: 1,450 a ``promoter`` (2,048 bp), 1,416
    a ``cds`` (coding sequence, 75 to 16,941 nt), 5,264 a ``protein`` (24 to 5,646 amino acids), 96 all three.

    ``obs``, by Ensembl gene: these three as text, None where absent; ``symbol``, ``split`` (train / val / test, no group in
    two of them), ``group`` (homology), ``protein_source``, ``ensp``, ``halflife_PC1`` and ``decay_*``.
    Source: kircherlab/cfDNA (MIT), lvguofeng/GNN_PPI (MIT), santiago1234/optimalcodonR (MIT), vagarwal87/saluki_paper
    (Apache-2.0), ametrick-system/EntexExpress.

    Returns
    -------
    AnnData
        (6310, 61) float32.

    Raises
    ------
    ValueError, FileNotFoundError
        As :func:`load`.
    ImportError
        Without pyarrow.
    """
    names = {"dna_promoter_2048": "promoter", "rna_cds": "cds", "homology_group": "group"}
    table = _table("tissues61", "seq/human_dna_rna_protein_61tissues.parquet", names)
    return _annotated(table.set_index("gene_id"), "expr_", ("promoter", "cds", "protein"))


@in_one_sentence_of_types
def isoforms() -> ad.AnnData:
    """Isoforms of human genes in three cell types, two samples each: 1,092 isoforms of 375 genes, 6 samples.

    ``X`` is log2(1 + TPM). ``obs``, by isoform: ``rna`` (the whole transcript, 78 to 16,326 nt), ``protein`` (of its longest
    open reading frame; None for one isoform), ``gene_id``, ``split`` (train / val / test, by gene).
    Source: kvittingseerup/IsoformSwitchAnalyzeR (GPL-2).

    Returns
    -------
    AnnData
        (1092, 6) float32.

    Raises
    ------
    ValueError, FileNotFoundError
        As :func:`load`.
    ImportError
        Without pyarrow.
    """
    table = _table("isoforms", "seq/human_isoforms_3celltypes.parquet", {"protein_longest_orf": "protein"})
    return _annotated(table.set_index("isoform_id"), "log2tpm1_", ("rna", "protein"))


@in_one_sentence_of_types
def mpra_utr() -> ad.AnnData:
    """Fragments of human 3'-UTRs and how they change a reporter's RNA: 30,274 fragments, 6 cell lines.

    ``X`` is a log2 fold change, NaN where not measured. Fragments come in pairs that differ in one variant.

    ``obs``, by variant and allele: ``utr`` (16 to 101 nt), ``variant_id``, ``allele`` (ref / alt), ``group`` (fragments that
    overlap), ``split`` (train / val / test, by group). Source: vagarwal87/saluki_paper (Apache-2.0).

    Returns
    -------
    AnnData
        (30274, 6) float32.

    Raises
    ------
    ValueError, FileNotFoundError
        As :func:`load`.
    ImportError
        Without pyarrow.
    """
    table = _table("mpra_utr", "seq/mpra_3utr_6celllines.parquet", {"rna_3utr": "utr"})
    table["group"] = table["group"].astype(str)
    return _annotated(table.set_index(table["variant_id"] + "_" + table["allele"]), "log2fc_", ("utr",))


def _table(name: str, path: str, renamed: Mapping[str, str]) -> pd.DataFrame:
    """Return a parquet file as a table, its columns renamed."""
    file = find_file(f"datasets.{name}", path)
    try:
        table = pd.read_parquet(file, engine="pyarrow")
    except ImportError as error:
        raise ImportError(f"datasets.{name} needs pyarrow; run pip install pyarrow.") from error
    return table.rename(columns=renamed)


def _annotated(table: pd.DataFrame, prefix: str, sequences: tuple[str, ...]) -> ad.AnnData:
    """Return a table as AnnData: columns that begin with the prefix as ``X``, the others as ``obs``; no sequence as None."""
    is_output = table.columns.str.startswith(prefix)
    obs = table.loc[:, ~is_output].copy()
    for name in sequences:
        text = obs[name].astype(object)
        obs[name] = text.where(text.notna() & (text != ""), None)
    var = pd.DataFrame(index=table.columns[is_output].str.removeprefix(prefix).astype(object))
    obs.index = pd.Index(obs.index.astype(str), dtype=object, name=None)
    return ad.AnnData(table.loc[:, is_output].to_numpy(dtype=np.float32), obs=obs, var=var)
