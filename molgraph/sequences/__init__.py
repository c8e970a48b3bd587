"""Strings of chemistry: SMILES -> tokens -> RNN | Transformer -> property | molecule | product of a reaction.

Read in this order: `tokenizer` -> `dataset` -> `rnn`, `transformer` (encoders) -> `predictor`; then `decoder` ->
`decode` -> `language`, `translation`.
"""
