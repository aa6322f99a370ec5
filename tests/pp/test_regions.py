import gzip
import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from omicsmlm.pp import map_regions
from tests.objects import multiome, state_of


def atac(names, counts=None, container=sparse.csr_matrix):
    """One cell per row of counts; by default two cells with 1, 2, 3 … and ones."""
    n = len(names)
    counts = np.vstack([np.arange(1, n + 1), np.ones(n)]) if counts is None else np.asarray(counts)
    obs = pd.DataFrame({"batch": "b"}, index=[f"cell{i}" for i in range(len(counts))])
    return AnnData(container(counts.astype(np.float32)), obs=obs, var=pd.DataFrame(index=names))


def frame(rows, **columns):
    return pd.DataFrame(rows, columns=["chrom", "start", "end"]).assign(**columns)


def random_intervals(rng, n, width):
    start = rng.integers(0, 3000, n)
    columns = {"chrom": rng.choice(["chr1", "chr2"], n), "start": start, "end": start + rng.integers(1, width, n)}
    return pd.DataFrame(columns).drop_duplicates(ignore_index=True)


def slow_sums(counts_np, peaks, regions, multiple, min_overlap):
    """Peak by peak and region by region."""
    sums_nr = np.zeros((len(counts_np), len(regions)))
    for p, peak in enumerate(peaks.itertuples()):
        widths = [
            min(peak.end, region.end) - max(peak.start, region.start) if peak.chrom == region.chrom else 0
            for region in regions.itertuples()
        ]
        hit = [r for r, width in enumerate(widths) if width >= min_overlap]
        if multiple == "largest" and hit:
            hit = [max(hit, key=lambda r: widths[r])]
        for r in hit:
            sums_nr[:, r] += counts_np[:, p]
    return sums_nr


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix, np.asarray])
@pytest.mark.parametrize(("multiple", "min_overlap"), [("largest", 1), ("all", 1), ("largest", 20), ("all", 20)])
def test_sums_are_those_of_two_loops(rng, container, multiple, min_overlap):
    peaks, regions = random_intervals(rng, 60, 150), random_intervals(rng, 50, 120)
    names = [f"{row.chrom}:{row.start}-{row.end}" for row in peaks.itertuples()]
    counts_np = rng.poisson(1, (7, len(peaks)))
    adata = atac(names, counts_np, container)
    before = state_of(adata)
    mapped = map_regions(adata, regions, multiple=multiple, min_overlap=min_overlap)
    expected = slow_sums(counts_np, peaks, regions, multiple, min_overlap)
    values = mapped.X.toarray() if sparse.issparse(mapped.X) else mapped.X
    np.testing.assert_array_equal(values, expected)
    assert sparse.issparse(mapped.X) == sparse.issparse(adata.X)
    assert state_of(adata) == before
    assert mapped.obs.equals(adata.obs)
    lost = slow_sums(counts_np, peaks, regions, "largest", min_overlap).sum()
    assert mapped.uns["map_regions"]["share_counts_unmapped"] == pytest.approx(1 - lost / counts_np.sum())


def test_a_case_by_hand(caplog):
    caplog.set_level(logging.INFO, "omicsmlm")
    adata = atac(["chr1:100-200", "chr1:200-300", "chr1:395-405", "chr3:1-9"])
    regions = frame([["chr1", 190, 260], ["chr1", 300, 400], ["chr1", 400, 500], ["chr2", 0, 9], ["chr1", 300, 400]])
    mapped = map_regions(adata, regions)
    assert list(mapped.var_names) == ["chr1:190-260", "chr1:300-400", "chr1:400-500", "chr2:0-9"]
    # the third peak shares 5 bp with either neighbour: it goes to the first; the second ends where 300-400 begins
    assert mapped.X.toarray().tolist() == [[3, 3, 0, 0], [2, 1, 0, 0]]
    assert mapped.var["n_peaks"].tolist() == [2, 1, 0, 0]
    assert mapped.uns["map_regions"] == {
        "n_peaks": 4,
        "n_peaks_mapped": 3,
        "n_peaks_in_several": 1,
        "n_peaks_on_other_chromosomes": 1,
        "share_peaks_unmapped": 0.25,
        "share_counts_unmapped": pytest.approx(5 / 14),
        "n_regions": 4,
        "n_regions_with_peaks": 2,
        "n_regions_listed_twice": 1,
        "multiple": "largest",
        "min_overlap": 1,
    }
    assert caplog.messages == [
        "map_regions: 3 of 4 peaks lie in 2 of 4 regions; 25.0 % of the peaks and 35.7 % of the counts do not."
    ]
    dropped = map_regions(adata, regions, keep_empty=False)
    assert list(dropped.var_names) == ["chr1:190-260", "chr1:300-400"]
    assert dropped.X.toarray().tolist() == [[3, 3], [2, 1]]


