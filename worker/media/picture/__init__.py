"""The program that reads pictures, started by path; see its `__main__`."""
