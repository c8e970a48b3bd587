"""Strings of chemistry: SMILES -> tokens -> RNN | Transformer -> property | molecule | product of a reaction.

Read in this order: ``text`` -> ``layers`` -> ``property``; then ``decoding`` -> ``language`` and ``translation``,
judged and drawn by ``evaluation``.
"""
