"""The built-in links, each registered through an entry point like anybody's."""
