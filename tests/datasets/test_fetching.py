"""Sets are fetched from a server, checked, converted and kept; without one the folder of data serves."""

import hashlib
import logging
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from omicsmlm import datasets
from omicsmlm.datasets import _fetching
from omicsmlm.datasets._originals import ORIGINALS
from tests.datasets.originals import write_mixology, write_snareseq
from tests.datasets.test_originals import mixology, snareseq


class Quiet(SimpleHTTPRequestHandler):
    """A server that counts what it is asked for."""

    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of a folder of originals; the addresses of all sets lead to it."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setattr(Quiet, "asked", [])
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{running.server_port}"
    for name, original in ORIGINALS.items():
        files = tuple(remote._replace(url=f"{url}/{remote.name}", checksum=None) for remote in original.files)
        monkeypatch.setitem(ORIGINALS, name, original._replace(files=files))
    monkeypatch.delenv("OMICSMLM_DATA", raising=False)
    yield folder
    running.shutdown()
    running.server_close()


def test_a_set_is_fetched_once_and_its_checksums_are_said(server, tmp_path, caplog):
    write_snareseq(snareseq(), server)
    caplog.set_level(logging.INFO, "omicsmlm")
    first = datasets.fetch("snareseq", tmp_path / "kept")
    assert list(first.obs["cell_type"]) == ["L2/3", "L4/5", "CGE", "OPC", "Mis", "Oligo"]
    assert "licence: MIT; about 20 MB to download" in caplog.text
    sha256 = hashlib.sha256((server / "genes.txt").read_bytes()).hexdigest()
    assert f"genes.txt is not verified, as no checksum is known; its sha256 is {sha256}" in caplog.text
    assert sorted(Quiet.asked) == sorted(f"/{remote.name}" for remote in ORIGINALS["snareseq"].files)
    second = datasets.fetch("snareseq", tmp_path / "kept")
    assert len(Quiet.asked) == 5
    assert (second["atac"].X != first["atac"].X).nnz == 0
    assert sorted(file.name for file in (tmp_path / "kept").iterdir()) == ["originals", "snareseq.h5mu"]


def test_a_checksum_is_compared(server, tmp_path, monkeypatch, caplog):
    write_mixology(mixology(), server)
    original = ORIGINALS["mixology"]
    md5 = [hashlib.md5((server / remote.name).read_bytes()).hexdigest() for remote in original.files]
    files = tuple(remote._replace(checksum=f"md5:{one}") for remote, one in zip(original.files, md5, strict=True))
    monkeypatch.setitem(ORIGINALS, "mixology", original._replace(files=files))
    caplog.set_level(logging.INFO, "omicsmlm")
    assert datasets.fetch("mixology", tmp_path / "kept").n_obs == 15
    assert "not verified" not in caplog.text
    (server / files[3].name).write_bytes(b"another")
    with pytest.raises(ValueError, match=f"^{files[3].name}: expected the file of md5:.*, got another at http"):
        datasets.fetch("mixology", tmp_path / "anew")
    assert not (tmp_path / "anew" / "mixology.h5ad").exists()


def test_a_file_that_was_cut_gets_a_sentence(server, tmp_path):
    write_snareseq(snareseq(), server)
    (server / "GxC1.npz").write_bytes((server / "GxC1.npz").read_bytes()[:100])
    with pytest.raises(ValueError, match="expected files as their authors published them.*remove .*snareseq and fetch"):
        datasets.fetch("snareseq", tmp_path / "kept")


def test_without_a_network_the_folder_serves(server, tmp_path, monkeypatch, caplog):
    with pytest.raises(ConnectionError, match="could not be downloaded.*404.*set OMICSMLM_DATA to a folder"):
        datasets.fetch("snareseq", tmp_path / "kept")
    (tmp_path / "data" / "sc").mkdir(parents=True)
    snareseq().write_h5mu(tmp_path / "data" / "sc" / "snareseq_mouse_cortex_rna_atac.h5mu")
    monkeypatch.setenv("OMICSMLM_DATA", str(tmp_path / "data"))
    caplog.set_level(logging.INFO, "omicsmlm")
    assert datasets.fetch("snareseq", tmp_path / "kept").n_obs == 6
    assert "taken from the folder of OMICSMLM_DATA" in caplog.text
    with pytest.raises(ConnectionError, match="pbmc_10k_protein_v3.*could not be downloaded"):
        datasets.fetch("pbmc_protein", tmp_path / "kept")


def test_what_cannot_be_fetched_gets_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"expected one of \['mixology', .*got 'pbmc_3tech'; immunogenomics/symphony"):
        datasets.fetch("pbmc_3tech", tmp_path)
    with pytest.raises(ValueError, match=r"got 'nothing'; pass one of them"):
        datasets.fetch("nothing", tmp_path)


def test_the_folder_for_caches_is_the_default(server, tmp_path, monkeypatch):
    import pooch

    write_snareseq(snareseq(), server)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    datasets.fetch("snareseq")
    assert (tmp_path / "cache" / "omicsmlm" / "snareseq.h5mu").is_file()
    assert _fetching.ORIGINALS is ORIGINALS
