"""The Python of the pages runs: each block as it stands there, on small data, in the order of its page."""

import functools
import re
from pathlib import Path

import anndata as ad
import h5py
import lightning
import lightning.pytorch.loggers
import mudata as md
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import omicsmlm

ROOT = Path(__file__).parents[1]
TYPES = ["NK", "T.CD8.Effector", "B"]
GENES = ["CD3D", "CD8A", "MS4A1", "IL7R", "NKG7"]


def blocks(page: str) -> list[tuple[int, str]]:
    """Return the blocks of Python of a page, each with the line on which it begins."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text[: match.start()].count("\n") + 1, match[1]) for match in found]


def multiome(n_obs: int = 240, seed: int = 0) -> md.MuData:
    """A multiome of three donors in two batches, some genes of which have the names that the pages take."""
    mdata = omicsmlm.datasets.simulate_multiome(n_obs, 40, 60, n_types=3, seed=seed)
    mdata["rna"].var_names = [*GENES, *mdata["rna"].var_names[len(GENES) :]]
    number_n = mdata.obs["cell_type"].astype("category").cat.codes
    mdata.obs["cell_type"] = pd.Categorical([TYPES[k % len(TYPES)] for k in number_n])
    mdata.obs["donor"] = pd.Categorical(np.resize(["d1", "d2", "d3"], n_obs))
    mdata.update()
    return mdata


def patients(n_obs: int = 120) -> md.MuData:
    """Bulk RNA and methylation of the same samples, with follow-up."""
    rng = np.random.default_rng(0)
    names = [f"TCGA-AB-{i:04d}" for i in range(n_obs)]
    rna = ad.AnnData(rng.normal(8, 2, (n_obs, 30)).clip(0.5, 15), pd.DataFrame(index=names))
    rna.var_names = [f"G{i}" for i in range(30)]
    beta = ad.AnnData(rng.uniform(0, 1, (n_obs, 20)), pd.DataFrame(index=names))
    beta.var_names = [f"G{i}" for i in range(20)]
    mdata = md.MuData({"rna": rna, "methylation": beta})
    mdata.obs["time_days"] = rng.exponential(900, n_obs) + 1
    mdata.obs["event"] = (rng.uniform(size=n_obs) < 0.7).astype(int)
    mdata.obs["age"] = mdata.obs["age_years"] = rng.normal(60, 9, n_obs)
    mdata.obs["sex_male"] = rng.integers(0, 2, n_obs)
    mdata.obs["cancer_type"] = np.resize(["A", "B"], n_obs)
    return mdata


def write_10x(path: Path, cells: list[str]) -> None:
    """A file of Cell Ranger with genes alone."""
    counts = sparse.csc_matrix(np.random.default_rng(len(path.parts)).poisson(1.0, (30, len(cells))).astype(np.int32))
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            matrix[name] = getattr(counts, name)
        matrix["shape"], matrix["barcodes"] = np.array(counts.shape, dtype=np.int32), np.array(cells, dtype="S")
        features = matrix.create_group("features")
        features["id"] = np.array([f"ENSG{i:011d}" for i in range(30)], dtype="S")
        features["name"] = np.array([*GENES, *(f"G{i}" for i in range(25))], dtype="S")
        features["feature_type"] = np.array(["Gene Expression"] * 30, dtype="S")
        features["genome"] = np.array(["GRCh38"] * 30, dtype="S")


def write_files() -> None:
    """Everything that a page reads, in the working folder."""
    mdata = multiome()
    mdata.write("cells.h5mu")
    rna = mdata["rna"].copy()
    for column in ("batch", "cell_type", "donor"):
        rna.obs[column] = mdata.obs.loc[rna.obs_names, column].to_numpy()
    rna.write("cells.h5ad")
    for i, name in enumerate(["first", "second"]):
        rna[i::2].copy().write(f"{name}.h5ad")
    cells = [f"AAACCTGAGAAAC{a}{b}{c}-1" for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    for folder in (".", "s1", "s2"):
        write_10x(Path(folder) / "filtered_feature_bc_matrix.h5", cells)
    counts = np.random.default_rng(1).poisson(20, (len(cells), 6))
    pd.DataFrame(counts, cells, [f"CD{i}" for i in range(3, 9)]).to_csv("adt_counts.csv")
    bulk = patients()
    expressed = 2 ** bulk["rna"].to_df().T - 1
    (expressed / expressed.sum() * 1e6).to_csv("tpm.tsv", sep="\t")
    bulk["methylation"].to_df().T.to_csv("beta.csv.gz")
    clinical = bulk.obs[["time_days", "event", "age_years"]].assign(sex=np.resize(["male", "female"], bulk.n_obs))
    clinical.to_csv("clinical.csv", index_label="PATIENT_ID")
    write_gtf(mdata)


def write_gtf(mdata: md.MuData) -> None:
    """A GTF file in which each gene begins at a peak."""
    with open("genes.gtf", "w", encoding="utf-8") as file:
        for gene, peak in zip(mdata["rna"].var_names, mdata["atac"].var_names, strict=False):
            chrom, start, _ = re.split("[:-]", peak)
            named = f'gene_id "{gene}"; transcript_id "{gene}.1"; gene_name "{gene}";'
            file.write(f"{chrom}\tsimulated\texon\t{int(start) + 1}\t{int(start) + 900}\t.\t+\t.\t{named}\n")


def names_of(page: str) -> dict[str, object]:
    """Return what a page takes as the reader's own: objects, models, modules."""
    names: dict[str, object] = {"omicsmlm": omicsmlm, "mudata": md, "anndata": ad, "lightning": lightning}
    if page == "docs/survival.md":
        whole = patients()
        names |= {"model": omicsmlm.OmicsMLM(whole[:90].copy()), "test": whole[90:].copy()}
        return names
    whole = multiome(360)
    mdata, query = whole[:240].copy(), whole[240:].copy()
    query.obs["batch"] = "of the query"
    names |= {"mdata": mdata, "query": query}
    for modality in ("rna", "atac"):  # as a reader has them before there is a MuData
        names[modality] = part = mdata[modality].copy()
        for column in ("batch", "cell_type", "donor"):
            part.obs[column] = mdata.obs.loc[part.obs_names, column].to_numpy()
    names["rna_only"] = md.MuData({"rna": query["rna"].copy()})
    if page in {"docs/annotation.md", "docs/large_data.md"}:
        names["model"] = omicsmlm.OmicsMLM(mdata, batch_key="batch")
    return names


