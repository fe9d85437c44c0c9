# SPDX-License-Identifier: BSD-3-Clause
"""The GPU kernels, in Triton: NVIDIA and AMD, no compiler of a vendor needed on the user's machine.

A program works on a block of points and keeps everything about them on the chip: nothing per point and grid is written
to memory, forward or backward. Tiles have points along their last axis, so that the threads of a warp look at
neighbouring points of the same grid.

    availability.py   whether Triton works here; may be imported without Triton, as the others may not
    interpolation.py  points into grids, features out of them          mlp.py      products with the MLP's layers
    forward.py        the kernel of the whole network                  backward.py its gradients, and the fused loss
    density.py        the feature density and its gradient             launch.py   tensors to arguments of the kernels
    gradients.py      memory for gradients
    batched.py        gradients and Adam of many networks             batched_fit.py  a training step of all of them
    ensemble.py       values of many networks, each at its points     entries.py   which bricks take part where
    ensemble_evaluator.py  points sorted by brick, values put together
    ops.py            what PyTorch sees: custom operators `amgsrn::*`, with the signatures of `reference`
"""
