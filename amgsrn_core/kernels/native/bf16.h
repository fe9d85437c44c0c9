// SPDX-License-Identifier: BSD-3-Clause
// Weights of an MLP in bfloat16: pairs of neighbouring inputs, as the processor multiplies them.
#pragma once

#include "amgsrn_kernels.h"
#include "block.h"

#include <algorithm>
#include <cstring>

namespace amgsrn
{

// Whether this processor multiplies pairs of bfloat16.
inline bool HasBf16()
{
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

// [padded_rows][pairs]
struct Bf16Matrix
{
  int rows;
  int padded_rows; // a multiple of four, the rest being zeros
  int pairs;       // of columns; an odd last one is paired with zero
  AlignedArray<std::uint32_t> data;
};

struct Bf16Weights
{
  int count;
  Bf16Matrix weights[AMGSRN_MAX_LAYERS];   // [outputs][inputs]
  AlignedFloats biases[AMGSRN_MAX_LAYERS]; // [outputs, padded as the weights' rows], or null
};

// Whether `fast` inference works in bfloat16 here.
bool CanUseBf16();

// Rows of the largest array that inference needs; packed bfloat16 layers are padded by up to three.
inline std::size_t WidestRow(const amgsrn_network& net)
{
  return 4 + std::max(net.grids * net.channels, *std::max_element(net.outputs, net.outputs + net.layers));
}

// To nearest, ties to even, in the lower half.
inline std::uint32_t ToBf16(const float value)
{
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

// A matrix whose element (row, column) is data[row * row_stride + column * column_stride]. False when memory
// ran out.
inline bool MakeBf16Matrix(const float* data, const int rows, const int columns, const int row_stride,
  const int column_stride, Bf16Matrix& result)
{
  result.rows = rows;
  result.padded_rows = (rows + 3) / 4 * 4;
  result.pairs = (columns + 1) / 2;
  const std::size_t count = static_cast<std::size_t>(result.padded_rows) * result.pairs;
  result.data = Allocate<std::uint32_t>(count);
  if (!result.data)
  {
    return false;
  }
  std::memset(result.data.get(), 0, count * sizeof(std::uint32_t));
  for (int row = 0; row < rows; ++row)
  {
    std::uint32_t* const target = result.data.get() + static_cast<std::size_t>(row) * result.pairs;
    for (int column = 0; column < columns; ++column)
    {
      const std::uint32_t half = ToBf16(data[row * row_stride + column * column_stride]);
      target[column / 2] |= column % 2 ? half << 16 : half;
    }
  }
  return true;
}

// False when memory ran out.
inline bool MakeBf16Weights(const amgsrn_network& net, Bf16Weights& result)
{
  result.count = net.layers;
  int inputs = net.grids * net.channels;
  for (int i = 0; i < net.layers; ++i)
  {
    const int outputs = net.outputs[i];
    Bf16Matrix& matrix = result.weights[i];
    if (!MakeBf16Matrix(net.weights[i], outputs, inputs, inputs, 1, matrix))
    {
      return false;
    }
    if (net.biases[i])
    {
      result.biases[i] = AllocateFloats(matrix.padded_rows);
      if (!result.biases[i])
      {
        return false;
      }
      std::memset(result.biases[i].get(), 0, matrix.padded_rows * sizeof(float));
      std::memcpy(result.biases[i].get(), net.biases[i], outputs * sizeof(float));
    }
    inputs = outputs;
  }
  return true;
}

} // namespace amgsrn
