"""DNA, RNA and protein of transcripts, from a genome (FASTA) and its annotation (GTF)."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error

from ._gtf import FEATURES, read_gtf

logger = logging.getLogger(__name__)

_LINE = ("transcript_id", "strand", "feature", "start", "end", "frame")
_MITOCHONDRIA = ("chrM", "chrMT", "MT", "M")
_CHROMOSOMES = 'pass the genome that the GTF was made for, or name chromosomes alike (with or without "chr")'


class _Part(NamedTuple):
    """An exon, or a coding part of one."""

    start: int
    end: int
    frame: int  # bases before the first whole codon


class _Parts(NamedTuple):
    """The lines of one transcript by their feature."""

    strand: str
    of: dict[str, list[_Part]]


class _Transcript(NamedTuple):
    """The sequences of one transcript: a row of the result."""

    tss: int
    dna: str | None
    rna: str
    cds: str | None
    protein: str | None


@in_one_sentence_of_types
def extract_sequences(
    fasta: str | Path,
    gtf: str | Path,
    *,
    width: int | None = 2048,
    transcripts: Iterable[str] | None = None,
    genetic_codes: tuple[int, int] = (1, 2),
) -> pd.DataFrame:
    r"""Return the DNA around the start, the spliced RNA, the coding sequence and the protein of transcripts.

    Parameters
    ----------
    fasta
        Path of the genome: plain, or compressed with ``bgzip``. Its index (``.fai``, ``.gzi``) is made beside it if there is
        none, as samtools does.
    gtf
        Path of a GTF file of the same assembly, plain or gzipped, with lines of ``exon``, and of ``CDS`` for what is coding.
    width
        Base pairs of DNA, centred on the transcription start site (TSS): 196,608 for Enformer; None leaves the DNA out.
        Transcripts of one TSS share one string, yet a wide window for all of a genome fills the memory: pass `transcripts`.
    transcripts
        Those to extract, by ``transcript_id``; None for all.
    genetic_codes
        Numbers of NCBI's tables for the nucleus and for mitochondria (chrM, chrMT, MT, M); the default is that of
        vertebrates.

    Returns
    -------
    DataFrame
        Indexed by ``transcript_id``, in the order of the GTF. All sequences run from 5' to 3' of the transcript, in capitals
        and with T, not U.

        - ``gene_id``, ``gene_name`` (None where the GTF has none), ``chrom``, ``strand``;
        - ``tss``: zero-based position of the first transcribed base;
        - ``dna``: `width` residues, of which number ``width // 2`` is the first transcribed base; N beyond the chromosome;
        - ``rna``: the exons in order;
        - ``cds``: from the first whole codon on, the stop codon included if there is one; None for a non-coding transcript;
        - ``protein``: translated up to the first stop codon; X where N leaves a codon open. A start codon other than ATG is read as
          anywhere else. TGA before the end is U (selenocysteine) where the GTF has a ``Selenocysteine`` line for the
          transcript. None if non-coding.

    Raises
    ------
    ValueError
        If a file is missing or no such file, the GTF has no transcript of those asked for, a chromosome is not in the FASTA
        or shorter than the GTF says, or an argument is out of range.
    ImportError
        Without pyfaidx or Biopython.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "genome.fa").write_text(">chr1\nGGATGAAATAGCC\n")
    >>> line, names = "chr1\t.\t{}\t{}\t{}\t.\t+\t0\t", 'gene_id "g"; transcript_id "t";\n'
    >>> lines = [line.format(*part) + names for part in (("exon", 2, 12), ("CDS", 3, 11))]
    >>> _ = (folder / "genes.gtf").write_text("".join(lines))
    >>> extract_sequences(folder / "genome.fa", folder / "genes.gtf", width=4).loc["t", "dna":].tolist()
    ['NGGA', 'GATGAAATAGC', 'ATGAAATAG', 'MK']
    """
    if width is not None and width < 1:
        raise value_error("width", "1 base pair or more, or None", str(width), "pass 2048, say")
    codes = [_code_table(number) for number in genetic_codes]
    lines = read_gtf(gtf, transcripts)
    with _genome(fasta) as genome:
        by_name = _transcripts(Path(fasta).name, genome, lines, width, codes)
    firsts = lines.drop_duplicates("transcript_id").set_index("transcript_id")
    table = pd.DataFrame([by_name[name] for name in firsts.index], index=firsts.index, dtype=object)
    table = firsts[["gene_id", "gene_name", "chrom", "strand"]].join(table.astype({"tss": np.int64}))
    counts = len(table), table["gene_id"].nunique(), table["protein"].notna().sum()
    logger.info("extract_sequences: %d transcripts of %d genes, %d of them coding.", *counts)
    return table.drop(columns="dna") if width is None else table


def _transcripts(
    place: str, genome: Any, lines: pd.DataFrame, width: int | None, codes: list[Any]
) -> dict[str, _Transcript]:
    """Return the sequences of all transcripts by ``transcript_id``."""
    absent = pd.Index(lines["chrom"].unique()).difference(genome.keys(), sort=False)
    if len(absent):
        raise value_error(place, f"the chromosomes {named(absent, 3)}", named(genome.keys(), 3), _CHROMOSOMES)
    by_name: dict[str, _Transcript] = {}
    for chrom, of_chrom in lines.groupby("chrom", sort=False):
        # whole chromosomes, one after the other: many times faster than exon by exon, for some 250 MB
        sequence = genome[chrom][:].seq
        if of_chrom["end"].max() > len(sequence):
            wanted, found = f"{chrom} of {of_chrom['end'].max():,} bp or more", f"{len(sequence):,}"
            raise value_error(place, wanted, found, "pass the genome that the GTF was made for")
        code = codes[1] if chrom in _MITOCHONDRIA else codes[0]
        windows: dict[tuple[int, str], str] = {}
        for transcript, parts in _parts(of_chrom).items():
            by_name[transcript] = _transcript(sequence, parts, width, code, windows)
    return by_name


def _code_table(number: int) -> Any:
    """Return a genetic code by its number."""
    try:
        from Bio.Data import CodonTable
    except ImportError as error:
        raise ImportError("extract_sequences needs Biopython; run pip install biopython.") from error
    if number not in CodonTable.ambiguous_dna_by_id:
        raise value_error("genetic_codes", "numbers of NCBI's tables", str(number), "pass (1, 2), say")
    return CodonTable.ambiguous_dna_by_id[number]


def _genome(path: str | Path) -> Any:
    """Return the indexed chromosomes of a FASTA file, in capitals."""
    try:
        import pyfaidx
    except ImportError as error:
        raise ImportError("extract_sequences needs pyfaidx; run pip install pyfaidx.") from error
    path = Path(path)
    if not os.path.isfile(path):
        raise value_error("fasta", "the path of a FASTA file", f"{str(path)!r}, which is no file", "correct the path")
    try:
        return pyfaidx.Fasta(str(path), sequence_always_upper=True)
    except pyfaidx.UnsupportedCompressionFormat:
        remedy = f"decompress it, or run gunzip -c {path.name} | bgzip"
        raise value_error(path.name, "a FASTA file, plain or made by bgzip", "another compression", remedy) from None
    except (pyfaidx.FastaIndexingError, OSError) as error:
        found = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        remedy = "pass one, in a folder in which its index can be written"
        raise value_error(path.name, "a FASTA file that can be indexed", found, remedy) from error


def _parts(of_chrom: pd.DataFrame) -> dict[str, _Parts]:
    """Return the lines of each transcript of a chromosome, in ascending order of position."""
    found: dict[str, _Parts] = {}
    columns = [of_chrom.sort_values("start", kind="stable")[name].tolist() for name in _LINE]
    for transcript, strand, feature, *part in zip(*columns, strict=True):
        if transcript not in found:
            found[transcript] = _Parts(strand, {name: [] for name in FEATURES})
        found[transcript].of[feature].append(_Part(*part))
    return found


def _transcript(
    sequence: str, parts: _Parts, width: int | None, code: Any, windows: dict[tuple[int, str], str]
) -> _Transcript:
    """Return one transcript. `windows` caches the DNA around each TSS and strand, so that transcripts share one string."""
    strand, cds = parts.strand, _coding(parts)
    exons = parts.of["exon"] or cds
    tss = exons[0].start if strand == "+" else exons[-1].end - 1
    if width is not None and (tss, strand) not in windows:
        windows[tss, strand] = _window(sequence, tss, width, strand)
    coding = protein = None
    if cds:
        skipped = cds[0 if strand == "+" else -1].frame
        coding = _joined(sequence, cds, strand)[skipped:] or None
        protein = _translated(coding or "", code, selenocysteine=bool(parts.of["Selenocysteine"])) or None
    return _Transcript(tss, windows.get((tss, strand)), _joined(sequence, exons, strand), coding, protein)


def _coding(parts: _Parts) -> list[_Part]:
    """Return the coding parts in ascending order, with the stop codon, which GTF, unlike GFF, does not count to the CDS."""
    cds, stop = parts.of["CDS"], parts.of["stop_codon"]
    if not cds:
        return []
    if parts.strand == "+":
        return cds + [part for part in stop if part.start >= cds[-1].end]
    return [part for part in stop if part.end <= cds[0].start] + cds


def _joined(sequence: str, parts: list[_Part], strand: str) -> str:
    """Return parts in ascending order as one sequence, from 5' to 3' of the strand."""
    return _stranded("".join(sequence[part.start : part.end] for part in parts), strand)


def _stranded(sequence: str, strand: str) -> str:
    """Return a sequence of the forward strand as read on a strand."""
    from Bio.Seq import reverse_complement

    return sequence if strand == "+" else reverse_complement(sequence)


def _window(sequence: str, tss: int, width: int, strand: str) -> str:
    """Return `width` bases in which number ``width // 2`` is that of the TSS; N beyond the ends of the chromosome."""
    start = tss - width // 2 if strand == "+" else tss + width // 2 - width + 1
    inside = sequence[max(start, 0) : max(start + width, 0)]
    return _stranded(("N" * max(-start, 0) + inside).ljust(width, "N"), strand)


def _translated(coding: str, code: Any, *, selenocysteine: bool) -> str:
    """Return the amino acids up to the first stop codon; the bases of an incomplete last codon are left out."""
    from Bio.Seq import translate

    whole = coding[: len(coding) // 3 * 3]
    protein = translate(whole, table=code)
    if selenocysteine:
        within = [
            at for at, residue in enumerate(protein[:-1]) if residue == "*" and whole[3 * at : 3 * at + 3] == "TGA"
        ]
        protein = "".join("U" if at in within else residue for at, residue in enumerate(protein))
    return protein.partition("*")[0]
