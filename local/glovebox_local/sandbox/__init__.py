"""A HopX-compatible sandbox service on one machine: bubblewrap sandboxes behind HopX's HTTP API.

This file imports nothing: the spawner is a child process of this package that must stay small.
"""
