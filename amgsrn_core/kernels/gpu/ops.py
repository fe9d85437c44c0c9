# SPDX-License-Identifier: BSD-3-Clause
"""The kernels as operators of PyTorch, `torch.ops.amgsrn.*`, and the functions of `reference` made of them.

`precision` is how factors are rounded in the MLP's products: one of `launch.PRECISIONS`; None stands for
`launch.default_precision`. Sums are in float32.
"""

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import torch
from torch import Tensor

from .gradients import Shapes, SmallGradients, Wanted, zeros
from .launch import default_precision, dense, run_backward, run_density, run_density_backward, run_forward


class Evaluator:
    """A network ready for inference: the grids with channels next to each other, as the kernel reads them.

    Args:
        transforms: float32 (m, 4, 4).
        grids: float32, float16 or bfloat16 (m, c, d, h, w).
        weights: float32, per layer (out, in).
        biases: float32, per layer (out,), or None.
        precision: see above.
    """

    def __init__(
        self,
        transforms: Tensor,
        grids: Tensor,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor] | None = None,
        precision: str | None = None,
    ) -> None:
        features = grids.detach().contiguous(memory_format=torch.channels_last_3d)
        layers, shifts = [w.detach() for w in weights], [b.detach() for b in biases or ()]
        self._network = transforms.detach(), features, layers, shifts
        self._precision = precision or default_precision(grids.device)

    @torch.inference_mode()
    def __call__(self, points: Tensor, fast: bool = False) -> Tensor:
        """(n, 3) float32 on the network's device -> (n, outputs) in units of the value range; `fast` allows factors of
        the MLP's products to be rounded to half precision."""
        return _forward(points, *self._network, "fp16" if fast else self._precision)

    @torch.inference_mode()
    def value_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The values (n, outputs), and their derivatives (n, outputs, 3) per unit of x, y, z."""
        values = self(points)
        gradients = values.new_empty(*values.shape, 3)
        for output in range(values.shape[1]):
            slopes = torch.zeros_like(values)
            slopes[:, output] = 1.0
            wanted = list(astuple(Wanted(points=True, transforms=False, features=False, mlp=False)))
            gradients[:, output] = _backward(slopes, points, *self._network, self._precision, wanted)[0]
        return values, gradients


def forward(
    points: Tensor,
    transforms: Tensor,
    grids: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor] | None = None,
    precision: str | None = None,
) -> Tensor:
    """`reference.forward`, differentiable once in everything; tensors as `launch.can_run` and `launch.fits` want them."""
    return _forward(points, transforms, grids, weights, biases or (), precision or default_precision(points.device))


def mean_squared_error(
    points: Tensor,
    targets: Tensor,
    transforms: Tensor,
    grids: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor] | None = None,
    precision: str | None = None,
) -> Tensor:
    """`reference.mean_squared_error`, differentiable once in the parameters, whose gradients are computed with it."""
    biases = biases or ()
    mlp = any(t.requires_grad for t in (*weights, *biases))
    wanted = [w and torch.is_grad_enabled() for w in (transforms.requires_grad, grids.requires_grad, mlp)]
    precision = precision or default_precision(points.device)
    return _squared_error(points, targets, transforms, grids, weights, biases, precision, wanted)[0]


def density(points: Tensor, transforms: Tensor) -> Tensor:
    """`reference.density`, differentiable once in the transforms."""
    return _density(points, transforms)


@torch.library.custom_op("amgsrn::forward", mutates_args=())
def _forward(
    points: Tensor,
    transforms: Tensor,
    grids: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    precision: str,
) -> Tensor:
    values = points.new_empty(len(points), len(weights[-1]))
    run_forward(values, points, transforms, grids, weights, biases, precision)
    return values


@_forward.register_fake
def _(points, transforms, grids, weights, biases, precision):
    return points.new_empty(points.shape[0], weights[-1].shape[0])


@torch.library.custom_op("amgsrn::backward", mutates_args=())
def _backward(
    slopes: Tensor,
    points: Tensor,
    transforms: Tensor,
    grids: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    precision: str,
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the points, of the grids, and of the small parameters, see `gradients.zeros`; `wanted` are the
    entries of `gradients.Wanted`."""
    features, choice = dense(grids), Wanted(*wanted)
    results = zeros(choice, points, features, Shapes.of(transforms, weights, biases))
    run_backward(slopes, None, *results, choice, points, transforms, features, weights, biases, precision)
    return results


