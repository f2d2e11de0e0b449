"""The built-in families, one module each, registered through entry points like anybody's."""
