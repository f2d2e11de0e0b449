"""Generalized linear latent and mixed models."""
