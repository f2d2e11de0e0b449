"""`glamm.kernels`."""

if __name__ != "glamm.kernels":
    raise ImportError("import glamm.kernels, not kernels")
