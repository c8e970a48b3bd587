"""Configuration to encoder and decoder: one ``shape`` node describes both, recurrent when it names a cell.

{"cell": "gru", ...} -> RecurrentShape -> RecurrentEncoder, RecurrentDecoder
{"heads": 8, ...} -> TransformerShape -> TransformerEncoder, TransformerDecoder
"""

from dataclasses import fields
from typing import Any, Protocol

from molgraph.sequences.layers.decoder import Decoder, RecurrentDecoder
from molgraph.sequences.layers.rnn import RecurrentEncoder, RecurrentShape
from molgraph.sequences.layers.transformer import LONGEST, TransformerEncoder, TransformerShape
from molgraph.sequences.layers.transformer_decoder import TransformerDecoder
from molgraph.sequences.text.batch import Memory

Shape = RecurrentShape | TransformerShape


class Encoder(Protocol):
    """What reads a source for a decoder or a pooling: tokens here, but a graph encoder fits as well."""

    width: int
    """Size of the states."""

    def __call__(self, source: Any) -> Memory:
        """Return the source to its memory."""
        ...


def make_shape(values: dict[str, Any]) -> Shape:
    """Return the shape that a configuration node describes.

    Raises:
        ValueError: if a key is unknown.
    """
    kind: type[Shape] = RecurrentShape if "cell" in values else TransformerShape
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"model.shape does not take {', '.join(unknown)}; a {kind.__name__} takes {', '.join(known)}")
    return kind(**values)


def decoder_shape(model: dict[str, Any]) -> Shape:
    """Return the shape of the decoder that a ``model`` node describes.

    Raises:
        ValueError: if it describes none, as that of a property predictor.
    """
    if "shape" not in model:
        raise ValueError(
            f"this model ({', '.join(model)}) has no shape and cannot write; "
            "use model=rnn, lstm, gru, transformer, or graph_to_smiles to translate graphs"
        )
    return make_shape(model["shape"])


def make_encoder(shape: Shape, tokens: int, longest: int = LONGEST) -> RecurrentEncoder | TransformerEncoder:
    """Return the encoder of a shape for a vocabulary of that many tokens."""
    if isinstance(shape, RecurrentShape):
        return RecurrentEncoder(shape, tokens)
    return TransformerEncoder(shape, tokens, longest)


def make_decoder(shape: Shape, tokens: int, memory: int = 0, condition: int = 0, longest: int = LONGEST) -> Decoder:
    """Return the decoder of a shape.

    Args:
        shape: sizes and kinds.
        tokens: V, the size of the vocabulary.
        memory: width of the encoder's states; 0 without a source.
        condition: number of asked-for values; 0 for none.
        longest: positions at most.
    """
    if isinstance(shape, RecurrentShape):
        return RecurrentDecoder(shape, tokens, memory, condition)
    return TransformerDecoder(shape, tokens, memory, condition, longest)
