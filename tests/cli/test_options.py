"""Options mean the same in every command."""

import pytest

from omicsmlm.cli._options import assigned, check_device, trainer_device


def test_values_by_modality():
    assert assigned("--layer", ["rna=counts", "atac=raw"], ["rna", "atac"]) == {"rna": "counts", "atac": "raw"}
    assert assigned("--layer", ["counts"], ["rna"]) == {"rna": "counts"}
    assert assigned("--layer", [], ["rna"]) == {}


@pytest.mark.parametrize(
    ("text", "said"), [("counts", "write --layer rna=counts"), ("x=counts", "a name among"), ("rna=", "and a value")]
)
def test_wrong_values_by_modality(text, said):
    with pytest.raises(ValueError, match=f"^--layer: expected .*{said}"):
        assigned("--layer", [text], ["rna", "atac"])


def test_devices():
    assert trainer_device("cpu") == {"accelerator": "cpu", "devices": 1}
    assert trainer_device("cuda") == {"accelerator": "gpu", "devices": 1}
    check_device("cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:0", "cuda:977"])
def test_wrong_devices(device):
    with pytest.raises(ValueError, match="^--device: expected "):
        check_device(device)
