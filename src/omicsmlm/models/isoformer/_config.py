"""Hyper-parameters of IsoFormer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from omicsmlm._checks import shortened, value_error
from omicsmlm.models.base import FormerFields, check_fields
from omicsmlm.nn import FusionKind, Reading, SequenceKind, Source
from omicsmlm.tokenizers import Truncation

KINDS: dict[str, SequenceKind] = {"dna": "nucleotide", "rna": "nucleotide", "protein": "protein"}
"""Alphabet of each sequence."""

TRUNCATIONS = {
    "dna": Truncation(8192, "centre"),
    "rna": Truncation(12_288, "end"),
    "protein": Truncation(2047, "start"),
}
"""Truncation of sequences unless their encoder says otherwise; RNA and protein as in the paper, DNA ours."""
ENFORMER_LENGTH = 196_608
"""Base pairs that Enformer was trained on, and that the paper gives it."""
PAPER_LIBRARIES: dict[str, Literal["transformers", "enformer"]] = {
    "dna": "enformer",
    "rna": "transformers",
    "protein": "transformers",
}
"""Enformer, a Nucleotide Transformer and ESM-2 150M, all tuned."""
PAPER_POSITIONS = 2048
"""No fewer than any of the paper's encoders gives: 896 of Enformer, 2,048 words of 6 nucleotides, 2,047 residues."""


@dataclass(frozen=True)
class SequenceEncoder:
    """The encoder of one sequence.

    Parameters
    ----------
    library
        "scratch": a small convolutional one, trained from scratch without a download. "transformers": ESM-2, Nucleotide
        Transformer and whatever else ``AutoModel`` reads. "enformer": Enformer, by ``enformer-pytorch``.
    path
        Local directory, or name on the Hugging Face hub; only safetensors are read.
    revision
        Commit on the hub, needed for a name: embeddings must not change when the repository does.
    tuning
        Of a published encoder: "frozen" (each distinct sequence is embedded once, and kept on disk), "lora" or "full". One
        from scratch is always trained.
    max_length, keep
        Most residues of a sequence, and which ones of a longer sequence are kept: "start", "end" or "centre". None for 8,192
        around the centre of DNA, 196,608 for Enformer, the last 12,288 of RNA and the first 2,047 of a protein. Of an encoder
        with fewer positions, so many tokens from the same part.
    trust_remote_code
        Whether code that comes with the weights may run.
    spaced
        Whether its tokenizer reads letters between blanks, as those of ProtBERT and ProtT5 do.
    uracil
        Whether it was trained on RNA with U, as RNA-FM was; T becomes U.
    mixed_alphabet
        Whether its tokenizer is of nucleotides and amino acids, or of bytes; without this, one that knows all amino acids is
        taken to be of proteins, and refuses DNA and RNA.
    """

    library: Literal["scratch", "transformers", "enformer"] = "scratch"
    path: str | None = None
    revision: str | None = None
    tuning: Literal["frozen", "lora", "full"] = "frozen"
    max_length: int | None = None
    keep: Literal["start", "end", "centre"] | None = None
    trust_remote_code: bool = False
    spaced: bool = False
    uracil: bool = False
    mixed_alphabet: bool = False

    def __post_init__(self) -> None:
        """Check types and choices."""
        check_fields(self)
        if self.max_length is not None and self.max_length < 1:
            raise value_error("max_length", "at least 1", str(self.max_length), "leave it out for the default")
        if self.library != "scratch" and self.path is None:
            raise value_error("path", f"where the weights of {self.library} are", "none", "pass a directory or a name")
        given = [name for name in ("spaced", "uracil", "mixed_alphabet") if getattr(self, name)]
        if given and self.library != "transformers":
            raise value_error(given[0], "an encoder of transformers", repr(self.library), "leave it out")

    def truncation(self, name: str, *, former: bool = False) -> Truncation:
        """Return the truncation of a sequence of this name, or the one that version 0.1 made."""
        default = TRUNCATIONS[name]
        if self.library == "enformer" and not former:
            default = default._replace(length=ENFORMER_LENGTH)
        return Truncation(self.max_length or default.length, self.keep or default.keep)

    def reading(self, name: str, kind: SequenceKind, *, former: bool = False) -> Reading:
        """Return how sequences of this name are given to the encoder, or were in version 0.1."""
        keep = self.truncation(name).keep
        return Reading(kind, keep, self.spaced, self.uracil, self.mixed_alphabet, former_states=former)

    @property
    def source(self) -> Source | None:
        """Location of the weights; None for an encoder from scratch."""
        if self.library == "scratch":
            return None
        return Source(self.library, cast(str, self.path), self.revision, self.trust_remote_code)


