"""Makes what is wanted true: decide (pure), then act, again and again."""
