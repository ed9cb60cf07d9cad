"""Declared facts as frozen values: recipes, targets, published tables; every error names file and key path."""
