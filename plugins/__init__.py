"""`glamm.plugins`."""

if __name__ != "glamm.plugins":
    raise ImportError("import glamm.plugins, not plugins")
