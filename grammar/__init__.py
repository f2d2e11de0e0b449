"""The model language: text to syntax tree and back."""

if __name__ != "glamm.grammar":
    raise ImportError("import glamm.grammar, not grammar")

from glamm.grammar.parse import parse, parse_expression
from glamm.grammar.unparse import unparse

__all__ = ["parse", "parse_expression", "unparse"]
