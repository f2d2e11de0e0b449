"""`glamm.grammar`."""

if __name__ != "glamm.grammar":
    raise ImportError("import glamm.grammar, not grammar")
