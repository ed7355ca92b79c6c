"""Bytes on disk: whole files or none, and tensor files."""
