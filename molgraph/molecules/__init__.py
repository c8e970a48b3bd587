"""Molecules: ``SMILES -> molecule graph -> graph network -> property``.

Read in this order: ``reading`` (what people wrote) -> ``graphs`` (what a network reads) -> ``models`` (what it says) ->
``experiment`` (learn it), ``report``, and the verbs ``predict``, ``evaluate`` and ``explain``.
"""