@pytest.mark.parametrize(
    "names",
    [["chr1:100-200", "chrUn_GL7v1:5-9"], ["chr1-100-200", "chrUn_GL7v1-5-9"], ["chr1_100_200", "chrUn_GL7v1_5_9"]],
)
def test_all_styles_of_names(names):
    mapped = map_regions(atac(names), ["chrUn_GL7v1:0-6", "chr1:0-101"])
    assert mapped.X.toarray().tolist() == [[2, 1], [1, 1]]
    assert list(mapped.var_names) == ["chrUn_GL7v1:0-6", "chr1:0-101"]


@pytest.mark.parametrize("chromosome", ["chrom", "chr", "chromosome", "seqnames"])
def test_columns_of_var_come_before_names(chromosome):
    adata = atac(["peak1", "chr9:1-2"])
    adata.var[[chromosome, "start", "end"]] = [["chr1", 10, 20], ["chr1", 30, 40]]
    assert map_regions(adata, ["chr1:35-50", "chr1:0-11"]).X.toarray().tolist() == [[2, 1], [1, 1]]


def test_a_name_that_is_listed_twice_is_one_region():
    mapped = map_regions(atac(["chr1:1-2"]), ["chr1:0-5", "chr1:1-9", "chr1:0-5"])
    assert list(mapped.var_names) == ["chr1:0-5", "chr1:1-9"]
    assert mapped.uns["map_regions"]["n_regions_listed_twice"] == 1


def test_names_that_are_given_stay():
    adata = atac(["chr1:10-20"])
    first = map_regions(adata, ["chr1-0-50", "chr1_60_70"])
    again = map_regions(adata, first.var_names)
    assert list(first.var_names) == list(again.var_names) == ["chr1-0-50", "chr1_60_70"]
    table = frame([["chr1", 0, 50], ["chr1", 60, 70]], score=[0.5, 0.1]).set_axis(["enhancer", "promoter"])
    mapped = map_regions(adata, table)
    assert list(mapped.var_names) == ["enhancer", "promoter"]
    assert list(mapped.var.columns) == ["chrom", "start", "end", "score", "n_peaks"]


BED = """browser position chr1:1-2
track name="regions" description="chr1 0 5"
# chrom start end

chr1\t0\t50\tfirst region\t7\t+
chr1\t60\t70\tsecond
"""


@pytest.mark.parametrize("zipped", [False, True])
def test_bed_files(tmp_path, zipped):
    path = tmp_path / ("regions.bed.gz" if zipped else "regions.bed")
    path.write_bytes(gzip.compress(BED.encode()) if zipped else BED.encode())
    for given in (path, str(path)):
        mapped = map_regions(atac(["chr1:10-20", "chr1:65-66"]), given)
        assert list(mapped.var_names) == ["chr1:0-50", "chr1:60-70"]
        assert mapped.var["name"].tolist() == ["first region", "second"]
        assert mapped.X.toarray().tolist() == [[1, 2], [1, 1]]


def test_bed_files_with_spaces_and_three_columns(tmp_path):
    path = tmp_path / "regions.bed"
    path.write_text("chr1 0 50\r\nchr1 60 70 named\r\n")
    mapped = map_regions(atac(["chr1:10-20"]), path)
    assert list(mapped.var.columns) == ["chrom", "start", "end", "n_peaks"]
    assert mapped.X.toarray().tolist() == [[1, 0], [1, 0]]


