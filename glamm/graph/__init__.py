"""`glamm.graph`."""
