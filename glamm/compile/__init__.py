"""`glamm.compile`."""
