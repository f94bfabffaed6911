"""The code blocks of README and documentation, for tests that run them."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from docutils.core import publish_doctree

ROOT = Path(__file__).parents[1]
PAGES = [
    page for folder in ("explanation", "howto", "reference") for page in sorted((ROOT / "docs" / folder).rglob("*.rst"))
]
"""Pages whose blocks run in a project that is set up; ``test_first_hour`` has the README and the quickstart."""
QUIET = {"report_level": 5, "halt_level": 5, "file_insertion_enabled": False}
"""Sphinx's own roles and directives are unknown here, and hold no blocks."""


@dataclasses.dataclass(frozen=True)
class Block:
    """A code block: its language, its text, and the comment right above it in the source."""

    language: str
    text: str
    line: int
    comment: str = ""

    @property
    def file(self) -> str | None:
        """The file that the comment on the block's first line names."""
        named = re.match(r"# (\S+\.(?:py|ini))\n", self.text)
        return named[1] if named else None


def blocks(page: Path) -> Iterator[Block]:
    """Every block of ``page``, in order."""
    found = publish_doctree(page.read_text(encoding="utf-8"), settings_overrides=QUIET)
    for node in found.findall(nodes.literal_block):
        languages = [name for name in node["classes"] if name != "code"]
        siblings = node.parent.children
        before = siblings[siblings.index(node) - 1] if siblings.index(node) else None
        comment = before.astext() if isinstance(before, nodes.comment) else ""
        if languages:
            yield Block(languages[0], node.astext() + "\n", node.line or 0, comment)


class Elided(ast.NodeTransformer):
    """``NAME = [..., "more"]`` extends the list that there is."""

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        if isinstance(node.value, ast.List) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            node.value.elts = [
                ast.Starred(ast.Name(name, ast.Load()), ast.Load()) if is_ellipsis(part) else part
                for part in node.value.elts
            ]
        return node


def is_ellipsis(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def completed(text: str) -> str:
    """A page's Python with its elided lists completed."""
    return ast.unparse(ast.fix_missing_locations(Elided().visit(ast.parse(text)))) + "\n"
