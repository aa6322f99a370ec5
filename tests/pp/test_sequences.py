import gzip
import logging
import re
import sys
from itertools import product

import numpy as np
import pandas as pd
import pytest

from omicsmlm.pp import extract_sequences
from tests.test_bad_input import refused

# 5' flank, exon 1 (start codon at its third base), intron, exon 2 (stop codon TGA at its fifth base), 3' flank
PLUS = "ACGTTGCAAG" + "CCATGGCTAA" + "GTTAG" + "ATGCTGACCG" + "TTTTC"
# the same transcript on the other strand: each exon is the reverse complement of that above
MINUS = "GTAAT" + "CGGTCAGCAT" + "CTAAC" + "TTAGCCATGG" + "CTTGC"
RNA, CDS, PROTEIN = "CCATGGCTAAATGCTGACCG", "ATGGCTAAATGCTGA", "MAKC"


def line(chrom, feature, start, end, strand, transcript, frame=".", gene="g1", name="GENE"):
    attributes = f'gene_id "{gene}"; transcript_id "{transcript}"; gene_name "{name}";'
    return "\t".join([chrom, "made", feature, str(start), str(end), ".", strand, str(frame), attributes])


LINES = [
    "##format: gtf",
    'chr1\tmade\tgene\t11\t35\t.\t+\t.\tgene_id "g1"; gene_name "GENE";',
    line("chr1", "transcript", 11, 35, "+", "plus"),
    line("chr1", "exon", 11, 20, "+", "plus"),
    line("chr1", "CDS", 13, 20, "+", "plus", 0),
    line("chr1", "exon", 26, 35, "+", "plus"),
    line("chr1", "CDS", 26, 29, "+", "plus", 1),
    line("chr1", "stop_codon", 30, 32, "+", "plus", 0),
    # the exons of the other strand in the order of transcription, as Ensembl lists them
    line("chr2", "exon", 21, 30, "-", "minus", gene="g2", name="OTHER #2"),
    line("chr2", "CDS", 21, 28, "-", "minus", 0, gene="g2"),
    line("chr2", "exon", 6, 15, "-", "minus", gene="g2"),
    line("chr2", "CDS", 12, 15, "-", "minus", 1, gene="g2"),
    line("chr2", "stop_codon", 9, 11, "-", "minus", 0, gene="g2"),
    line("chr1", "exon", 14, 20, "+", "noncoding"),
    line("chr1", "exon", 26, 27, "+", "noncoding"),
]


def wrap(sequence, width=7):
    return "\n".join(sequence[i : i + width] for i in range(0, len(sequence), width))


def files(folder, lines=LINES, genome=None):
    genome = {"chr1": PLUS, "chr2": MINUS.lower()} if genome is None else genome
    fasta, gtf = folder / "genome.fa", folder / "genes.gtf"
    fasta.write_text("".join(f">{name} made up\n{wrap(sequence)}\n" for name, sequence in genome.items()))
    gtf.write_text("\n".join(lines) + "\n")
    return fasta, gtf


@pytest.fixture
def made(tmp_path):
    return files(tmp_path)


def test_a_case_by_hand(made, caplog):
    caplog.set_level(logging.INFO, "omicsmlm")
    table = extract_sequences(*made, width=6)
    assert table.index.name == "transcript_id"
    assert table.T.to_dict("list") == {
        "plus": ["g1", "GENE", "chr1", "+", 10, "AAGCCA", RNA, CDS, PROTEIN],
        "minus": ["g2", "OTHER #2", "chr2", "-", 29, "AAGCCA", RNA, CDS, PROTEIN],
        "noncoding": ["g1", "GENE", "chr1", "+", 13, "CCATGG", "TGGCTAAAT", None, None],
    }
    assert list(table.columns) == ["gene_id", "gene_name", "chrom", "strand", "tss", "dna", "rna", "cds", "protein"]
    assert table["tss"].dtype == np.int64
    assert caplog.messages == ["extract_sequences: 3 transcripts of 2 genes, 2 of them coding."]


