"""Tests of the worker as a process: real Redis, real files, the real engine on the sandbox."""
