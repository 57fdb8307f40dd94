"""How texts go through models that say tokens."""