@dataclass(frozen=True)
class IsoFormerConfig:
    """Hyper-parameters of :class:`IsoFormer`. "Paper" is arXiv 2406.14150; "ours" is what it does not have.

    Parameters
    ----------
    encoders
        Encoder by sequence: "dna", "rna", "protein"; one from scratch where none is named.
    width, n_heads
        Width of the states and of each fused stream, and heads of the fusion (paper: 8 heads).
    fusion
        "cross_attention" (paper), or one of its ablations: "concatenation", "linear", "perceiver", "c_abstractor".
    n_windows
        Most positions of a sequence in the fusion: means over equal windows (ours; the paper keeps all).
    kernel, n_levels, pool, n_layers
        Of encoders from scratch: kernel of the first convolution, downsampling levels, their factor, and transformer layers.
    dropout
        In encoders from scratch, in the residual branches of the fusion and before the head.
    modality_rate
        Probability that an observation with several modalities loses one in a training step (ours).
    composition
        Whether the composition of the whole sequence, its k-mer frequencies and length, is added to each position before the
        fusion (ours). With a few thousand sequences it predicts more than what convolutions learn.
    n_components
        Principal components of the composition.
    kernel_expert
        Whether kernel regressions on the composition of each sequence and on each vector predict beside the network, and
        linear ones on the short k-mers of each sequence and on the architecture of whole transcripts (ours; see
        ``_experts.py`` and, for the weights of all predictions, ``_expert_weights.py``).
    group_weight
        How often the difference of an observation from the mean of its group (``group_key``) counts, beside the observation
        itself, where the regression on architecture is fitted; with a number above 0, also for other sequences than whole
        transcripts, the level of a group and the differences within it are predicted apart
        (:meth:`IsoFormer.predict`). None: where RNA are whole transcripts, as often as makes the squares of all differences
        those of all observations, so that which isoform of a gene is expressed counts as much as how much the gene is;
        otherwise 0 (ours).
    n_landmarks
        Most landmarks, training observations, of each kernel regression.
    learning_rate
        Of AdamW with warm-up and cosine (the paper has AdamW and 3e-5 for published encoders; ours is for new ones).
    cache_dir
        Folder for states of frozen encoders; None for ``~/.cache/omicsmlm/sequences``.
    patience
        Validations (every so many steps: see ``train``) without a better loss before training stops.
    seed
        Seed of everything random.
    """

    encoders: Mapping[str, SequenceEncoder] = field(default_factory=dict)
    width: int = 64
    n_heads: int = 8
    fusion: FusionKind = "cross_attention"
    n_windows: int = 32
    kernel: int = 11
    n_levels: int = 2
    pool: int = 4
    n_layers: int = 1
    dropout: float = 0.2
    modality_rate: float = 0.3
    composition: bool = True
    n_components: int = 256
    kernel_expert: bool = True
    n_landmarks: int = 1500
    group_weight: float | None = None
    learning_rate: float = 2e-3
    cache_dir: str | None = None
    patience: int = 5
    seed: int = 0

    @classmethod
    def paper(
        cls, dna: "str | SequenceEncoder", rna: "str | SequenceEncoder", protein: "str | SequenceEncoder"
    ) -> "IsoFormerConfig":
        """Return the paper's setting: 196,608 base pairs of DNA, the last 12,288 of RNA, 2,047 residues, all states, all tuned.

        The width of the fusion, to which the states of all encoders are projected, is that of ESM-2 150M (ours: the paper
        attends between streams of their own widths, and its released head reads that of DNA alone).

        Parameters
        ----------
        dna, rna, protein
            The paper has Enformer, the Nucleotide Transformer (version 2) and ESM-2 150M. A path is that of a local copy of an
            encoder of this kind; others are given as :class:`SequenceEncoder`, and tuned in full, too.

        Examples
        --------
        >>> config = IsoFormerConfig.paper("enformer", "nucleotide_transformer", "esm2_150M")
        >>> config.encoder("dna").truncation("dna").length, config.encoder("rna").tuning
        (196608, 'full')
        """
        encoders = {}
        for (name, library), given in zip(PAPER_LIBRARIES.items(), (dna, rna, protein), strict=True):
            encoder = SequenceEncoder(library, given) if isinstance(given, str) else given
            encoders[name] = replace(encoder, tuning="full")
        ours = {"composition": False, "kernel_expert": False, "modality_rate": 0.0, "dropout": 0.0}
        return cls(encoders, width=640, n_heads=8, n_windows=PAPER_POSITIONS, learning_rate=3e-5, **ours)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        """Check the ranges; encoders may also be given as dictionaries, as saved files have them."""
        check_fields(self)
        made = _encoders(self.encoders)
        object.__setattr__(self, "encoders", made)
        unknown = [name for name in made if name not in TRUNCATIONS]
        ranges = {
            "encoders": (not unknown, f"names among {list(TRUNCATIONS)}"),
            "width": (self.width % self.n_heads == 0, f"a multiple of n_heads={self.n_heads}"),
            "kernel": (self.kernel % 2 == 1 and self.kernel >= 1, "an odd number"),
            "n_windows": (self.n_windows >= 1, "at least 1"),
            "n_levels": (self.n_levels >= 1, "at least 1"),
            "n_layers": (self.n_layers >= 0, "at least 0"),
            "pool": (self.pool >= 1, "at least 1"),
            "n_components": (self.n_components >= 1, "at least 1"),
            "n_landmarks": (self.n_landmarks >= 1, "at least 1"),
            "group_weight": (self.group_weight is None or self.group_weight >= 0, "at least 0, or None"),
        }
        for name, (is_right, wanted) in ranges.items():
            if not is_right:
                found = str(unknown) if name == "encoders" else str(getattr(self, name))
                raise value_error(name, wanted, found, "pass a value in range")

    @property
    def cache_folder(self) -> Path:
        """Folder for the states of frozen encoders."""
        return Path(self.cache_dir or Path.home() / ".cache" / "omicsmlm" / "sequences")

    def encoder(self, name: str) -> SequenceEncoder:
        """Return the encoder of a sequence."""
        return self.encoders.get(name, SequenceEncoder())


