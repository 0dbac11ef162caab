"""Recipes: a model from its data to its stamped files, in one command."""
