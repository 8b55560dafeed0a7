"""Tests of the worker without processes or sockets."""
