"""The built-in distributions of latent variables, registered through entry points like anybody's."""
