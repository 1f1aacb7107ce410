"""Markdown formatting, and parsing of docstrings."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, get_args


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, in which line breaks, bars and placeholders such as `<home>` are escaped."""
    lines = [headings, ["---"] * len(headings), *rows]
    cells = (
        [re.sub(r"<(?=\w+>(?!`))(?!br>)", "&lt;", " ".join(cell.split()).replace("|", "\\|")) for cell in line]
        for line in lines
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def code(text: object) -> str:
    """Text in code font; empty text stays empty."""
    return f"`{text}`" if text not in (None, "") else ""


def sentence(text: str) -> str:
    """The text as a sentence."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "?", "`")) or not text else ".")


def attribute_docs(owner: type) -> dict[str, str]:
    """The docstrings below the attributes of a class, and the entries of `Attributes:` in its own docstring."""
    [node] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(node, ast.ClassDef)
    docs = described_attributes(ast.get_docstring(node) or "")
    for statement, following in zip(node.body, node.body[1:], strict=False):
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            target = statement.target if isinstance(statement, ast.AnnAssign) else None
            target = statement.targets[0] if isinstance(statement, ast.Assign) else target
            if isinstance(target, ast.Name):
                docs[target.id] = inspect.cleandoc(str(following.value.value))
    return docs


def described_attributes(docstring: str) -> dict[str, str]:
    """The entries of the section `Attributes:` of a docstring."""
    section = re.search(r"^Attributes:\n((?:[ ]{4}.*\n?|\n)+)", docstring, re.MULTILINE)
    entries = re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", section[1], re.MULTILINE) if section else []
    return {name: " ".join(text.split()) for names, text in entries for name in re.split(r",\s*", names)}


def literals(annotation: Any) -> list[str]:
    """The strings that a `Literal` allows, also inside a union."""
    texts = [one for one in get_args(annotation) if isinstance(one, str)]
    return texts + [text for one in get_args(annotation) if not isinstance(one, str) for text in literals(one)]
