"""What to watch in an adversarial game, and three ways in which it goes wrong, each told once with its evidence."""

import warnings
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

WINDOW = 100  # rounds that are looked at together
KEPT = 10  # windows that are looked back at
CELLS, ROWS_PER_CELL = 32, 10
THIN = 0.1  # share of its due below which a cell is lost
LOST, REGAINED = 0.05, 0.02  # mass in lost cells that is a collapse, and that is a recovery
WON, DISJOINT = 0.98, 0.95  # accuracy, and share of log 2 that the JS estimate has, of a discriminator that wins
MOVED = 2.0  # how often all the mass changes cells in KEPT windows where the game goes round
SHOWN = 6  # cells named in a message


class Recorder(nn.Module):
    """Counts generated samples in the Voronoi cells of held-out data, and hears what the discriminator says.

    held: rows [m, *event], scaled, whose k-means cells are counted in: 32, or fewer where there are few rows. names: of
    each row's place, in words; a cell has that of the row nearest to its centre. ceiling: what the discriminator's
    estimate tends to where it tells all events apart (log 2 for JS), None where that is as it should be (W1). steps: of
    the discriminator in a round.

    In windows of 100 rounds, coverage is the share of held-out rows in cells that generated samples visit at least a
    tenth as often as held-out rows do. Warned of, once each: *collapse*, cells that hold 5% of the rows or more lost
    in most of ten windows, and not regained; a discriminator that *wins outright*, right on 98% of events while its
    estimate is within 5% of the ceiling, for ten windows; *oscillation*, twice the whole mass moved between cells, to
    and fro, in ten windows. All that it keeps are buffers: a resumed run goes on counting, and warns of nothing twice.

    >>> recorder = Recorder(torch.tensor([[0.0], [5.0]]).repeat(40, 1), ["zero", "five"] * 40, cells=2)
    >>> recorder.see(torch.zeros(8, 1), step=99)["coverage"]
    0.5
    >>> sorted(recorder.lost())
    ['five']
    """

    centres: Tensor  # [k, d]
    due: Tensor  # [k], shares of the held-out rows
    counts: Tensor  # [k], generated samples of this window
    shares: Tensor  # [KEPT, k], of the windows before, the last one last
    heard: Tensor  # [KEPT, 2], accuracy and estimate
    sums: Tensor  # [2], of accuracy and estimate, of this window
    windows: Tensor  # how many there were
    warned: Tensor  # [3], of collapse, of a win, of oscillation

    def __init__(
        self,
        held: Float[Tensor, "m *event"],
        names: Sequence[str],
        *,
        ceiling: float | None = None,
        steps: int = 1,
        cells: int = CELLS,
        seed: int = 0,
    ) -> None:
        from sklearn.cluster import KMeans  # a second to import

        super().__init__()
        flat = held.flatten(1).cpu()
        count = max(1, min(cells, len(flat) // ROWS_PER_CELL))
        found = KMeans(count, n_init=1, random_state=seed & 0x7FFF_FFFF).fit(flat.numpy())
        centres = torch.from_numpy(found.cluster_centers_).to(flat)
        cell = torch.from_numpy(found.labels_).long()
        self.names = [names[int(row)] for row in torch.cdist(centres, flat).argmin(1)]
        self.ceiling, self.steps = ceiling, steps
        self.register_buffer("centres", centres)
        self.register_buffer("due", torch.bincount(cell, minlength=count) / len(flat))
        self.register_buffer("counts", torch.zeros(count))
        self.register_buffer("shares", torch.zeros(KEPT, count))
        self.register_buffer("heard", torch.zeros(KEPT, 2))
        self.register_buffer("sums", torch.zeros(2))
        self.register_buffer("windows", torch.zeros((), dtype=torch.int64))
        self.register_buffer("warned", torch.zeros(3, dtype=torch.bool))

    # -- what it is told -----------------------------------------------------------------------------------

    @torch.no_grad()
    def hear(self, accuracy: Tensor, estimate: Tensor) -> None:
        """A step of the discriminator."""
        self.sums += torch.stack([accuracy, estimate])

    @torch.no_grad()
    def see(self, made: Float[Tensor, "n *event"], step: int) -> dict[str, Tensor | float]:
        """Generated events, scaled; at the end of a window the coverage, else nothing."""
        cell = torch.cdist(made.flatten(1).float(), self.centres).argmin(1)
        self.counts += torch.bincount(cell, minlength=len(self.counts))
        if (step + 1) % WINDOW:
            return {}
        self.shares.copy_(torch.cat([self.shares[1:], (self.counts / self.counts.sum())[None]]))
        self.heard.copy_(torch.cat([self.heard[1:], (self.sums / (WINDOW * self.steps))[None]]))
        self.counts.zero_()
        self.sums.zero_()
        self.windows += 1
        if int(self.windows) >= KEPT:
            self._diagnose(step + 1)
        return {"coverage": 1.0 - self._lost_mass(self.shares[-1])}

    def conclude(self) -> None:
        """At the end of training: warn of what is lost now, unless that was told before."""
        if int(self.windows) and self._lost_mass(self.shares[-1]) >= LOST:
            self._warn(0, self._collapse(self._thin(self.shares[-1]), "at the end of training"))

    def lost(self) -> list[str]:
        """The places of the cells that were lost in the last window."""
        return self._named(self._thin(self.shares[-1]))

    # -- what it makes of it -------------------------------------------------------------------------------

    def _thin(self, shares: Tensor) -> Tensor:
        return shares < THIN * self.due

    def _lost_mass(self, shares: Tensor) -> float:
        return float(self.due[self._thin(shares)].sum())

    def _diagnose(self, step: int) -> None:
        rounds = KEPT * WINDOW
        since = f"at step {step:,}, over {rounds:,} rounds"
        lost = self._thin(self.shares).float().mean(0) > 0.5
        regained = self._lost_mass(self.shares[0]) - self._lost_mass(self.shares[-1])
        if float(self.due[lost].sum()) >= LOST and regained < REGAINED:
            self._warn(0, self._collapse(lost, since))
        accuracy, estimate = self.heard.amin(0).tolist()
        if self.ceiling is not None and accuracy >= WON and estimate >= DISJOINT * self.ceiling:
            self._warn(
                1,
                f"the discriminator wins outright ({since}): it is right on {accuracy:.1%} of events, and its estimate "
                f"of the JS divergence is {estimate / self.ceiling:.1%} of log 2, where it is flat and teaches the "
                "generator nothing; take WassersteinGAN, or a stronger penalty",
            )
        moved = 0.5 * float(self.shares.diff(dim=0).abs().sum())
        if moved >= MOVED:
            self._warn(
                2,
                f"oscillation ({since}): the generator moved {moved:.1f} times its whole mass between {len(self.due)} "
                "cells of the data, to and fro; lower the learning rate, or take a stronger penalty",
            )

    def _collapse(self, lost: Tensor, when: str) -> str:
        named = self._named(lost)
        more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
        return (
            f"collapse ({when}): {len(named)} of {len(self.due)} cells of the data, which hold "
            f"{float(self.due[lost].sum()):.1%} of the held-out rows, are drawn less than a tenth as often: around "
            f"{', '.join(named[:SHOWN])}{more}"
        )

    def _named(self, cells: Tensor) -> list[str]:
        """The places of cells, those that hold most first."""
        found = cells.nonzero().flatten()
        ordered = found[self.due[found].argsort(descending=True, stable=True)]
        return list(dict.fromkeys(self.names[i] for i in ordered.tolist()))

    def _warn(self, kind: int, text: str) -> None:
        if not bool(self.warned[kind]):
            self.warned[kind] = True
            warnings.warn(text, stacklevel=2)
