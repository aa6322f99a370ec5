"""Published encoders, of the real libraries, with small random weights that are written to a folder: nothing is downloaded."""

import json
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_model

from omicsmlm.nn import Reading, Source

WIDTH = 16
SIZES = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
PROTEIN_TOKENS = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]
SIXMER_TOKENS = ["<unk>", "<pad>", "<mask>", "<cls>", *map("".join, product("ATCG", repeat=6)), *"ATCGN"]
WORD_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

D_MODEL_CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel


class LongConfig(PretrainedConfig):
    model_type = "long"

    def __init__(self, d_model=16, vocab_size=16, **kwargs):
        self.d_model, self.vocab_size = d_model, vocab_size
        super().__init__(**kwargs)


class LongModel(PreTrainedModel):
    config_class = LongConfig
    base_model_prefix = "long"

    def __init__(self, config):
        super().__init__(config)
        self.embeddings = torch.nn.Embedding(config.vocab_size, config.d_model)
        self.mixer = torch.nn.GRU(config.d_model, config.d_model, bidirectional=True, batch_first=True)
        self.out = torch.nn.Linear(2 * config.d_model, 2 * config.d_model)
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, input_ids=None):
        return (self.out(self.mixer(self.embeddings(input_ids))[0]),)


class LongForMaskedLM(PreTrainedModel):
    config_class = LongConfig
    base_model_prefix = "long"

    def __init__(self, config):
        super().__init__(config)
        self.long = LongModel(config)
        self.lm_head = torch.nn.Linear(2 * config.d_model, config.vocab_size)
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, input_ids=None):
        return (self.lm_head(self.long(input_ids)[0]),)
"""
"""A model as Caduceus is: a configuration with ``d_model`` alone, states twice as wide, and no attention mask."""


def shaken(network: Any) -> Any:
    """Move all weights, so that no part of a network is without effect."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.3)
    return network.eval()


def esm_like(folder: Path, tokens: list[str], **sizes: Any) -> Any:
    """An ESM of the real class, as its masked-language-model checkpoint; gives the part that makes states."""
    from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer

    (folder / "vocab.txt").write_text("\n".join(tokens))
    ids = {"pad_token_id": tokens.index("<pad>"), "mask_token_id": tokens.index("<mask>")}
    kind = {"position_embedding_type": "rotary", "token_dropout": True}
    config = EsmConfig(vocab_size=len(tokens), **ids, **{**SIZES, **kind, **sizes})
    network = shaken(EsmForMaskedLM(config))
    network.save_pretrained(folder)
    eos = {} if "<eos>" in tokens else {"eos_token": None}
    EsmTokenizer(str(folder / "vocab.txt"), **eos).save_pretrained(folder)
    return network.esm


def bert(folder: Path, letters: str, **sizes: Any) -> Any:
    """A BERT with a character a word, that is, one that reads letters between blanks."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    (folder / "vocab.txt").write_text("\n".join([*WORD_TOKENS, *letters]))
    config = BertConfig(vocab_size=len(WORD_TOKENS) + len(letters), pad_token_id=0, **{**SIZES, **sizes})
    network = shaken(BertModel(config))
    network.save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False).save_pretrained(folder)
    return network


def t5(folder: Path) -> Any:
    """A T5, encoder and decoder, with a piece a letter, as ProtT5 has; gives the encoder."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel, T5ForConditionalGeneration

    pieces = ["<pad>", "</s>", "<unk>", *(f"▁{letter}" for letter in "LAGVSERTIDPKQNFYMHWCX")]
    made = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=made, **special).save_pretrained(folder)
    sizes = {"d_model": WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    network = shaken(T5ForConditionalGeneration(T5Config(vocab_size=len(pieces), decoder_start_token_id=0, **sizes)))
    network.save_pretrained(folder)
    encoder = T5EncoderModel(network.config).eval()
    encoder.shared, encoder.encoder = network.shared, network.encoder
    return encoder


def d_model_only(folder: Path, *, masked_lm: bool = False) -> Any:
    """A model of its own code, whose configuration has no ``hidden_size``; states are 2 · WIDTH wide."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[MASK]", *"ACGTN"])}
    made = Tokenizer(models.WordLevel(letters, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    PreTrainedTokenizerFast(tokenizer_object=made, **special).save_pretrained(folder)
    (folder / "long_code.py").write_text(D_MODEL_CODE)
    names: dict[str, Any] = {"torch": torch, "__name__": "long_code"}
    exec(D_MODEL_CODE, names)
    network = shaken(
        names["LongForMaskedLM" if masked_lm else "LongModel"](names["LongConfig"](vocab_size=len(letters)))
    )
    network.save_pretrained(folder)
    own = {"AutoModelForMaskedLM": "LongForMaskedLM"} if masked_lm else {"AutoModel": "LongModel"}
    code = {name: f"long_code.{made}" for name, made in {"AutoConfig": "LongConfig", **own}.items()}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": code}))
    return network.long if masked_lm else network


def enformer(folder: Path, **sizes: Any) -> Any:
    """An Enformer with positions of 8 base pairs; states are 48 wide."""
    from enformer_pytorch import Enformer
    from enformer_pytorch.config_enformer import EnformerConfig

    small = {"dim": 24, "depth": 1, "heads": 2, "output_heads": {"human": 2}, "attn_dim_key": 8, "num_downsamples": 3}
    config = EnformerConfig(**{**small, "target_length": 4, **sizes})
    config.dim_divisible_by = 12
    network = shaken(Enformer(config))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for buffer in network.buffers():
            if buffer.is_floating_point():
                buffer.add_(torch.rand(buffer.shape, generator=generator) * 0.2)
    network.config.save_pretrained(folder)
    save_model(network, str(folder / "model.safetensors"), {"format": "pt"})
    return network


class Published(NamedTuple):
    """A checkpoint that the tests made."""

    source: Source
    reading: Reading
    network: Any
    """What is in the file, as it was before it was written."""
    width: int
    sequences: list[str]


PROTEINS = ["MKVLAAG", "MK", "WYXACDEF", "MKVLAAH"]
DNA = ["ACGTACGTACG", "GGNTACGTAAC" * 3, "T", "ACCTACGTACG"]
KINDS = ["esm", "sixmers", "bert", "t5", "d_model", "enformer"]
_MAKERS: dict[str, tuple[Callable[..., Any], Reading, int]] = {
    "esm": (partial(esm_like, tokens=PROTEIN_TOKENS), Reading("protein"), 16),
    "sixmers": (partial(esm_like, tokens=SIXMER_TOKENS), Reading("nucleotide"), 16),
    "bert": (partial(bert, letters="ACDEFGHIKLMNPQRSTVWYX"), Reading("protein", spaced=True), 16),
    "t5": (t5, Reading("protein", spaced=True), 16),
    "d_model": (d_model_only, Reading("nucleotide"), 32),
    "enformer": (enformer, Reading("nucleotide"), 48),
}


def published(kind: str, folder: Path, **sizes: Any) -> Published:
    """Write a checkpoint of a kind to a folder."""
    make, reading, width = _MAKERS[kind]
    network = make(folder, **sizes)
    source = Source("enformer" if kind == "enformer" else "transformers", str(folder), None, kind == "d_model")
    return Published(source, reading, network, width, PROTEINS if reading.kind == "protein" else DNA)
