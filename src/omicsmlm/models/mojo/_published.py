"""The authors' weights of MOJO, read from files of the user: their names and layouts, brought to those of our network.

The authors publish the parameters of a network in JAX (haiku), named by module. What is here are these names, and how the axes of
each parameter lie; the weights themselves are under a non-commercial licence (CC BY-NC-SA 4.0), and none is shipped or downloaded.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from omicsmlm._checks import named, value_error
from omicsmlm._types import SPARSE_KINDS
from omicsmlm.tokenizers import Scale

from ._config import MOJOConfig
from ._derived import MOJODerived

CONFIG, NPZ, SAFETENSORS = "config.json", "params.npz", "params.safetensors"
"""Files of a folder with published weights: the authors' own, and their parameters in a form that runs no code when it is read."""
CONVERSION = (
    "convert them where you trust them: params = joblib.load(file); numpy.savez('params.npz', **{f'{module}/{name}': array "
    "for module, own in params.items() for name, array in own.items()})"
)
OMICS = {"rna": "rnaseq", "methylation": "methylation"}
"""Modalities and the authors' names for them."""


class Published(NamedTuple):
    """Weights as they were published, and what goes with them."""

    config: MOJOConfig
    factors: dict[str, float]
    """What the authors divide the values of each of their modalities by."""
    n_genes: int
    arrays: dict[str, np.ndarray]
    """By "module/parameter", without the name of the network."""


class _Source(NamedTuple):
    """Where a weight of ours comes from."""

    module: str
    parameter: str
    layout: str
    """"same", "linear", "convolution" or "transposed", or "point" and "transposed point" for kernels of 1."""


def read_published(directory: str | Path) -> Published:
    """Return the content of a folder with published weights: ``config.json``, and ``params.npz`` or ``params.safetensors``.

    Raises
    ------
    ValueError
        If a file is missing, or the network is of another form than ours.
    """
    folder = Path(directory)
    settings = _settings(folder)
    factors = {name: float(factor) for name, factor in settings["normalization_factor"].items()}
    return Published(_config(settings), factors, int(settings["sequence_length"]), _arrays(folder))


def published_derived(
    published: Published,
    genes: Sequence[str],
    modalities: Mapping[str, Mapping[str, Any]],
    omics: Mapping[str, str],
) -> MOJODerived:
    """Return what a model with these weights has in the place of what others derive from their data.

    Parameters
    ----------
    published
        The weights.
    genes
        Names of the genes of the weights.
    modalities
        Registered state of each modality of the user's object.
    omics
        The authors' name of each.

    Raises
    ------
    ValueError
        If the weights have no such modality or another number of genes, or the values or genes of the object do not fit.
    """
    listed = [str(gene) for gene in genes]
    if len(listed) != published.n_genes or len(set(listed)) < len(listed):
        found = f"{len(listed):,}, {len(set(listed)):,} of them distinct"
        remedy = "pass the authors' list, in its order"
        raise value_error("genes", f"{published.n_genes:,} names, each once", found, remedy)
    scales = {}
    for name, state in modalities.items():
        if omics.get(name) not in published.factors:
            remedy = f'pass modalities={{"{name}": …}} with one of these'
            raise value_error(f"modality {name!r}", f"one of {named(published.factors)}", repr(omics.get(name)), remedy)
        if state["kind"] in SPARSE_KINDS:
            remedy = "pass log10(1 + TPM), as omicsmlm.pp.log_tpm makes it"
            raise value_error(name, "continuous values, as the weights were trained on", state["kind"], remedy)
        if not set(listed).intersection(state["vocabulary"]):
            remedy = "rename its features, or the genes"
            raise value_error(
                f"{name}: features", f"genes such as {named(listed[:2])}", named(state["vocabulary"][:2]), remedy
            )
        scales[name] = Scale([0.0, published.factors[omics[name]]], [0.0, 1.0])
    return MOJODerived(genes=listed, scales=scales, profiles={}, depths={})