@_backward.register_fake
def _(slopes, points, transforms, grids, weights, biases, precision, wanted):
    return zeros(Wanted(*wanted), points, dense(grids), Shapes.of(transforms, weights, biases))


def _save_forward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    points, transforms, grids, weights, biases, ctx.precision = inputs
    ctx.layers = len(weights)
    ctx.save_for_backward(points, transforms, grids, *weights, *biases)


def _forward_slopes(ctx: Any, slopes: Tensor) -> tuple[Any, ...]:
    points, transforms, grids, *mlp = ctx.saved_tensors
    weights, biases = mlp[: ctx.layers], mlp[ctx.layers :]
    wants_points, wants_transforms, wants_features, wants_weights, wants_biases, _ = ctx.needs_input_grad
    wanted = Wanted(wants_points, wants_transforms, wants_features, any(wants_weights) or any(wants_biases))
    dpoints, dfeatures, small = _backward(
        slopes, points, transforms, grids, weights, biases, ctx.precision, list(astuple(wanted))
    )
    parts = SmallGradients.parts_of(small, Shapes.of(transforms, weights, biases), wanted)
    return (
        dpoints if wanted.points else None,
        parts.transforms,
        dfeatures.to(grids.dtype) if wanted.features else None,
        parts.weights,
        parts.biases,
        None,
    )


_forward.register_autograd(_forward_slopes, setup_context=_save_forward)


@torch.library.custom_op("amgsrn::squared_error", mutates_args=())
def _squared_error(
    points: Tensor,
    targets: Tensor,
    transforms: Tensor,
    grids: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    precision: str,
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """The mean squared error, and its gradients of the grids and of the small parameters as `_backward` returns them."""
    features, choice = dense(grids), Wanted(False, *wanted)
    results = zeros(choice, points, features, Shapes.of(transforms, weights, biases))
    loss = points.new_zeros(())
    run_backward(targets, loss, *results, choice, points, transforms, features, weights, biases, precision)
    return loss, *results[1:]


@_squared_error.register_fake
def _(points, targets, transforms, grids, weights, biases, precision, wanted):
    results = zeros(Wanted(False, *wanted), points, dense(grids), Shapes.of(transforms, weights, biases))
    return points.new_zeros(()), *results[1:]


def _save_squared_error(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, _, transforms, grids, weights, biases, _, wanted = inputs
    ctx.shapes, ctx.wanted, ctx.dtype = Shapes.of(transforms, weights, biases), Wanted(False, *wanted), grids.dtype
    # The gradients that the operator returns are used here alone; zeros for theirs would be as large as they are.
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*output[1:])


def _squared_error_slopes(ctx: Any, slope: Tensor, *unused: None) -> tuple[Any, ...]:
    dfeatures, small = ctx.saved_tensors
    parts = SmallGradients.parts_of(slope * small, ctx.shapes, ctx.wanted)
    scaled = (slope * dfeatures).to(ctx.dtype) if ctx.wanted.features else None
    return None, None, parts.transforms, scaled, parts.weights, parts.biases, None, None


_squared_error.register_autograd(_squared_error_slopes, setup_context=_save_squared_error)


@torch.library.custom_op("amgsrn::density", mutates_args=())
def _density(points: Tensor, transforms: Tensor) -> Tensor:
    densities = points.new_empty(len(points))
    run_density(densities, points, transforms)
    return densities


@_density.register_fake
def _(points, transforms):
    return points.new_empty(points.shape[0])


@torch.library.custom_op("amgsrn::density_backward", mutates_args=())
def _density_backward(slopes: Tensor, points: Tensor, transforms: Tensor) -> Tensor:
    dtransforms = transforms.new_zeros(transforms.shape)
    run_density_backward(dtransforms, slopes, points, transforms)
    return dtransforms


@_density_backward.register_fake
def _(slopes, points, transforms):
    return transforms.new_zeros(transforms.shape)


def _save_density(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _density_slopes(ctx: Any, slopes: Tensor) -> tuple[None, Tensor]:
    return None, _density_backward(slopes, *ctx.saved_tensors)


_density.register_autograd(_density_slopes, setup_context=_save_density)
