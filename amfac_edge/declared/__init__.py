"""Declared facts as frozen values: recipes, targets, published tables. One reader, whose errors name file and key path."""
