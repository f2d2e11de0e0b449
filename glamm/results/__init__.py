"""Numbers get their names back: tables, empirical Bayes, prediction, simulation and files of a fit."""
