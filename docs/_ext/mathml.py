"""Formulas as MathML, made when the pages are built: readers need neither the network nor a script."""

import re

from docutils import nodes
from latex2mathml import exceptions
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger
from sphinx.writers.html5 import HTML5Translator

logger = getLogger(__name__)
ERRORS = tuple(error for error in vars(exceptions).values() if isinstance(error, type))
PRIME = re.compile(r"<msup><mi>(\w)</mi><mi>&#x02032;</mi></msup>")


def mathml(node: nodes.Node, display: str) -> str:
    """Return a formula as MathML; what cannot be read is a warning, which stops a build with ``-W``."""
    latex = node.astext().strip()
    try:
        # A prime stands raised in most fonts: raised once more, as a superscript, it would be out of sight.
        return PRIME.sub(r"<mi>\1&#x02032;</mi>", convert(latex, display=display))
    except ERRORS as error:
        logger.warning("formula %r: %s", latex, error, location=node, type="mathml")
        return f"<code>{nodes.unescape(latex)}</code>"


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    """Write an inline formula."""
    self.body.append(mathml(node, "inline"))
    raise nodes.SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed formula, which scrolls where it is wider than the page."""
    self.body.append(f'<div class="formula">{mathml(node, "block")}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
