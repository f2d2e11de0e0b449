"""`glamm.results`."""
