"""The verbs, one module per noun. `cli.root` lists them; none is imported before it is asked for."""
