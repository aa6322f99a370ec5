"""Data sets fetched from their authors' addresses, converted and kept."""

import hashlib
import logging
from pathlib import Path
from zipfile import BadZipFile

import anndata as ad
import mudata as md

from omicsmlm._announcing import announce
from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error
from omicsmlm._writing import absolute, written_file

from ._files import load
from ._originals import ELSEWHERE, ORIGINALS, Original, Remote

logger = logging.getLogger(__name__)


@in_one_sentence_of_types
def fetch(name: str, folder: str | Path | None = None) -> ad.AnnData | md.MuData:
    """Return a public data set, downloaded from the address of its authors, converted, and kept for the next time.

    The log says the address, the licence, and whether a checksum was known; where none is, it says the sha256 of what came.
    Without a network the set is taken from the folder that ``OMICSMLM_DATA`` names, if it is there.

    Parameters
    ----------
    name
        ``snareseq`` (20 MB), ``mixology`` (15 MB), ``pbmc_multiome`` (192 MB), ``pbmc_protein`` (21 MB) or ``tcga_laml``
        (20 MB). The first two become what :func:`snareseq` and :func:`mixology` read from the folder of data.
    folder
        Where originals and the object are kept; None for the folder for caches of the system.

    Returns
    -------
    AnnData or MuData
        Raw counts, sparse; log2(RSEM + 1) of ``tcga_laml``.

    Raises
    ------
    ValueError
        If no such set can be fetched, or a file is not the one that its checksum was taken of.
    ConnectionError
        If a file cannot be downloaded, and the set is not in the folder of ``OMICSMLM_DATA`` either.

    Notes
    -----
    Addresses are from public code that uses them; they could not be tried where this was written, which has no network. The
    conversions are tested on files of the same formats, served by a local server; those of ``mixology`` keep the cells that
    demuxlet calls single.
    """
    if name not in ORIGINALS:
        remedy = "pass one of them"
        if name in ELSEWHERE:
            remedy = f"{ELSEWHERE[name]}; convert it to the file that datasets.load asks for"
        raise value_error("datasets.fetch", f"one of {sorted(ORIGINALS)}", repr(name), remedy)
    import pooch

    original = ORIGINALS[name]
    kept = absolute(pooch.os_cache("omicsmlm") if folder is None else folder)
    target = kept / f"{name}{original.suffix}"
    if not target.is_file():
        size = f"about {original.megabytes} MB to download"
        announce(logger, f"datasets.fetch: {original.summary}; licence: {original.licence}; {size}.")
        try:
            _fetch(original, kept / "originals" / name)
        except ConnectionError as error:
            return _from_folder(name, error)
        _write(_converted(original, kept / "originals" / name), target)
    return _read(target)


def _fetch(original: Original, folder: Path) -> None:
    """Download the files of a set that are not there yet.

    Raises
    ------
    ValueError
        If a file is another than its checksum says.
    ConnectionError
        If a file cannot be had.
    """
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)  # it says to put the hash into the code
    for remote in original.files:
        file = folder / remote.name
        if file.is_file() and remote.checksum is None:
            continue
        announce(logger, f"datasets.fetch: {remote.url} to {file}.")
        try:
            pooch.retrieve(remote.url, remote.checksum, fname=remote.name, path=folder)
        except ValueError as error:
            found = f"another at {remote.url} ({' '.join(str(error).split())[:200]})"
            raise value_error(
                remote.name, f"the file of {remote.checksum}", found, "use it at your own risk"
            ) from error
        except OSError as error:
            said = " ".join(str(error).split())[:200]
            raise ConnectionError(f"{remote.url} could not be downloaded ({type(error).__name__}: {said})") from error
        _say_checksum(remote, file)


def _converted(original: Original, folder: Path) -> ad.AnnData | md.MuData:
    """Return the object of downloaded files.

    Raises
    ------
    ValueError
        If they are not what they were.
    """
    try:
        return original.convert(folder)
    except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
        found = f"others ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        remedy = f"remove {folder} and fetch again, in case the download was cut short"
        raise value_error("datasets.fetch", "files as their authors published them", found, remedy) from error


def _say_checksum(remote: Remote, file: Path) -> None:
    if remote.checksum is not None:
        announce(logger, f"datasets.fetch: {remote.name} has the checksum that was expected.")
        return
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    announce(logger, f"datasets.fetch: {remote.name} is not verified, as no checksum is known; its sha256 is {sha256}.")


def _from_folder(name: str, error: ConnectionError) -> ad.AnnData | md.MuData:
    """Return a set of the folder of ``OMICSMLM_DATA`` in the place of one that could not be downloaded."""
    try:
        data = load(name)
    except (ValueError, FileNotFoundError):
        remedy = "connect to the network, or set OMICSMLM_DATA to a folder that has the set"
        raise ConnectionError(f"datasets.fetch: {error}; {remedy}.") from error
    announce(logger, f"datasets.fetch: {error}; taken from the folder of OMICSMLM_DATA.")
    return data


def _write(data: ad.AnnData | md.MuData, target: Path) -> None:
    with written_file(target, "datasets.fetch") as part:
        data.write(part)


def _read(file: Path) -> ad.AnnData | md.MuData:
    return md.read_h5mu(file) if file.suffix == ".h5mu" else ad.read_h5ad(file)
