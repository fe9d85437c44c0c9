// SPDX-License-Identifier: BSD-3-Clause
// One step of training: gradients of the mean squared error, and Adam's update of everything that is learned.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fit.cc"
#include <hwy/foreach_target.h> // must come before highway.h

#include "amgsrn_kernels.h"

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#ifndef AMGSRN_FIT_TYPES_ // this file is included once per instruction set
#define AMGSRN_FIT_TYPES_
namespace amgsrn
{

// Adam's numbers for one step.
struct AdamStep
{
  float rate;  // the learning rate, corrected for the first moment's start from zero
  float scale; // of the square root of the second moment, corrected likewise
  float beta1, beta2, epsilon;
};

} // namespace amgsrn
#endif

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{
namespace hn = hwy::HWY_NAMESPACE;

// Updates `count` numbers that begin at `first`, and sets their gradients to zero (Kingma and Ba, "Adam: a
// method for stochastic optimization", algorithm 1, with the corrections as PyTorch orders them).
void UpdateRow(
  const amgsrn_learned& learned, const std::int64_t first, const std::int64_t count, const AdamStep& step)
{
  const hn::CappedTag<float, 16> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V beta1 = hn::Set(d, step.beta1), rest1 = hn::Set(d, 1.0f - step.beta1);
  const V beta2 = hn::Set(d, step.beta2), rest2 = hn::Set(d, 1.0f - step.beta2);
  const V rate = hn::Set(d, step.rate), scale = hn::Set(d, step.scale), epsilon = hn::Set(d, step.epsilon);
  std::int64_t i = first;
  for (; i + lanes <= first + count; i += lanes)
  {
    const V gradient = hn::LoadU(d, learned.gradients + i);
    const V mean = hn::MulAdd(beta1, hn::LoadU(d, learned.first_moments + i), hn::Mul(rest1, gradient));
    const V square = hn::MulAdd(
      beta2, hn::LoadU(d, learned.second_moments + i), hn::Mul(rest2, hn::Mul(gradient, gradient)));
    const V change = hn::Div(hn::Mul(rate, mean), hn::MulAdd(hn::Sqrt(square), scale, epsilon));
    hn::StoreU(hn::Sub(hn::LoadU(d, learned.values + i), change), d, learned.values + i);
    hn::StoreU(mean, d, learned.first_moments + i);
    hn::StoreU(square, d, learned.second_moments + i);
    hn::StoreU(hn::Zero(d), d, learned.gradients + i);
  }
  for (; i < first + count; ++i)
  {
    const float gradient = learned.gradients[i];
    float& mean = learned.first_moments[i];
    float& square = learned.second_moments[i];
    mean = step.beta1 * mean + (1.0f - step.beta1) * gradient;
    square = step.beta2 * square + (1.0f - step.beta2) * gradient * gradient;
    learned.values[i] -= step.rate * mean / (std::sqrt(square) * step.scale + step.epsilon);
    learned.gradients[i] = 0.0f;
  }
}

// Updates planes [first, end) of all grids, counted from the first grid's lowest z (without the ring). The
// ring of zeros stays zero; the gradients that it got mean nothing and are removed.
void UpdatePlanes(const amgsrn_network& net, const amgsrn_learned& features, const std::int64_t first,
  const std::int64_t end, const AdamStep& step)
{
  const std::int64_t row = static_cast<std::int64_t>(net.width) * net.channels;
  const std::int64_t padded_row = row + 2 * net.channels;
  const std::int64_t plane = padded_row * (net.height + 2);
  for (std::int64_t i = first; i < end; ++i)
  {
    const std::int64_t start = plane * (i / net.depth * (net.depth + 2) + i % net.depth + 1);
    for (std::int64_t y = 1; y <= net.height; ++y)
    {
      const std::int64_t inner = start + y * padded_row + net.channels;
      UpdateRow(features, inner, row, step);
      std::fill_n(features.gradients + inner - net.channels, net.channels, 0.0f);
      std::fill_n(features.gradients + inner + row, net.channels, 0.0f);
    }
    std::fill_n(features.gradients + start, padded_row, 0.0f);
    std::fill_n(features.gradients + start + plane - padded_row, padded_row, 0.0f);
    if (i % net.depth == 0)
    {
      std::fill_n(features.gradients + start - plane, plane, 0.0f);
    }
    if (i % net.depth == net.depth - 1)
    {
      std::fill_n(features.gradients + start + plane, plane, 0.0f);
    }
  }
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "parallel.h"
#include "placement.h"

#include <vector>

namespace amgsrn
{
HWY_EXPORT(UpdateRow);
HWY_EXPORT(UpdatePlanes);

namespace
{

// Numbers per thread at which starting one pays.
constexpr std::int64_t kNumbersPerThread = 1 << 17;

AdamStep MakeStep(const amgsrn_adam& adam, const float rate)
{
  AdamStep step;
  step.rate = static_cast<float>(rate / (1.0 - std::pow(adam.beta1, adam.step)));
  step.scale = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(adam.beta2, adam.step)));
  step.beta1 = static_cast<float>(adam.beta1);
  step.beta2 = static_cast<float>(adam.beta2);
  step.epsilon = static_cast<float>(adam.epsilon);
  return step;
}

void UpdateFeatures(
  const amgsrn_network& net, const amgsrn_learned& features, const AdamStep& step, const int threads)
{
  const std::int64_t planes = static_cast<std::int64_t>(net.grids) * net.depth;
  const std::int64_t per_plane = static_cast<std::int64_t>(net.width) * net.height * net.channels;
  const int team = TeamSize(threads, planes * per_plane, kNumbersPerThread);
  ParallelShares(team, planes,
    [&](int, const std::int64_t first, const std::int64_t end) {
      HWY_DYNAMIC_DISPATCH(UpdatePlanes)(net, features, first, end, step);
    });
}

} // namespace
} // namespace amgsrn

