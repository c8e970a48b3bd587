"""Tokens to vectors, and back: token batch -> recurrent | attention encoder -> memory -> decoder -> logits."""