def _encoders(given: object) -> dict[str, SequenceEncoder]:
    """Return the encoders by sequence; each may be given as a dictionary."""
    wanted, remedy = "a SequenceEncoder by sequence", 'pass {"dna": omicsmlm.SequenceEncoder(…)}'
    if not isinstance(given, Mapping):
        raise value_error("encoders", wanted, shortened(given), remedy)
    made = {}
    for name, encoder in given.items():
        fields = encoder if isinstance(encoder, Mapping) else {}
        known = SequenceEncoder.__dataclass_fields__
        if not isinstance(encoder, SequenceEncoder | Mapping) or not set(fields) <= set(known):
            raise value_error("encoders", wanted, shortened(encoder), remedy)
        made[name] = encoder if isinstance(encoder, SequenceEncoder) else SequenceEncoder(**fields)
    return made


WEIGHT_DECAY = 1e-2
"""Of AdamW: its default in PyTorch (ours)."""
N_WARMUP_STEPS = 50
"""Steps in which the learning rate rises to its value (ours)."""
MASK_RATE = 0.15
"""Fraction of residues that :meth:`IsoFormer.pretrain` masks: BERT's."""
FORMER_CONFIG = FormerFields(
    constants={"weight_decay": WEIGHT_DECAY, "n_warmup_steps": N_WARMUP_STEPS, "mask_rate": MASK_RATE}
)
"""Fields that version 0.1 saved."""