def _settings(folder: Path) -> dict[str, Any]:
    """Return the authors' hyper-parameters."""
    file = folder / CONFIG
    if not os.path.isfile(file):
        remedy = f"download {CONFIG} and the parameters from where the authors publish them"
        raise value_error("directory", f"a folder with {CONFIG}", repr(str(folder)), remedy)
    settings: dict[str, Any] = json.loads(file.read_text())
    return settings


def _config(settings: Mapping[str, Any]) -> MOJOConfig:
    """Return our hyper-parameters of the same network, after checking that there are some."""
    width, n_heads = settings["embed_dim"], settings["num_attention_heads"]
    wanted = {
        "conv_init_embed_dim": width,
        "num_hidden_layers_head": 1,
        "key_size": width // n_heads,
        "use_skip_connection": True,
        "use_gene_embedding": True,
    }
    found = {"key_size": width // n_heads, "use_skip_connection": True, "use_gene_embedding": True} | {
        name: value for name, value in settings.items() if value is not None
    }
    for name, value in wanted.items():
        if found.get(name, 0) != value:
            raise value_error(f"{CONFIG}: {name}", str(value), str(found.get(name)), "this network has another form")
    n_bins = set(settings["n_expressions_bins"].values())
    if len(n_bins) > 1:
        found_text = named(sorted(map(str, n_bins)))
        raise value_error(f"{CONFIG}: bins", "as many in all modalities", found_text, "this network has another form")
    return replace(
        MOJOConfig.paper(),
        axis="union",
        n_bins=n_bins.pop(),
        token_width=settings["token_embed_dim"],
        gene_width=settings["init_gene_embed_dim"],
        width=width,
        stem_kernel=settings["stem_kernel_shape"],
        n_levels=settings["num_downsamples"],
        n_blocks=settings["num_layers"],
        n_heads=n_heads,
        feed_width=settings["ffn_embed_dim"],
    )


def _arrays(folder: Path) -> dict[str, np.ndarray]:
    """Return the parameters by name, without the name of the network that begins them all."""
    if os.path.isfile(folder / SAFETENSORS):
        from safetensors.numpy import load_file

        arrays = load_file(folder / SAFETENSORS)
    elif os.path.isfile(folder / NPZ):
        with np.load(folder / NPZ, allow_pickle=False) as file:
            arrays = dict(file)
    else:
        found = named(sorted(path.name for path in folder.iterdir()))
        raise value_error("directory", f"{NPZ} or {SAFETENSORS}", found, CONVERSION)
    return {name.partition("/")[2]: array for name, array in arrays.items()}


def load_published(module: nn.Module, published: Published, omics: Sequence[str]) -> None:
    """Load the weights into our network of the same form, in place.

    Parameters
    ----------
    module
        The network.
    published
        The weights.
    omics
        The authors' names of its modalities.

    Raises
    ------
    ValueError
        If a parameter is missing or has another shape.
    """
    state, own = published_state(published, omics), module.state_dict()
    for name, value in state.items():
        if value.shape != own[name].shape:
            found = str(tuple(value.shape))
            raise value_error(
                f"weights: {name}", f"the shape {tuple(own[name].shape)}", found, "take the published files"
            )
    module.load_state_dict(state)


def published_state(published: Published, omics: Sequence[str]) -> dict[str, Tensor]:
    """Return the weights of our network, by its own names.

    Raises
    ------
    ValueError
        If a parameter is missing, or has more or fewer axes than its layer.
    """
    state = {}
    for name, (module, parameter, layout) in _sources(published.config, omics):
        key = f"{module}/{parameter}"
        if key not in published.arrays:
            raise value_error("weights", f"a parameter {key!r}", named(list(published.arrays)[:4]), CONVERSION)
        state[name] = torch.from_numpy(np.array(_laid_out(key, published.arrays[key], layout))).float()
    n_bins = published.config.n_bins
    for omic in published.factors.keys() - set(omics):
        # Of a modality that the object lacks the authors' network sees the mask token at every gene, and the padding token behind
        # them: it is the same whatever the others are, so that their tokens can hold it.
        absent_tk = torch.from_numpy(published.arrays[f"~/{omic}_embedding/embeddings"]).float()
        state["embedding.tokens.0.weight"][:n_bins] += absent_tk[n_bins + 1]
        state["embedding.tokens.0.weight"][n_bins:] += absent_tk[n_bins:]
    return state


