"""The live monitor, and what every full-screen view stands on: the model of the server, kept up to date, and the application.

textual is imported here and in `cli.menu` only, and only once one of them is started.
"""