@pytest.mark.parametrize(
    ("width", "plus", "minus"),
    [
        (1, "C", "C"),
        (5, "AGCCA", "AGCCA"),
        (26, "NNN" + PLUS[:23], "NNNNNNNN" + "GCAAG" + "CCATGGCTAA" + "GTT"),
        (
            80,
            "N" * 30 + PLUS + "N" * 10,
            "N" * 35 + "GCAAG" + "CCATGGCTAA" + "GTTAG" + "ATGCTGACCG" + "ATTAC" + "N" * 10,
        ),
    ],
)
def test_windows_begin_half_a_width_before_the_first_base_and_are_padded(made, width, plus, minus):
    table = extract_sequences(*made, width=width)
    assert table.loc[["plus", "minus"], "dna"].tolist() == [plus, minus]
    assert (table["dna"].str.len() == width).all()
    assert (table["dna"].str[width // 2] == table["rna"].str[0]).all()


def test_some_transcripts_without_dna(made):
    table = extract_sequences(*made, width=None, transcripts=["minus", "noncoding", "minus"])
    assert list(table.index) == ["minus", "noncoding"]
    assert "dna" not in table


def test_zipped_files(made, tmp_path):
    from Bio import bgzf

    expected = extract_sequences(*made)
    fasta, gtf = tmp_path / "genome.fa.gz", tmp_path / "genes.gtf.gz"
    with bgzf.open(str(fasta), "wb") as out:
        out.write(made[0].read_bytes())
    gtf.write_bytes(gzip.compress(made[1].read_bytes()))
    pd.testing.assert_frame_equal(extract_sequences(str(fasta), str(gtf)), expected)
    fasta.write_bytes(gzip.compress(made[0].read_bytes()))
    with refused(
        r"genome.fa.gz: expected a FASTA file, plain or made by bgzip, got another compression; decompress it"
    ):
        extract_sequences(fasta, gtf)


def translated(tmp_path, coding, *more, chrom="chr1", frame=0, **arguments):
    """The protein of a single exon that is coding throughout."""
    lines = [line(chrom, f, 1, len(coding), "+", "t", frame) for f in ("exon", "CDS")]
    fasta, gtf = files(tmp_path, [*lines, *more], {chrom: coding})
    return extract_sequences(fasta, gtf, **arguments).loc["t", ["cds", "protein"]].tolist()


def test_translation_by_hand(tmp_path):
    assert translated(tmp_path, "ATGTGAAAATAA") == ["ATGTGAAAATAA", "M"]
    seleno = line("chr1", "Selenocysteine", 4, 6, "+", "t")
    assert translated(tmp_path, "ATGTGAAAATGA", seleno) == ["ATGTGAAAATGA", "MUK"]  # the last TGA is a stop
    assert translated(tmp_path, "CCATGNCAAAAGC", frame=2) == ["ATGNCAAAAGC", "MXK"]  # the gene's start is unknown
    assert translated(tmp_path, "TAAATG") == ["TAAATG", None]
    assert translated(tmp_path, "ATATGAAGA", chrom="chrM") == ["ATATGAAGA", "MW"]
    assert translated(tmp_path, "ATATGAAGA", chrom="chr1") == ["ATATGAAGA", "I"]
    assert translated(tmp_path, "CTGAAA", chrom="chr1", genetic_codes=(12, 2)) == ["CTGAAA", "SK"]  # Candida


def test_a_stop_codon_that_cds_holds_already_counts_once(tmp_path):
    lines = [line("chr1", "exon", 1, 9, "+", "t"), line("chr1", "CDS", 1, 9, "+", "t", 0)]
    lines.append(line("chr1", "stop_codon", 7, 9, "+", "t", 0))
    assert extract_sequences(*files(tmp_path, lines, {"chr1": "ATGAAATAG"})).loc["t", "cds"] == "ATGAAATAG"


BASES = "TCAG"
AMINO = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"  # as NCBI prints table 1
CODE = {"".join(codon): AMINO[i] for i, codon in enumerate(product(BASES, repeat=3))}
OTHER = dict(zip("ACGTN", "TGCAN", strict=True))


def slow(chromosome, exons, cds, strand, width):
    """Base by base, by position."""
    read = (lambda p: chromosome[p]) if strand == "+" else (lambda p: OTHER[chromosome[p]])
    order = 1 if strand == "+" else -1
    positions = sorted((p for start, end in exons for p in range(start, end)), reverse=order < 0)
    coding = sorted((p for start, end in cds for p in range(start, end)), reverse=order < 0)
    dna = [positions[0] + order * (i - width // 2) for i in range(width)]
    residues = "".join(read(p) for p in coding)
    protein = "".join(CODE[residues[i : i + 3]] for i in range(0, len(residues) - 2, 3)).split("*")[0]
    window = "".join(read(p) if 0 <= p < len(chromosome) else "N" for p in dna)
    return [window, "".join(read(p) for p in positions), residues or None, protein or None]


def test_random_genomes_are_those_of_a_walk_over_positions(rng, tmp_path):
    genome = {name: "".join(rng.choice(list("ACGT"), 400)) for name in ("chr1", "chr2")}
    lines, expected = [], {}
    for t in range(60):
        chrom, strand, width = rng.choice(list(genome)), rng.choice(["+", "-"]), 31
        bounds = np.sort(rng.choice(400, 2 * rng.integers(1, 6), replace=False)).tolist()
        exons = list(zip(bounds[::2], bounds[1::2], strict=True))
        low, high = np.sort(rng.choice(401, 2, replace=False))
        cds = [(max(s, low), min(e, high)) for s, e in exons if max(s, low) < min(e, high)] if t % 3 else []
        parts = [("exon", *exon) for exon in exons] + [("CDS", *part) for part in cds]
        lines += [line(chrom, f, start + 1, end, strand, f"t{t}", ".") for f, start, end in parts]
        expected[f"t{t}"] = slow(genome[chrom], exons, cds, strand, width)
    order = rng.permutation(len(lines))
    table = extract_sequences(*files(tmp_path, [lines[i] for i in order], genome), width=31)
    assert table[["dna", "rna", "cds", "protein"]].T.to_dict("list") == expected


NO_NAMES = [re.sub(r"gene_id.*?; |gene_name.*", "", text) for text in LINES[3:4]]


def test_names_may_be_missing(tmp_path):
    table = extract_sequences(*files(tmp_path, NO_NAMES))
    assert table.loc["plus", ["gene_id", "gene_name"]].tolist() == [None, None]


@pytest.mark.parametrize(
    ("lines", "arguments", "message"),
    [
        (LINES[:3], {}, 'genes.gtf: expected lines of exons with transcript_id "…", got none; pass a GTF (not a GFF3)'),
        (["chr1\tmade\texon\t1\t9\t.\t+\t.\tParent=t"], {}, 'genes.gtf: expected lines of exons with transcript_id "…"'),
        (LINES, {"width": 0}, "width: expected 1 base pair or more, or None, got 0; pass 2048, say"),
        (LINES, {"genetic_codes": (1, 99)}, "genetic_codes: expected numbers of NCBI's tables, got 99; pass (1, 2), say"),
        (LINES, {"transcripts": ["plus", "no"]}, "transcripts: expected some that are in the GTF, got 1 of 2 others: 'no'; leave these out"),
        (LINES, {"transcripts": []}, "transcripts: expected some that are in the GTF, got 0 of 0 others: none"),
        (LINES, {"transcripts": ["plus.3"]}, "got 1 of 1 others: 'plus.3'; write their versions (.1, .2 …) as the GTF does"),
        ([line("1", "exon", 1, 9, "+", "t")], {}, "genome.fa: expected the chromosomes '1', got 'chr1', 'chr2'; pass the genome that the GTF was made for, or name chromosomes alike (with or without \"chr\")"),
        ([line("chr1", "exon", 1, 41, "+", "t")], {}, "genome.fa: expected chr1 of 41 bp or more, got 40; pass the genome"),
        ([line("chr1", "exon", 9, 1, "+", "t")], {}, "genes.gtf: expected 1 <= start <= end and a strand, + or -, got 1 other(s), first exon chr1 9 1 +"),
        ([line("chr1", "exon", 1, 9, ".", "t")], {}, "got 1 other(s), first exon chr1 1 9 .; correct these lines"),
        ([line(c, "exon", 1, 9, "+", "t") for c in ("chr1", "chr2")], {}, "genes.gtf: expected each transcript on one strand of one chromosome, got others: 't'; rename"),
    ],
)  # fmt: skip
def test_wrong_input(tmp_path, lines, arguments, message):
    fasta, gtf = files(tmp_path, lines)
    with refused(re.escape(message)):
        extract_sequences(fasta, gtf, **arguments)


def test_wrong_files(made, tmp_path):
    with refused("fasta: expected the path of a FASTA file, got '.*no.fa', which is no file; correct the path"):
        extract_sequences(tmp_path / "no.fa", made[1])
    with refused("gtf: expected the path of a GTF file, got '.*no.gtf', which is no file; correct the path"):
        extract_sequences(made[0], tmp_path / "no.gtf")
    broken = tmp_path / "broken.fa"
    broken.write_text(">chr1\nACGTAC\nAC\nACGTAC\n")
    with refused(
        "broken.fa: expected a FASTA file that can be indexed, got .*; pass one, in a folder in which its index"
    ):
        extract_sequences(broken, made[1])


@pytest.mark.parametrize(("module", "name"), [("pyfaidx", "pyfaidx"), ("Bio.Data", "Biopython")])
def test_a_missing_library_gets_a_sentence(made, monkeypatch, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"extract_sequences needs {name}; run pip install {name.lower()}"):
        extract_sequences(*made)