def _laid_out(key: str, array: np.ndarray, layout: str) -> np.ndarray:
    """Return a parameter with the axes of PyTorch's layers.

    Haiku has (in, out) in a linear layer, (k, in, out) in a convolution and (k, out, in) in a transposed one, whose kernel JAX
    does not mirror; PyTorch has (out, in), (out, in, 1, k) and (in, out, 1, k), and mirrors it.
    """
    n_axes = {"same": array.ndim, "linear": 2}.get(layout, 3)
    if array.ndim != n_axes:
        raise value_error(f"weights: {key}", f"{n_axes} axes", f"the shape {array.shape}", "take the published file")
    match layout:
        case "linear":
            return array.T
        case "convolution":
            return array.transpose(2, 1, 0)[:, :, None]
        case "transposed":
            return array[::-1].transpose(2, 1, 0)[:, :, None]
        case "point":
            return array[0].T
        case "transposed point":
            return array[0]
    return array


def _sources(config: MOJOConfig, omics: Sequence[str]) -> Iterator[tuple[str, _Source]]:
    """Yield the name of each weight of ours, and where it comes from."""
    for m, omic in enumerate(omics):
        yield f"embedding.tokens.{m}.weight", _Source(f"~/{omic}_embedding", "embeddings", "same")
        for layer, theirs in (("hidden", "linear_0"), ("out", "linear_final")):
            yield from _weights(f"heads.{m}.{layer}", f"{omic}_head_{theirs}", "linear")
    yield "embedding.features.weight", _Source("~/gene_embedding", "embeddings", "same")
    yield from _weights("embedding.projection", "~/linear", "linear")
    yield from _weights("stem.layer", "stem/conv1_d", "convolution")
    for level in range(config.n_levels):
        yield from _level(f"down.levels.{level}", f"conv_block_{level}", "conv_block", "conv1_d", "")
        yield from _level(
            f"up.levels.{level}", f"deconv_block_{level}", "de_conv_block", "conv1_d_transpose", "transposed"
        )
    for block in range(config.n_blocks):
        ours, theirs = f"transformer.{block}", f"attention_layer_{block}/~"
        for layer, name in (("query", "query"), ("key", "key"), ("value", "value"), ("out", "mha_output")):
            yield from _weights(f"{ours}.attention.{layer}", f"{theirs}/self_attention/{name}", "linear")
        yield from _norm(f"{ours}.attention_norm", f"{theirs}/self_attention_layer_norm")
        yield from _norm(f"{ours}.feed_norm", f"{theirs}/final_layer_norm")
        yield f"{ours}.feed.gate_and_value.weight", _Source(f"{theirs}/fc1", "w", "linear")
        yield f"{ours}.feed.out.weight", _Source(f"{theirs}/fc2", "w", "linear")


def _level(ours: str, scope: str, block: str, layer: str, kind: str) -> Iterator[tuple[str, _Source]]:
    """Yield the weights of a level of a tower: a wide convolution, and one of kernel 1."""
    wide, point = f"{scope}/{block}", f"{scope}/residual_{block}/{block}"
    yield from _norm(f"{ours}.norm", f"{wide}/layer_norm")
    yield from _weights(f"{ours}.wide.layer", f"{wide}/{layer}", kind or "convolution")
    yield from _norm(f"{ours}.pointwise_norm", f"{point}/layer_norm")
    yield from _weights(f"{ours}.pointwise", f"{point}/{layer}", f"{kind} point".strip())


def _weights(ours: str, module: str, layout: str) -> Iterator[tuple[str, _Source]]:
    yield f"{ours}.weight", _Source(module, "w", layout)
    yield f"{ours}.bias", _Source(module, "b", "same")


def _norm(ours: str, module: str) -> Iterator[tuple[str, _Source]]:
    yield f"{ours}.weight", _Source(module, "scale", "same")
    yield f"{ours}.bias", _Source(module, "offset", "same")
