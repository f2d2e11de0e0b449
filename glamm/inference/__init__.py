"""`glamm.inference`."""
