"""The policy pack; `__main__.py` starts it, `rules/` holds what it enforces."""
