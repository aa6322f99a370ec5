"""Draw the pictures of the README and the documentation: python docs/scripts/pictures.py (TEA-seq; about two minutes).

Needs OMICSMLM_DATA. The figures of other model pages are those of the executed tutorials, which it copies; with the word
`copy` that is all it does.
"""

import base64
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import omicsmlm

DOCS = Path(__file__).parents[1]
IMAGES = DOCS / "images"
TUTORIALS = {
    "scmbert": ("scmbert", 1),
    "mojo": ("ccle", 1),
    "txfm": ("papalexi", 0),
    "isoformer": ("isoformer", 2),
    "query": ("query", 1),
    "mosaic": ("mosaic", 1),
    "annotation": ("annotation", 0),
    "survival": ("brca", 4),
}
"""For each page, the tutorial, and which of its figures is copied."""
MARKERS = {
    "T": ["CD3D", "IL7R", "CD8A", "CCL5"],
    "NK": ["NKG7", "GNLY"],
    "B": ["MS4A1", "CD79A"],
    "mono": ["CD14", "LYZ", "FCGR3A"],
}


def teaseq() -> None:
    """Train on TEA-seq with the default recipe; draw its UMAP, imputed markers and training curves."""
    mdata = omicsmlm.datasets.teaseq()
    model = omicsmlm.OmicsMLM(mdata)
    model.train(progress_bar=False)
    mdata.obsm["X_umap"] = omicsmlm.pl.umap_coordinates(np.asarray(mdata.obsm["X_omics"]))
    imputed = model.impute(modality="rna")
    colors = ["cell_type", "rna:CD8A", "adt:CD8a", "CD8A"]
    omicsmlm.pl.umap(mdata, "X_umap", colors, imputed=imputed, save=IMAGES / "teaseq_umap.png")
    omicsmlm.pl.marker_dots(mdata, MARKERS, "cell_type", imputed=imputed, save=IMAGES / "teaseq_markers.png")
    omicsmlm.pl.history(model.history, save=IMAGES / "teaseq_history.png")
    for name in ("umap", "markers", "history"):
        smaller(IMAGES / f"teaseq_{name}.png")


def smaller(file: Path) -> None:
    """Write a picture again with a palette of 128 colours, which takes a third of the space."""
    Image.open(file).convert("RGB").quantize(128).save(file, optimize=True)


def mosaic() -> None:
    """Draw which modalities the cells of the simulated multiome have."""
    mdata = omicsmlm.datasets.simulate_multiome()
    omicsmlm.pl.missing_modalities(mdata, "batch", save=IMAGES / "missing_modalities.png")


def tutorials() -> None:
    """Copy a figure of each executed tutorial."""
    for page, (name, place) in TUTORIALS.items():
        notebook = json.loads((DOCS / "tutorials" / f"{name}.ipynb").read_text(encoding="utf-8"))
        outputs = [output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", [])]
        pictures = [data["image/png"] for data in outputs if "image/png" in data]
        (IMAGES / f"{page}.png").write_bytes(base64.b64decode(pictures[place]))


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    tutorials()
    if sys.argv[1:] != ["copy"]:
        mosaic()
        teaseq()
