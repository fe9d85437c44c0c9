# SPDX-License-Identifier: BSD-3-Clause
"""Training many networks of one architecture at once, as many as a GPU needs to be busy: a step is one pass over the
batches of all of them, and one update of everything that is learned.

The parameters of all networks are one tensor, a row for each, of which the networks' own become views. `BatchedFit` is
the readable twin, on any device; `gpu.batched_fit.GpuBatchedFit` does the same in two launches. Each network learns
exactly what it would learn alone, see `fitting.TorchFit`.

Shapes: b networks, p numbers per row. The order in a row is grids, MLP, placement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from . import dispatch
from .fitting import AdamSettings, Learned, Loss, Rates
from .placement import transforms_of

# Parts of a row, and rows, begin at multiples of so many numbers: 64 bytes, which kernels can count on.
_ALIGNMENT = 16
# What has a learning rate of its own, see `Rates`.
FEATURES, MLP, PLACEMENT = range(3)


@dataclass(frozen=True)
class Part:
    """Where one parameter of every network is.

    Attributes:
        start: of its numbers in a row.
        shape: of the parameter of one network.
        group: FEATURES, MLP or PLACEMENT.
    """

    start: int
    shape: torch.Size
    group: int

    def of(self, rows: torch.Tensor) -> torch.Tensor:
        """A view (b, *shape) of rows (b, p)."""
        return rows[:, self.start : self.start + self.shape.numel()].view(len(rows), *self.shape)


class Stack:
    """The parameters of several networks in one tensor; theirs become views of it.

    Attributes:
        form: how transforms are learned, 'matrix' or 'srt'.
        parts: by parameter, in the order of `Learned.all`.
        layers: number of the MLP's layers.
        values: (b, p), what is learned.
        ends: where features, and where features and MLP end in a row.

    Raises:
        ValueError: the networks differ in architecture, device or type, or there is none.
    """

    def __init__(self, networks: Sequence[Learned]) -> None:
        if len({_architecture(network) for network in networks}) != 1:
            raise ValueError(f"not networks of one architecture: {[_architecture(n)[:2] for n in networks]}")
        first = networks[0]
        self.form, self.layers = first.form, len(first.weights)
        groups = [FEATURES, *[MLP] * len(first.mlp()), *[PLACEMENT] * len(first.placement)]
        self.parts: list[Part] = []
        start, ends = 0, [0, 0, 0]
        for parameter, group in zip(first.all(), groups, strict=True):
            self.parts.append(Part(start, parameter.shape, group))
            start += -(-parameter.numel() // _ALIGNMENT) * _ALIGNMENT
            ends[group] = start
        self.ends = (ends[FEATURES], ends[MLP])
        self.values = first.grids.new_zeros(len(networks), start, requires_grad=False)
        for row, network in enumerate(networks):
            for part, parameter in zip(self.parts, network.all(), strict=True):
                view = part.of(self.values)[row]
                view.copy_(parameter.detach())
                parameter.data = view

    def of_group(self, group: int, rows: torch.Tensor) -> list[torch.Tensor]:
        """Views (b, *shape) of the parts of a group."""
        return [part.of(rows) for part in self.parts if part.group == group]

    def network(
        self, rows: torch.Tensor, row: int
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor] | None]:
        """Grids, weights and biases in one of the rows (b, p), as `reference.forward` takes them."""
        mlp = [each[row] for each in self.of_group(MLP, rows)]
        return self.of_group(FEATURES, rows)[0][row], mlp[: self.layers], mlp[self.layers :] or None


class BatchedFit:
    """Several networks of one architecture that learn in lock step.

    Args:
        networks: what is learned; the parameters get other memory, now, and must keep it.
        adam: settings.
        loss: `mean_squared_error` of a back end.
    """

    def __init__(self, networks: Sequence[Learned], adam: AdamSettings, loss: Loss) -> None:
        self.stack = Stack(networks)
        self._settings, self._loss = adam, loss
        values = self.stack.values
        self._gradients, self._first, self._second = (torch.zeros_like(values) for _ in range(3))
        self._places = {
            id(parameter): (row, i) for row, network in enumerate(networks) for i, parameter in enumerate(network.all())
        }
        self._networks = networks  # keeps the parameters, and so their ids
        # A count per parameter: each is stored, and may be restored, by itself.
        self._steps = torch.zeros(len(networks), len(self.stack.parts))
        self._frozen: set[int] = set()

    @property
    def frozen(self) -> frozenset[int]:
        """Rows of the networks that have finished."""
        return frozenset(self._frozen)

    def freeze(self, row: int) -> None:
        """A network has finished: nothing of it changes from now on."""
        self._frozen.add(row)

    def moments(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        """Adam's state of a parameter, as `FitState.moments`."""
        row, i = self._places[id(parameter)]
        part = self.stack.parts[i]
        found = {"exp_avg": part.of(self._first)[row], "exp_avg_sq": part.of(self._second)[row]}
        return {**found, "step": self._steps[row, i]}

    def step(
        self,
        points: torch.Tensor,
        targets: torch.Tensor,
        rates: Sequence[Rates],
        counts: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Learn from a batch each.

        Args:
            points: (b, n, 3).
            targets: (b, n, outputs), in units of the value range.
            rates: learning rates of each network.
            counts: how many points of each row count, the first ones; all by default. A network without points rests.

        Returns:
            The mean squared errors before the step (b,), without gradient; NaN of networks that are frozen or rest.
        """
        sizes = [points.shape[1]] * len(points) if counts is None else list(counts)
        for row in self._frozen:
            sizes[row] = 0
        moves = any(rate.placement > 0 for rate, size in zip(rates, sizes, strict=True) if size)
        learned = [each.flatten(0, 1).requires_grad_(moves) for each in self._placement()]
        matrices = transforms_of(self.stack.form, learned)
        stacked = matrices.detach().view(len(sizes), -1, 4, 4)
        losses, slopes = self._accumulate(points, targets, stacked, sizes, moves)
        if moves:
            found = torch.autograd.grad(matrices, learned, slopes.flatten(0, 1))
            for part, gradient in zip(self.stack.of_group(PLACEMENT, self._gradients), found, strict=True):
                part.copy_(gradient.view(part.shape))
        self._update(self._factors(rates, sizes))
        return losses

    def _placement(self) -> list[torch.Tensor]:
        return self.stack.of_group(PLACEMENT, self.stack.values)

    def _factors(self, rates: Sequence[Rates], sizes: Sequence[int]) -> torch.Tensor:
        """What Adam multiplies with, per network and group, float64 (b, 3, 2) on the CPU: the rate over the first
        moment's bias, 0 where nothing is to change, and the root of the second moment's bias.

        Counts the step.
        """
        beta1, beta2 = self._settings.betas
        groups = [part.group for part in self.stack.parts]
        factors = torch.zeros(len(sizes), 3, 2, dtype=torch.float64)
        for row, (rate, size) in enumerate(zip(rates, sizes, strict=True)):
            for group, value in enumerate((rate.features, rate.mlp, rate.placement)):
                if not size or value == 0:
                    continue
                mine = [i for i, other in enumerate(groups) if other == group]
                self._steps[row, mine] += 1
                step = int(self._steps[row, mine[0]])
                factors[row, group, 0] = value / (1.0 - beta1**step)
                factors[row, group, 1] = math.sqrt(1.0 - beta2**step)
        return factors

    def _accumulate(
        self,
        points: torch.Tensor,
        targets: torch.Tensor,
        transforms: torch.Tensor,
        sizes: Sequence[int],
        moves: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Losses (b,) and, if the grids move, their gradients by the transforms (b, m, 4, 4); adds those of grids and MLP
        to the gradients."""
        losses, slopes = points.new_full((len(sizes),), math.nan), torch.zeros_like(transforms)
        for row, size in enumerate(sizes):
            if not size:
                continue
            matrices = transforms[row].detach().requires_grad_(moves)
            grids, weights, biases = self.stack.network(self.stack.values, row)
            network = [t.detach().requires_grad_() for t in (grids, *weights, *(biases or ()))]
            mlp = network[1:]
            shifts = None if biases is None else mlp[len(weights) :]
            batch = points[row, :size], targets[row, :size]
            loss = self._loss(*batch, matrices, network[0], mlp[: len(weights)], shifts)
            wanted = [*network, matrices] if moves else network
            found = torch.autograd.grad(loss, wanted)
            losses[row] = loss.detach()
            if moves:
                slopes[row] = found[-1]
            into = self.stack.network(self._gradients, row)
            for gradient, value in zip((into[0], *into[1], *(into[2] or ())), found, strict=False):
                gradient.add_(value)
        return losses, slopes

    def _update(self, factors: torch.Tensor) -> None:
        """Adam's step from the gradients, which are zero afterwards; `factors` as of `_factors`."""
        beta1, beta2 = self._settings.betas
        bounds = (0, *self.stack.ends, self.stack.values.shape[1])
        scales = factors.to(self.stack.values)
        for group in range(3):
            span = slice(bounds[group], bounds[group + 1])
            rows = [row for row in range(len(factors)) if factors[row, group, 0] > 0]
            if not rows:
                continue
            gradient = self._gradients[rows, span]
            first = self._first[rows, span] * beta1 + gradient * (1.0 - beta1)
            second = self._second[rows, span] * beta2 + gradient.square() * (1.0 - beta2)
            rate, bias = scales[rows, group].unsqueeze(2).unbind(1)
            self._first[rows, span], self._second[rows, span] = first, second
            self.stack.values[rows, span] -= rate * first / (second.sqrt() / bias + self._settings.eps)
        self._gradients.zero_()


def batched_fit_state(networks: Sequence[Learned], adam: AdamSettings | None = None) -> BatchedFit:
    """What trains several networks of one architecture, step by step; their parameters are changed in place, and get other
    memory now.

    Raises:
        ValueError: the networks differ in architecture, device or type.
        KernelsUnavailable: see `dispatch.evaluator`.
    """
    settings = adam or AdamSettings()
    first = networks[0]
    if dispatch.chosen_backend(first.grids.device.type)[0] == "triton":
        from .gpu import batched_fit, launch

        if launch.can_run(first.grids, first.grids, *first.all()) and launch.fits(first.weights):
            return batched_fit.GpuBatchedFit(networks, settings, dispatch.mean_squared_error)
    return BatchedFit(networks, settings, dispatch.mean_squared_error)


def _architecture(network: Learned) -> tuple[object, ...]:
    shapes = tuple(tuple(parameter.shape) for parameter in network.all())
    return network.form, shapes, network.biases is None, network.grids.device, network.grids.dtype
