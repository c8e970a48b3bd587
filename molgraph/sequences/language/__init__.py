"""Molecules written by a language model: corpus -> decoder -> samples, alone or for asked-for properties."""