extern "C" int32_t amgsrn_fit_step(const amgsrn_fit* fit, const float* points, int64_t count,
  const float* targets, const amgsrn_adam* adam, double* mean_squared_error, int32_t fast, int32_t threads)
{
  using namespace amgsrn;
  const bool moving = adam->placement_rate > 0.0f;
  amgsrn_network network = fit->network;
  amgsrn_gradients gradients = {};
  std::vector<float> transforms, transform_slopes;
  try
  {
    transforms.resize(12 * static_cast<std::size_t>(network.grids));
    transform_slopes.assign(transforms.size(), 0.0f);
  }
  catch (const std::bad_alloc&)
  {
    return 1;
  }
  MakeTransforms(fit->placement, network.grids, transforms.data());
  network.transforms = transforms.data();
  network.features = fit->features.values;
  gradients.transforms = moving ? transform_slopes.data() : nullptr;
  gradients.features = fit->features.gradients;
  for (int layer = 0; layer < network.layers; ++layer)
  {
    network.weights[layer] = fit->weights[layer].values;
    network.biases[layer] = fit->biases[layer].values;
    gradients.weights[layer] = fit->weights[layer].gradients;
    gradients.biases[layer] = fit->biases[layer].gradients;
  }
  if (amgsrn_squared_error(&network, points, count, targets, &gradients, mean_squared_error, fast, threads))
  {
    return 1;
  }
  UpdateFeatures(network, fit->features, MakeStep(*adam, adam->feature_rate), threads);
  const AdamStep mlp_step = MakeStep(*adam, adam->mlp_rate);
  for (int layer = 0; layer < network.layers; ++layer)
  {
    HWY_DYNAMIC_DISPATCH(UpdateRow)(fit->weights[layer], 0, fit->weights[layer].count, mlp_step);
    if (fit->biases[layer].values)
    {
      HWY_DYNAMIC_DISPATCH(UpdateRow)(fit->biases[layer], 0, fit->biases[layer].count, mlp_step);
    }
  }
  if (moving)
  {
    AddPlacementSlopes(fit->placement, network.grids, transform_slopes.data());
    const AdamStep step = MakeStep(*adam, adam->placement_rate);
    for (const amgsrn_learned& learned : fit->placement.learned)
    {
      if (learned.values)
      {
        HWY_DYNAMIC_DISPATCH(UpdateRow)(learned, 0, learned.count, step);
      }
    }
  }
  return 0;
}
#endif
