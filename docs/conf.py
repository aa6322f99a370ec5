"""Sphinx configuration; neither the build nor a reader of the pages needs the network."""

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "omicsmlm"
author = "omicsmlm developers"
copyright = f"2026, {author}"
version = release = importlib.metadata.version("omicsmlm")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "mathml"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]

html_math_renderer = "mathml"
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks are committed as they ran

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
napoleon_google_docstring = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 88  # longer ones have a line for each argument
toc_object_entries_show_parents = "hide"

html_theme = "sphinx_book_theme"
html_title = f"omicsmlm {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
}
# The header has a search button already; the box of the sidebar would be a second one.
html_sidebars = {"**": ["navbar-logo.html", "sbt-sidebar-nav.html"]}
