"""Every shape that crosses a process boundary: pure values and functions over the standard library and msgspec."""
