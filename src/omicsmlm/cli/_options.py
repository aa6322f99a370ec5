"""Options that several commands have, and what they mean to models."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

Source = Annotated[Path, typer.Argument(help="An .h5ad or .h5mu file with raw counts.", show_default=False)]
ModelFolder = Annotated[Path, typer.Argument(help="Folder of a saved model.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what has the name of a result.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Layer = Annotated[
    list[str] | None, typer.Option(help="Layer with the raw counts: counts, or rna=counts of one modality; repeatable.")
]
Modality = Annotated[list[str] | None, typer.Option(help="A modality to use; all if none is named; repeatable.")]
BatchKey = Annotated[str | None, typer.Option(help="Column of .obs with the batch.")]
MaxEpochs = Annotated[int | None, typer.Option(help="Epochs of training; a sensible number if not given.")]
SequenceColumn = Annotated[
    list[str] | None,
    typer.Option(
        "--sequence", help="IsoFormer: column of .obs with a sequence: dna=promoter, rna=…, protein=…; repeatable."
    ),
]
GroupKey = Annotated[
    str | None,
    typer.Option(
        help="IsoFormer: column whose values are never divided between training and validation, such as the gene."
    ),
]
SaveModel = Annotated[Path | None, typer.Option(help="Folder to save the new model to.")]
Query = Annotated[Path | None, typer.Option(help="File of other observations to predict; SOURCE itself if not given.")]


class Family(StrEnum):
    """A family of models that a file can be trained with."""

    omicsmlm = "OmicsMLM"
    scmbert = "ScMBERT"
    mojo = "MOJO"
    txfm = "TxFM"
    isoformer = "IsoFormer"


FamilyOption = Annotated[Family, typer.Option(case_sensitive=False, help="Family of the model.")]


class Training(NamedTuple):
    """How a model is set up and trained."""

    family: Family = Family.omicsmlm
    batch_key: str | None = None
    layers: Sequence[str] = ()
    modalities: Sequence[str] = ()
    seed: int = 0
    sequences: Sequence[str] = ()
    group_key: str | None = None


def assigned(argument: str, texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return values by modality from texts such as ``rna=counts``; one without a name is of the only modality.

    Raises
    ------
    ValueError
        If a name is needed, or none of the modalities.

    Examples
    --------
    >>> assigned("--layer", ["rna=counts"], ["rna", "atac"]), assigned("--layer", ["counts"], ["rna"])
    ({'rna': 'counts'}, {'rna': 'counts'})
    """
    from omicsmlm._checks import named, value_error

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            if len(names) != 1:
                remedy = f"write {argument} {next(iter(names), 'rna')}={text}"
                raise value_error(argument, f"a name among {list(names)} before =", repr(text), remedy)
            name, value = names[0], text
        if name not in names or not value:
            raise value_error(argument, f"a name among {named(names)} and a value", repr(text), "correct it")
        found[name] = value
    return found


def trainer_device(device: str) -> dict[str, Any]:
    """Return the arguments of ``train`` for a device.

    Raises
    ------
    ValueError
        If it is no device.

    Examples
    --------
    >>> trainer_device("cuda:1"), trainer_device("auto")
    ({'accelerator': 'gpu', 'devices': [1]}, {'accelerator': 'auto', 'devices': 'auto'})
    """
    from omicsmlm._checks import value_error

    kind, _, number = device.partition(":")
    accelerators = {"auto": "auto", "cpu": "cpu", "cuda": "gpu", "mps": "mps"}
    if kind not in accelerators or (number and not (kind == "cuda" and number.isdigit())):
        raise value_error("--device", "auto, cpu, cuda, cuda:1 or mps", repr(device), "pass one of them")
    devices: Any = "auto" if kind == "auto" else 1
    return {"accelerator": accelerators[kind], "devices": [int(number)] if number else devices}


def check_device(device: str) -> None:
    """Check that there is such a device here, before files are read.

    Raises
    ------
    ValueError
        If there is none.
    """
    from omicsmlm._checks import value_error

    wanted = trainer_device(device)["accelerator"]
    if wanted in ("auto", "cpu"):
        return
    import torch

    n_devices = torch.cuda.device_count() if wanted == "gpu" else int(torch.backends.mps.is_available())
    number = int(device.partition(":")[2] or 0)
    if number >= n_devices:
        raise value_error("--device", "one that PyTorch has here", repr(device), "pass cpu, or auto")
