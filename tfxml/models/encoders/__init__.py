"""Encoders: what turns an instance into a dense vector."""
