"""What is planted in a saved model or a checkpoint never runs, be its manifest as it should."""

import json
import shutil
import zipfile

import pytest
import torch
from safetensors.torch import save_file

import omicsmlm
from omicsmlm import IsoFormer, IsoFormerConfig, OmicsMLM, SequenceEncoder
from omicsmlm._manifest import write_manifest
from tests.fixtures.make import FIXTURES, OBJECTS
from tests.models.base.test_inherited import Bomb
from tests.objects import QUIET, SMALL, rna
from tests.test_bad_input import refused

FAMILIES = sorted({name for name in OBJECTS if "_" not in name})


def plant(file, kind, bomb):
    """Write a payload over a file: a pickle, a zip with one as torch writes it, a script."""
    if kind == "pickle":
        torch.save({"state_dict": bomb, "weights": bomb}, file, _use_new_zipfile_serialization=False)
    elif kind == "zip":
        torch.save({"state_dict": bomb, "weights": bomb}, file)
    else:
        file.write_text(f"open({str(bomb.path)!r}, 'w')\n")


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_that_is_planted_in_a_saved_model_runs(name, tmp_path):
    family, bomb, n_refused = getattr(omicsmlm, name), Bomb(tmp_path / "exploded"), 0
    shutil.copytree(FIXTURES / name, tmp_path / "m")
    names = [
        file.relative_to(tmp_path / "m")
        for file in (tmp_path / "m").rglob("*")
        if file.suffix in (".json", ".safetensors")
    ]
    assert len(names) in (4, 8)
    for kind in ("pickle", "zip", "script"):
        for file in names:
            shutil.rmtree(tmp_path / "m")
            shutil.copytree(FIXTURES / name, tmp_path / "m")
            plant(tmp_path / "m" / file, kind, bomb)
            for other in ("model.pt", "config.py", "conftest.py", "pytorch_model.bin"):
                plant(tmp_path / "m" / other, kind, bomb)
            write_manifest(tmp_path / "m")
            with refused("^load"):
                family.load(tmp_path / "m")
            n_refused += 1
    assert n_refused == 3 * len(names)
    assert not bomb.path.exists()


@pytest.mark.parametrize("kind", ["pickle", "zip", "script"])
def test_nothing_that_is_planted_in_a_checkpoint_runs(kind, tmp_path):
    bomb = Bomb(tmp_path / "exploded")
    plant(tmp_path / "last.ckpt", kind, bomb)
    if kind == "zip":
        assert zipfile.is_zipfile(tmp_path / "last.ckpt")
    with refused("^resume_from: expected a checkpoint that train"):
        OmicsMLM(rna(), SMALL).train(1, resume_from=tmp_path, **QUIET)
    assert not bomb.path.exists()


def published(folder, bomb):
    """A published encoder with code of its own, which is a payload."""
    folder.mkdir()
    code = {"AutoConfig": "code.Config", "AutoModel": "code.Model"}
    config = {"model_type": "planted", "auto_map": code, "hidden_size": 8}
    (folder / "config.json").write_text(json.dumps(config))
    plant(folder / "code.py", "script", bomb)
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("tuning", ["full", "frozen"])
def test_a_file_cannot_decide_that_code_is_trusted(tuning, tmp_path):
    pytest.importorskip("transformers")
    bomb = Bomb(tmp_path / "exploded")
    published(tmp_path / "planted", bomb)
    shutil.copytree(FIXTURES / "IsoFormer", tmp_path / "m")
    file = tmp_path / "m" / "config.json"
    config = json.loads(file.read_text())
    encoder = {
        "library": "transformers",
        "path": str(tmp_path / "planted"),
        "tuning": tuning,
        "trust_remote_code": True,
    }
    config["config"] |= {"encoders": {"dna": encoder}, "cache_dir": str(tmp_path / "cache")}
    config["choice"]["widths"] = {"dna": 8}
    file.write_text(json.dumps(config))
    write_manifest(tmp_path / "m")
    with refused("^load|^encoder: expected weights of a known kind"):
        IsoFormer.load(tmp_path / "m")
    assert not bomb.path.exists()


def test_the_caller_decides_what_code_is_trusted():
    config = IsoFormerConfig(encoders={"dna": SequenceEncoder("transformers", "there", "abc", trust_remote_code=True)})
    assert not IsoFormer._trusting(config, False).encoders["dna"].source.trust_remote_code
    untrusting = IsoFormerConfig(encoders={"dna": SequenceEncoder("transformers", "there", "abc")})
    assert IsoFormer._trusting(untrusting, True).encoders["dna"].source.trust_remote_code
