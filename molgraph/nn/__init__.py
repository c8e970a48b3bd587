"""Layers: tensors in, tensors out; no files, no chemistry, no configuration."""