ELSEWHERE = ("resume_from=", "from ray import")
"""In blocks that go on with a training which was killed (tests/training has it), or need ray (tests/data has what it calls)."""
QUICK = ("how_to", "query", "mosaic", "annotation", "survival", "reading_files", "index", "large_data")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", ["README.md", *(f"docs/{name}.md" for name in QUICK)])
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files()
    for family in (omicsmlm.OmicsMLM, omicsmlm.MOJO):  # what is tested is whether it runs, not what it reaches
        train = functools.partialmethod(family.train, max_epochs=1, progress_bar=False)
        monkeypatch.setattr(family, "train", train)
    names = names_of(page)
    for line, code in blocks(page):
        if not any(text in code for text in ELSEWHERE):
            exec(compile("\n" * line + code, page, "exec"), names)  # so that a failure names its line


def test_every_page_with_python_is_run_or_named():
    """A page with Python that nobody runs would rot: each is above, or one of those whose data are the reader's own."""
    own = {
        "docs/mojo.md",
        "docs/txfm.md",
        "docs/scmbert.md",
        "docs/isoformer.md",
        "docs/api.md",
        "docs/add_a_family.md",
    }
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")}
    with_python = {page for page in pages if blocks(page)}
    assert with_python == own | {f"docs/{name}.md" for name in QUICK}