def test_a_layer_and_whole_numbers_stay_whole():
    adata = atac(["chr1:10-20", "chr1:30-40"], np.full((1, 2), 0.5))
    adata.layers["counts"] = sparse.csr_matrix(np.array([[200, 100]], dtype=np.uint8))
    mapped = map_regions(adata, ["chr1:0-50"], layer="counts")
    assert mapped.X.dtype == np.int32
    assert mapped.X.toarray().tolist() == [[300]]


def test_it_can_be_written_and_mapped_again(tmp_path):
    map_regions(atac(["chr1:10-20", "chr1:30-40"]), ["chr1:0-15", "chr1:30-50"]).write_h5ad(tmp_path / "mapped.h5ad")
    for backed in (None, "r"):
        again = map_regions(ad.read_h5ad(tmp_path / "mapped.h5ad", backed=backed), ["chr1:0-50"])
        assert again.X.toarray().tolist() == [[3], [2]]


@pytest.mark.parametrize(
    ("names", "regions", "words"),
    [
        (
            ["1:10-20"],
            ["chr1:0-50"],
            r"regions: expected chromosomes named as those of the peaks \('1'\), got 'chr1'; put \"chr\" before",
        ),
        (["chr1:10-20"], ["X:0-5"], r"regions: expected chromosomes .* \('chr1'\), got 'X'; rename the chromosomes"),
        (
            ["chr1:10-20"],
            ["chr1:20-50"],
            "regions: expected a region that shares 1 bp with a peak, got none, although both have the chromosomes "
            "'chr1'; check that peaks and regions are of the same genome assembly",
        ),
        (
            ["gene1", "chr1:10-20", "chr1:a-b"],
            ["chr1:0-5"],
            "atac: expected names such as chr1:100-200, chr1-100-200 or chr1_100_200, got 2 of 3 others: 'gene1', "
            "'chr1:a-b'; rename them, or put chrom, start and end into columns",
        ),
        (
            ["chr1:20-20"],
            ["chr1:0-5"],
            r"atac: expected intervals with 0 <= start < end, got 1 other\(s\), first chr1 20 20",
        ),
        (["chr1:1-2"], [], "regions: expected at least one interval, got none; pass some"),
        (["chr1:1-2"], ["peak"], "regions: expected names such as chr1:100-200"),
        (
            ["chr1:1-2"],
            frame([["chr1", -1, 5]]),
            "regions: expected intervals with 0 <= start < end, .* first chr1 -1 5",
        ),
        (["chr1:1-2"], frame([["chr1", 0.5, 5]]), "regions: expected intervals with 0 <= start < end"),
        (["chr1:1-2"], frame([[None, 0, 5]]), "regions: expected intervals with 0 <= start < end"),
        (
            ["chr1:1-2"],
            pd.DataFrame({"chrom": ["chr1"], "from": [0]}),
            "regions: expected the columns 'chrom', 'start', 'end', got 'chrom', 'from'; name the columns so",
        ),
        (
            ["chr1:1-2"],
            frame([["chr1", 0, 5], ["chr1", 1, 5]]).set_axis(["a", "a"]),
            "regions: expected one name per region, got 'a' more than once; make the names unique",
        ),
        (
            ["chr1:1-2"],
            "chr1:0-5",
            "regions: expected the path of a BED file, got 'chr1:0-5', which is no file; correct",
        ),
    ],
)
def test_wrong_intervals_get_a_sentence(names, regions, words):
    with pytest.raises(ValueError, match=words):
        map_regions(atac(names), regions)


def test_wrong_lines_get_a_sentence(tmp_path):
    path = tmp_path / "regions.bed"
    path.write_text("chrom\tstart\tend\nchr1\t0\t5\n")
    words = r"regions.bed, line 1: expected chromosome, start and end, .* got 'chrom\\tstart\\tend'; take the line out, or begin"
    with pytest.raises(ValueError, match=words):
        map_regions(atac(["chr1:1-2"]), path)
    path.write_text("# nothing\n")
    with pytest.raises(ValueError, match="regions.bed: expected at least one interval, got none"):
        map_regions(atac(["chr1:1-2"]), path)


