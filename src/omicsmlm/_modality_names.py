"""What a modality is, by the names that people give to modalities and to their features."""

import re
from collections.abc import Iterable
from typing import Literal

COUNTS_LAYERS = ("counts", "raw_counts")
"""Names that layers with raw counts have, where ``X`` holds something that was made of them."""
Role = Literal["rna", "atac", "protein", "methylation"]

_NAMES: dict[Role, re.Pattern[str]] = {
    "atac": re.compile(r"atac|peak|access|chromatin|dnase", re.IGNORECASE),
    "protein": re.compile(r"prot|adt|antibod|cite|surface|totalseq|(^|[^a-z])(abs?|csp|hto)($|[^a-z])", re.IGNORECASE),
    "methylation": re.compile(r"meth|cpg|beta", re.IGNORECASE),
    "rna": re.compile(r"rna|gex|gene|expr|transcript|splice|(^|[^a-z])(ge|counts|umi)($|[^a-z])", re.IGNORECASE),
}
_ANTIBODY = re.compile(
    # CD names of proteins that are no symbols of genes: CD3 is CD3D, E and G, CD45RA is PTPRC
    r"^((anti|adt|ab|prot|protein|hto)[-_:. ](human|mouse)?[-_. ]?)?"
    r"(CD(3|8|10|11[abc]|13|15|16|20|21|23|25|26|29|30|31|35|41|42b|43|45|45R[ABO]|45\.[12]|49[abdf]|50|54|56|57|61|62[LPE]|64|66b?|"
    r"71|73|88|94|95|103|105|115|117|120b|122|123|127|133|134|137|138|141|146|150|152|154|158[a-z]?|161|162|169|172a|178|183|184|185|"
    r"192|194|195|196|197|206|223|235a?b?|252|268|270|278|279|294|303|304|314|319|335|336|337|357|366|370)"
    r"|HLA[-.]?(DR|DP|DQ|ABC)|HLA-A-B-C|Ig[GMDAE]\w*|TCR.*|(Mouse|Rat|Hamster)[-_. ]?Ig.*)([-_. (].*)?$"
    r"|^(adt|hto|antibody)[-_:]",
    re.IGNORECASE,
)
FEWEST_ANTIBODIES, ANTIBODY_FRACTION = 3, 0.15
"""Names of antibodies among the features, from which on these are taken for proteins."""


def role_of(modality: str) -> Role | None:
    """Return what a modality is by its name, None where the name does not tell.

    Examples
    --------
    >>> role_of("adt"), role_of("GEX"), role_of("Ab"), role_of("lab")
    ('protein', 'rna', 'protein', None)
    """
    return next((role for role, pattern in _NAMES.items() if pattern.search(modality)), None)


def are_antibodies(names: Iterable[object]) -> bool:
    """Return whether features are proteins by names that antibodies have and genes do not.

    Examples
    --------
    >>> are_antibodies(["CD3", "CD8", "CD45RA", "CD4"]), are_antibodies(["CD3D", "CD4", "CD8A", "PTPRC"])
    (True, False)
    """
    listed = list(map(str, names))
    n_antibodies = sum(_ANTIBODY.match(name) is not None for name in listed)
    return n_antibodies >= FEWEST_ANTIBODIES and n_antibodies >= ANTIBODY_FRACTION * len(listed)
