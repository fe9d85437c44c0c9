// SPDX-License-Identifier: BSD-3-Clause
// The CPU kernels' plain C interface, so that one library serves every Python that a ParaView may embed (it
// is loaded with ctypes). Array layouts are C order; points are (x, y, z) in [-1, 1]^3; all arrays are float.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C"
{
#endif

#define AMGSRN_MAX_LAYERS 8
#define AMGSRN_EXPORT __attribute__((visibility("default")))

  // A multi-grid network. Nothing is copied: the arrays must outlive the call.
  typedef struct
  {
    int32_t grids;                      // M
    int32_t channels;                   // C, features per node
    int32_t depth, height, width;       // nodes per grid along z, y, x; at least 2 each
    int32_t layers;                     // linear layers of the MLP, 1 to AMGSRN_MAX_LAYERS
    int32_t outputs[AMGSRN_MAX_LAYERS]; // of each layer; the first one's inputs are grids * channels
    const float* transforms;            // [M][3][4], from the domain into a grid's own [-1, 1]^3
    const float* features; // [M][depth + 2][height + 2][width + 2][C], with a ring of zeros around each grid
    const float* weights[AMGSRN_MAX_LAYERS]; // per layer [outputs][inputs]
    const float* biases[AMGSRN_MAX_LAYERS];  // per layer [outputs], or null
  } amgsrn_network;

  // Where gradients are added to, laid out as the network's arrays.
  typedef struct
  {
    float* transforms; // or null: not wanted
    float* features;   // the ring of zeros gets gradients too; they mean nothing
    float* weights[AMGSRN_MAX_LAYERS];
    float* biases[AMGSRN_MAX_LAYERS]; // null where the network has none
  } amgsrn_gradients;

  // Numbers that are learned, with what Adam keeps of them. `gradients` are zero between steps.
  typedef struct
  {
    float* values; // or null: there are none
    float* gradients;
    float* first_moments;
    float* second_moments;
    int64_t count;
  } amgsrn_learned;

  // How the transforms are learned: as free matrices [M][4][4], or as log-scales [M][3], quaternions [M][4]
  // (x, y, z, w) and translations [M][3].
  enum
  {
    AMGSRN_MATRICES = 0,
    AMGSRN_SCALE_ROTATION_TRANSLATION = 1
  };
  typedef struct
  {
    int32_t form;
    amgsrn_learned learned[3];
  } amgsrn_placement;

  // A network that is being trained. Of `network` only the sizes are used.
  typedef struct
  {
    amgsrn_network network;
    amgsrn_placement placement;
    amgsrn_learned features; // laid out as amgsrn_network.features
    amgsrn_learned weights[AMGSRN_MAX_LAYERS];
    amgsrn_learned biases[AMGSRN_MAX_LAYERS];
  } amgsrn_fit;

  // The optimiser's settings for one step.
  typedef struct
  {
    double beta1, beta2, epsilon;
    int64_t step; // counted from 1
    float feature_rate, mlp_rate;
    float placement_rate; // 0: the transforms are left alone
  } amgsrn_adam;

  // Version of this interface; the loader refuses a library that has another.
  AMGSRN_EXPORT int32_t amgsrn_interface_version(void);

  // Name of the instruction set in use, chosen when the library is first called.
  AMGSRN_EXPORT const char* amgsrn_instruction_set(void);

  // Whether `fast` inference computes in bfloat16 on this processor.
  AMGSRN_EXPORT int32_t amgsrn_has_bf16(void);

  // values[count][outputs of the last layer] of points[count][3]; ReLU between layers. With `fast`, the MLP
  // works in bfloat16 where the processor can (three significant digits), else all is float32. `threads` <=
  // 0: as many as there are cores. Returns 0, or 1 when memory ran out.
  AMGSRN_EXPORT int32_t amgsrn_infer(const amgsrn_network* network, const float* points, int64_t count,
    float* values, int32_t fast, int32_t threads);

  // Adds the gradients of a loss to `gradients`, given the loss's slope value_gradients[count][outputs of the
  // last layer] at points[count][3]. Memory does not grow with `count`; the result depends on `threads` in
  // the last bits only. With `fast`, factors in the inner layers and in all of the MLP's gradients are
  // bfloat16 where the processor can. Returns 0, or 1 when memory ran out.
  AMGSRN_EXPORT int32_t amgsrn_backward(const amgsrn_network* network, const float* points, int64_t count,
    const float* value_gradients, const amgsrn_gradients* gradients, int32_t fast, int32_t threads);

  // The same for the mean squared error of the values to targets[count][outputs of the last layer], which is
  // computed on the way: forward and backward in one pass.
  AMGSRN_EXPORT int32_t amgsrn_squared_error(const amgsrn_network* network, const float* points,
    int64_t count, const float* targets, const amgsrn_gradients* gradients, double* mean_squared_error,
    int32_t fast, int32_t threads);

  // One step of training: the mean squared error of the values at points[count][3] to targets[count][outputs
  // of the last layer], its gradients, and Adam's update. `fast`: see amgsrn_backward. Returns 0, or 1 when
  // memory ran out.
  AMGSRN_EXPORT int32_t amgsrn_fit_step(const amgsrn_fit* fit, const float* points, int64_t count,
    const float* targets, const amgsrn_adam* adam, double* mean_squared_error, int32_t fast, int32_t threads);

#define AMGSRN_MAX_VOLUME_CHANNELS 4

  // Values on the nodes of a volume, and how they are returned: as (value - low) * scale.
  typedef struct
  {
    const float* values;          // [depth][height][width][channels], not a number where missing
    int32_t depth, height, width; // nodes along z, y, x; at least 2 each
    int32_t channels;             // 1 to AMGSRN_MAX_VOLUME_CHANNELS
    double low, scale;
  } amgsrn_volume;

  // values[count][channels] at points[count][3], interpolated between the nodes, which lie on the faces of
  // [-1, 1]^3; not a number where one of the eight nodes around is missing.
  AMGSRN_EXPORT void amgsrn_sample_volume(
    const amgsrn_volume* volume, const float* points, int64_t count, float* values, int32_t threads);

  // A training batch: points[count][3] and the values there. The points are independent and equally likely
  // everywhere, and depend on nothing but (seed, step).
  AMGSRN_EXPORT void amgsrn_draw_uniform(const amgsrn_volume* volume, uint64_t seed, uint64_t step,
    int64_t count, float* points, float* values, int32_t threads);

  // The same with one random point in each cell of a lattice of (x, y, z) cells over the volume, at most one
  // cell per node. The order is that of bricks of 4 x 4 x 4 cells. If `snap` is not 0, each cell is a part of
  // the set of nodes, and the point is one of them.
  AMGSRN_EXPORT void amgsrn_draw_lattice(const amgsrn_volume* volume, const int64_t* lattice, int32_t snap,
    uint64_t seed, uint64_t step, float* points, float* values, int32_t threads);

  // Names of the instruction sets that the library holds and this processor has, separated by commas.
  AMGSRN_EXPORT const char* amgsrn_instruction_sets(void);

  // Restricts all functions to one of them, or to none (null): the best is used again. Returns 1 if there is
  // none of that name. No other function may be running; whatever else in the process uses the same copy of
  // Highway is restricted, too.
  AMGSRN_EXPORT int32_t amgsrn_use_instruction_set(const char* name);

  // Feature density[count] at points[count][3] of grids placed by transforms[grids][3][4]: the sum over grids
  // of |det| / (2 pi)^(3/2) exp(-1/2 sum over axes of t^20), t being the point in the grid's coordinates.
  AMGSRN_EXPORT void amgsrn_density(const float* transforms, int32_t grids, const float* points,
    int64_t count, float* density, int32_t threads);

  // The gradients[grids][3][4] of a loss, given its slopes[count] with respect to the density at the points.
  // Returns 0, or 1 when memory ran out.
  AMGSRN_EXPORT int32_t amgsrn_density_backward(const float* transforms, int32_t grids, const float* points,
    int64_t count, const float* slopes, float* gradients, int32_t threads);

  // The values[count][outputs] of amgsrn_infer and their gradients[count][outputs][3] with respect to the
  // points, per unit of x, y, z. Returns 0, or 1 when memory ran out.
  AMGSRN_EXPORT int32_t amgsrn_value_gradient(const amgsrn_network* network, const float* points,
    int64_t count, float* values, float* gradients, int32_t threads);

  // A volume cut into bricks, the x-th of bricks[0] along x, and so on; brick k = x + bricks[0] * (y +
  // bricks[1]
  // * z). Coordinates are normalized, of the volume. A brick's weight rises from 0 at its start to 1 at start
  // + width as 3 t^2 - 2 t^3, where that of the brick before it falls, and is the product over the axes.
  typedef struct
  {
    int32_t bricks[3];
    const double*
      starts[3];      // [bricks - 1] per axis, of all bricks but the first, ascending by at least `width`
    double widths[3]; // 0: the weight is a step
    const double* scales[3]; // [bricks] per axis: scale * coordinate + shift is the brick's own coordinate
    const double* shifts[3];
  } amgsrn_partition;

  // What a brick has: a network, whose values are scale * output + shift; a constant, `shift`, if `network`
  // is null; nothing, if `shift` is null, too.
  typedef struct
  {
    const amgsrn_network* network;
    const void* fast;   // of amgsrn_make_fast, or null: all in float32
    const float* scale; // [outputs], as is `shift`
    const float* shift;
  } amgsrn_brick;

  // What a network needs for `fast` inference in ensembles; null where that is float32, or memory ran out.
  AMGSRN_EXPORT void* amgsrn_make_fast(const amgsrn_network* network);
  AMGSRN_EXPORT void amgsrn_free_fast(void* fast);

  // The weighted sums over bricks at points[count][3]: values[count][outputs], or, if that is null,
  // sums[count][outputs] in double precision, in which sums over parts of the bricks can be added in any
  // order without changing the result. All networks have `outputs` outputs. Memory is bounded: it grows with
  // the number of threads and of bricks, to some tens of MiB, or hundreds where eight bricks meet at most
  // points. The same bits with any number of threads. Returns 0, or 1 when
  // memory ran out.
  AMGSRN_EXPORT int32_t amgsrn_infer_ensemble(const amgsrn_partition* partition, const amgsrn_brick* bricks,
    int32_t outputs, const float* points, int64_t count, float* values, double* sums, int32_t threads);

  // The same in float32 with the gradients[count][outputs][3] per unit of x, y, z; or sums[count][outputs][4]
  // of value, and slopes along x, y, z.
  AMGSRN_EXPORT int32_t amgsrn_ensemble_value_gradient(const amgsrn_partition* partition,
    const amgsrn_brick* bricks, int32_t outputs, const float* points, int64_t count, float* values,
    float* gradients, double* sums, int32_t threads);

  // touched[bricks], 1 for each brick that takes part in the value of any of points[count][3], else 0.
  // Returns 0, or 1 when memory ran out.
  AMGSRN_EXPORT int32_t amgsrn_ensemble_touched(
    const amgsrn_partition* partition, const float* points, int64_t count, uint8_t* touched, int32_t threads);

#ifdef __cplusplus
}
#endif