@pytest.mark.parametrize(
    ("counts", "options", "words"),
    [
        ([[-1.0]], {}, r"atac: expected raw counts \(non-negative integers\), got values down to -1; pass layer="),
        ([[1.5]], {}, "atac: expected raw counts .*, got floats up to 1.5"),
        ([[np.nan]], {}, "atac: expected raw counts .*, got NaN"),
        ([[np.inf]], {}, "atac: expected raw counts .*, got infinity"),
        ([[1]], {"layer": "raw"}, "atac: expected a layer 'raw', got the layers none; pass one of these"),
        ([[1]], {"multiple": "each"}, "multiple: expected one of .*'largest', 'all'.*, got 'each'"),
        ([[1]], {"min_overlap": 0}, "min_overlap: expected at least 1, got 0"),
    ],
)
@pytest.mark.parametrize("container", [sparse.csr_matrix, np.asarray])
def test_wrong_counts_and_arguments_get_a_sentence(counts, options, words, container):
    with pytest.raises(ValueError, match=words):
        map_regions(atac(["chr1:1-9"], counts, container), ["chr1:0-5"], **options)


def test_other_objects_get_a_sentence():
    words = r"atac: expected the AnnData of one modality, got a MuData of 'rna', 'atac', 'prot'; pass one .* mdata\['atac'\]"
    with pytest.raises(ValueError, match=words):
        map_regions(multiome(), ["chr1:0-5"])
    with pytest.raises(ValueError, match="atac: expected an AnnData, got ndarray; put the values into one"):
        map_regions(np.ones((1, 1)), ["chr1:0-5"])
    empty = AnnData(obs=pd.DataFrame(index=["a"]), var=pd.DataFrame(index=["chr1:1-2"]))
    with pytest.raises(ValueError, match="atac: expected a sparse or dense matrix, got builtins.NoneType"):
        map_regions(empty, ["chr1:0-5"])
    text = AnnData(np.array([["x"]], dtype=object), var=pd.DataFrame(index=["chr1:1-2"]))
    with pytest.raises(ValueError, match="atac: expected raw counts .*, got values of type object"):
        map_regions(text, ["chr1:0-5"])


@pytest.mark.data
def test_real_peaks_are_all_in_windows_that_tile_the_genome(data_folder):
    import mudata as md

    peaks = md.read_h5mu(data_folder / "sc/snareseq_mouse_cortex_rna_atac.h5mu")["atac"][:50].copy()
    parts = peaks.var_names.to_series().str.extract(r"(.+):(\d+)-(\d+)")
    is_own = (parts[0] == parts[0].iloc[0]).to_numpy()  # of one chromosome: windows of all take ten seconds
    peaks, parts = peaks[:, is_own].copy(), parts[is_own]
    assert peaks.n_vars > 100
    windows = [
        [chrom, start, start + 5000]
        for chrom, end in parts[2].astype(int).groupby(parts[0]).max().items()
        for start in range(0, end, 5000)
    ]
    mapped = map_regions(peaks, frame(windows), keep_empty=False)
    assert mapped.uns["map_regions"]["share_peaks_unmapped"] == 0
    assert mapped.X.sum() == peaks.X.sum()
    each = map_regions(peaks, frame(windows), multiple="all")
    assert each.X.sum() > peaks.X.sum()
    middle = (parts[1].astype(int) + parts[2].astype(int)) // 2 // 5000 * 5000
    sums = pd.Series(np.asarray(peaks.X.sum(0)).ravel()).groupby((parts[0] + ":" + middle.astype(str)).to_numpy()).sum()
    of_windows = pd.Series(
        np.asarray(mapped.X.sum(0)).ravel(), index=mapped.var["chrom"] + ":" + mapped.var["start"].astype(str)
    )
    # nearly the largest overlap is that with the window that holds the middle of the peak
    assert (of_windows.reindex(sums.index) == sums).mean() > 0.99
