"""`glamm.data`."""
