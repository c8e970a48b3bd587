"""Self-attention whose cost grows linearly with the sequence, in four ways, each in the place of the full one.

x [B, N, D] -> a few points, latents, projected keys or blocks that stand for all positions -> [B, N, D]

They serve encoders only: each mixes all positions at once, so a causal decoder refuses them. They pay from about 256
tokens on; a SMILES is shorter, a polymer, a peptide or a set of particles is not.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from molgraph.sequences.layers.attention import MultiHeadAttention, attend


class AttentionBlock(nn.Module):
    """MAB(X, Y) = LN(H + rFF(H)), H = LN(X + Multihead(X, Y, Y)) (Lee et al. 2019, eq. 6-7).

    Args:
        width: D.
        heads: attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, query: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return query [B, T, D] looks at memory [B, S, D] where mask [B, S] is True."""
        h = self.attention_norm(query + self.attention(query, memory, mask))
        return self.norm(h + self.feed_forward(h))


class InducedSetAttention(nn.Module):
    """Positions talk through m learned points (Set Transformer's ISAB, Lee et al. 2019, eq. 9): O(N m).

    ISAB(X) = MAB(X, MAB(I, X)); the outer MAB's residual and feed-forward are those of the encoder layer around it.
    Without positions it does not see the order: for sets of particles, points, reactants.

    Args:
        width: D.
        heads: attention heads.
        points: m.
    """

    def __init__(self, width: int, heads: int, points: int = 32) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.empty(1, points, width))
        nn.init.xavier_uniform_(self.points)
        self.gather, self.scatter = AttentionBlock(width, heads), MultiHeadAttention(width, heads)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return X [B, N, D] to [B, N, D]; mask [B, N] is True at real positions."""
        return self.scatter(x, *self.summarize(x, mask))

    def summarize(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return MAB(I, X), what the points have seen [B, m, D]; all real. With X in its place, ISAB is full."""
        return self.gather(self.points.expand(len(x), -1, -1), x, mask), None


class SeedAttention(nn.Module):
    """PMA(Z) = MAB(S, rFF(Z)): k learned seeds look at all positions (Lee et al. 2019, eq. 11).

    Args:
        width: D.
        heads: attention heads.
        seeds: k, vectors that come out.
    """

    def __init__(self, width: int, heads: int, seeds: int = 1) -> None:
        super().__init__()
        self.seeds = nn.Parameter(torch.empty(1, seeds, width))
        nn.init.xavier_uniform_(self.seeds)
        self.feed_forward = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.block = AttentionBlock(width, heads)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return X [B, N, D] to [B, k, D]; the order of the positions does not matter."""
        return self.block(self.seeds.expand(len(x), -1, -1), self.feed_forward(x), mask)

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the attention of each seed [B, H, k, N]."""
        return self.block.attention.weights(self.seeds.expand(len(x), -1, -1), self.feed_forward(x), mask)


class LinformerAttention(nn.Module):
    """Keys and values are projected from N positions to k (Wang et al. 2020, eq. 7): O(N k).

    Padded keys are set to zero before they are projected, so that padding changes nothing.

    Args:
        width: D.
        heads: attention heads.
        longest: positions that have a row in the projections.
        rank: k.
    """

    def __init__(self, width: int, heads: int, longest: int, rank: int = 32) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.keys = nn.Parameter(torch.randn(longest, rank) * rank**-0.5)
        self.values = nn.Parameter(torch.randn(longest, rank) * rank**-0.5)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return X [B, N, D] to [B, N, D]; mask [B, N] is True at real positions.

        Raises:
            ValueError: if N is longer than the projections.
        """
        length = x.shape[1]
        if length > len(self.keys):
            raise ValueError(f"{length} positions, and this linformer was made for {len(self.keys)}; raise `longest`")
        q, k, v = self.attention.split(x, x)
        if mask is not None:
            k, v = k * mask[:, None, :, None], v * mask[:, None, :, None]
        k, v = self.keys[:length].t().to(k.dtype) @ k, self.values[:length].t().to(v.dtype) @ v
        return self.attention.merge(attend(q, k, v))


class PerceiverAttention(nn.Module):
    """A few latent vectors read the input, think among themselves, and are read by each position: O(N m).

    Perceiver IO (Jaegle et al. 2022, section 3) with the input itself as the output query.

    Args:
        width: D.
        heads: attention heads.
        latents: m.
        thoughts: self-attention blocks among the latents.
    """

    def __init__(self, width: int, heads: int, latents: int = 32, thoughts: int = 2) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.empty(1, latents, width).normal_(std=0.02))
        self.read, self.write = AttentionBlock(width, heads), MultiHeadAttention(width, heads)
        self.think = nn.ModuleList(AttentionBlock(width, heads) for _ in range(thoughts))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return X [B, N, D] to [B, N, D]; mask [B, N] is True at real positions."""
        return self.write(x, *self.summarize(x, mask))

    def summarize(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the latents after reading and thinking [B, m, D]; all of them are real."""
        latents = self.read(self.latents.expand(len(x), -1, -1), x, mask)
        for block in self.think:
            latents = block(latents, latents)
        return latents, None


class BigBirdAttention(nn.Module):
    """Each block of positions looks at its neighbours, at the first blocks and at a few far ones (Zaheer et al. 2020).

    The blocks are gathered, not masked, so that the work is linear in N. The far blocks come from a golden-ratio
    sequence over the row's own length instead of a random generator: spread out, repeatable, unchanged by padding.

    Up to three blocks (96 positions with blocks of 32, more than most SMILES have) every block sees every other: that
    is full attention, at a higher price.

    Args:
        width: D.
        heads: attention heads.
        block: positions of a block.
        window: neighbouring blocks on each side.
        global_blocks: first blocks, that all see and that see all.
        far_blocks: scattered blocks that each block sees.
    """

    def __init__(
        self, width: int, heads: int, block: int = 32, window: int = 1, global_blocks: int = 1, far_blocks: int = 1
    ) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.block, self.window, self.global_blocks, self.far_blocks = block, window, global_blocks, far_blocks

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return X [B, N, D] to [B, N, D]; mask [B, N] is True at real positions."""
        batch, length, _ = x.shape
        mask = x.new_ones(batch, length, dtype=torch.bool) if mask is None else mask
        missing = -length % self.block
        x, mask = functional.pad(x, (0, 0, 0, missing)), functional.pad(mask, (0, missing))
        q, k, v = self.attention.split(x, x)
        near = self._in_blocks(q, k, v, mask)
        first = self.global_blocks * self.block
        everywhere = attend(q[:, :, :first], k, v, mask[:, None, None])
        return self.attention.merge(torch.cat([everywhere, near[:, :, first:]], dim=2))[:, :length]

    def _in_blocks(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Return block by block attention of q, k, v [B, H, N, d], N a multiple of the block."""
        blocks = mask.unflatten(1, (-1, self.block))  # [B, M, b]
        chosen, real = self.chosen_blocks(blocks.any(-1).sum(1), blocks.shape[1])  # [B, M, K]
        rows = torch.arange(len(mask), device=mask.device)[:, None, None]

        def gathered(x: Tensor) -> Tensor:
            x = x.unflatten(2, (-1, self.block)).transpose(1, 2)  # [B, M, H, b, d]
            return x[rows, chosen].transpose(2, 3).flatten(3, 4)  # [B, M, H, K b, d]

        seen = (blocks[rows, chosen] & real.unsqueeze(-1)).flatten(2)[:, :, None, None]
        queries = q.unflatten(2, (-1, self.block)).transpose(1, 2)
        return attend(queries, gathered(k), gathered(v), seen).transpose(1, 2).flatten(2, 3)

    def chosen_blocks(self, lengths: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return which blocks each block looks at.

        Args:
            lengths: real blocks of each row [B].
            count: M, blocks of the padded row.

        Returns:
            Block numbers [B, M, K] and whether each exists and stands there for the first time [B, M, K].
        """
        device = lengths.device
        own = torch.arange(count, device=device)[:, None]
        near = own + torch.arange(-self.window, self.window + 1, device=device)
        first = torch.arange(self.global_blocks, device=device).expand(count, -1)
        spread = (own * 0.618034 + torch.arange(1, self.far_blocks + 1, device=device) * 0.414214) % 1
        far = (spread * lengths[:, None, None]).long()
        fixed = torch.cat([first, near], dim=1).expand(len(lengths), -1, -1)
        chosen = torch.cat([fixed, far], dim=2)
        earlier = torch.ones(chosen.shape[2], chosen.shape[2], dtype=torch.bool, device=device).tril(-1)
        repeated = ((chosen.unsqueeze(-1) == chosen.unsqueeze(-2)) & earlier).any(-1)
        real = (chosen >= 0) & (chosen < lengths[:, None, None]) & ~repeated
        return chosen.clamp(0, count - 1), real
