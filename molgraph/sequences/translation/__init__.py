"""Sequence or graph to sequence: source -> encoder -> attention -> decoder -> ranked candidates."""
