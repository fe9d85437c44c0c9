// SPDX-License-Identifier: BSD-3-Clause
// Linear layers in bfloat16 with sums in float32, for processors that multiply pairs of bfloat16 (AVX-512
// BF16): twice the speed, three significant digits. Highway has no such target of its own in the version that
// Debian ships, so this part is written in intrinsics; everywhere else float32 does the work.
#if defined(AMGSRN_MLP_BF16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AMGSRN_MLP_BF16_INL_H_
#undef AMGSRN_MLP_BF16_INL_H_
#else
#define AMGSRN_MLP_BF16_INL_H_
#endif

#include "bf16.h"
#include "block.h"

#include <hwy/highway.h>

#include <type_traits>
#include <utility>

// Highway's namespaces say which instructions may be used; only AVX3 is the one that BF16 comes on top of.
// (Tried with GCC only: how Clang adds a function's target to that of its surroundings is another matter.)
#undef AMGSRN_TARGET_HAS_BF16
#if HWY_TARGET == HWY_AVX3 && HWY_ARCH_X86_64 && !HWY_COMPILER_CLANG
#define AMGSRN_TARGET_HAS_BF16 1
#else
#define AMGSRN_TARGET_HAS_BF16 0
#endif

#if AMGSRN_TARGET_HAS_BF16

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{

#define AMGSRN_BF16_FUNCTION __attribute__((target("avx512bf16")))

// Two rows of one vector of points as pairs of bfloat16, the first row in the lower half of each pair.
// Rounded to nearest (ties away from zero).
HWY_INLINE __m512i PackRows(const __m512 first, const __m512 second)
{
  const __m512i half = _mm512_set1_epi32(0x8000);
  const __m512i low = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(first), half), 16);
  const __m512i high = _mm512_add_epi32(_mm512_castps_si512(second), half);
  return _mm512_mask_blend_epi16(0xAAAAAAAAu, low, high);
}

// [rows][kBlock] floats -> [(rows + 1) / 2][kBlock] pairs; a missing last row is zero.
HWY_INLINE void PackBlock(const float* block, const int rows, std::uint32_t* pairs)
{
  for (int row = 0; row < rows; row += 2)
  {
    for (int offset = 0; offset < kBlock; offset += 16)
    {
      const __m512 first = _mm512_load_ps(block + row * kBlock + offset);
      const __m512 second =
        row + 1 < rows ? _mm512_load_ps(block + (row + 1) * kBlock + offset) : _mm512_setzero_ps();
      _mm512_store_si512(pairs + row / 2 * kBlock + offset, PackRows(first, second));
    }
  }
}

// A tile of a product: sums of Rows rows of `a` [rows][pairs], from `row` on, times Vectors vectors of `b`
// [pairs][stride], from `column` on; added to `sum`.
template <int Rows, int Vectors>
AMGSRN_BF16_FUNCTION inline void MultiplyTile(const std::uint32_t* a, const int row, const int pairs,
  const std::uint32_t* b, const int stride, const int column, __m512 sum[Rows][Vectors])
{
  const std::uint32_t* first = a + static_cast<std::size_t>(row) * pairs;
  for (int k = 0; k < pairs; ++k)
  {
    __m512bh in[Vectors];
    for (int v = 0; v < Vectors; ++v)
    {
      in[v] = (__m512bh)_mm512_load_si512(b + k * stride + column + 16 * v);
    }
    for (int r = 0; r < Rows; ++r)
    {
      const __m512bh weight = (__m512bh)_mm512_set1_epi32(static_cast<int>(first[r * pairs + k]));
      for (int v = 0; v < Vectors; ++v)
      {
        sum[r][v] = _mm512_dpbf16_ps(sum[r][v], weight, in[v]);
      }
    }
  }
}

// Rows [row, row + Rows) of a layer, all points of a block: W x + b.
template <int Rows>
AMGSRN_BF16_FUNCTION inline void LayerRows(
  const Bf16Matrix& weights, const float* bias, const int row, const std::uint32_t* x, __m512 sum[Rows][4])
{
  for (int r = 0; r < Rows; ++r)
  {
    for (int v = 0; v < 4; ++v)
    {
      sum[r][v] = _mm512_set1_ps(bias ? bias[row + r] : 0.0f);
    }
  }
  MultiplyTile<Rows, 4>(weights.data.get(), row, weights.pairs, x, kBlock, 0, sum);
}

// A hidden layer: x [pairs][kBlock] -> max(W x + b, 0) packed likewise, [padded rows / 2][kBlock].
AMGSRN_BF16_FUNCTION inline void Bf16Hidden(
  const Bf16Matrix& weights, const float* bias, const std::uint32_t* x, std::uint32_t* y)
{
  const __m512 zero = _mm512_setzero_ps();
  for (int row = 0; row < weights.padded_rows; row += 4)
  {
    __m512 sum[4][4];
    LayerRows<4>(weights, bias, row, x, sum);
    for (int r = 0; r < 4; r += 2)
    {
      for (int v = 0; v < 4; ++v)
      {
        const __m512i packed = PackRows(_mm512_max_ps(sum[r][v], zero), _mm512_max_ps(sum[r + 1][v], zero));
        _mm512_store_si512(y + (row + r) / 2 * kBlock + 16 * v, packed);
      }
    }
  }
}

// A layer's outputs as floats: x [pairs][kBlock] -> W x + b [rows][kBlock], or max(W x + b, 0).
template <bool kRelu>
AMGSRN_BF16_FUNCTION inline void Bf16Linear(
  const Bf16Matrix& weights, const float* bias, const std::uint32_t* x, float* y)
{
  const auto store = [](float* to, const __m512 sum)
  { _mm512_store_ps(to, kRelu ? _mm512_max_ps(sum, _mm512_setzero_ps()) : sum); };
  int row = 0;
  for (; row + 4 <= weights.rows; row += 4)
  {
    __m512 sum[4][4];
    LayerRows<4>(weights, bias, row, x, sum);
    for (int r = 0; r < 4; ++r)
    {
      for (int v = 0; v < 4; ++v)
      {
        store(y + (row + r) * kBlock + 16 * v, sum[r][v]);
      }
    }
  }
  for (; row < weights.rows; ++row)
  {
    __m512 sum[1][4];
    LayerRows<1>(weights, bias, row, x, sum);
    for (int v = 0; v < 4; ++v)
    {
      store(y + row * kBlock + 16 * v, sum[0][v]);
    }
  }
}

// A hidden layer in float32 with a packed result: x [inputs][kBlock] floats -> max(W x + b, 0) [padded rows /
// 2][kBlock].
HWY_INLINE void FloatHidden(const float* weights, const float* bias, const int outputs, const int inputs,
  const float* x, std::uint32_t* y)
{
  const __m512 zero = _mm512_setzero_ps();
  for (int row = 0; row < outputs; row += 4)
  {
    __m512 sum[4][4];
    const float* rows[4];
    for (int r = 0; r < 4; ++r)
    {
      const int existing = row + r < outputs ? row + r : 0; // any, of the padding
      rows[r] = weights + static_cast<std::size_t>(existing) * inputs;
      for (int v = 0; v < 4; ++v)
      {
        sum[r][v] = _mm512_set1_ps(bias ? bias[existing] : 0.0f);
      }
    }
    for (int k = 0; k < inputs; ++k)
    {
      __m512 in[4];
      for (int v = 0; v < 4; ++v)
      {
        in[v] = _mm512_load_ps(x + k * kBlock + 16 * v);
      }
      for (int r = 0; r < 4; ++r)
      {
        const __m512 weight = _mm512_set1_ps(rows[r][k]);
        for (int v = 0; v < 4; ++v)
        {
          sum[r][v] = _mm512_fmadd_ps(weight, in[v], sum[r][v]);
        }
      }
    }
    for (int r = 0; r < 4; r += 2)
    {
      for (int v = 0; v < 4; ++v)
      {
        const __m512 second = row + r + 1 < outputs ? _mm512_max_ps(sum[r + 1][v], zero) : zero;
        const __m512i packed = PackRows(_mm512_max_ps(sum[r][v], zero), second);
        _mm512_store_si512(y + (row + r) / 2 * kBlock + 16 * v, packed);
      }
    }
  }
}

// Features from which on their rounding errors average out; of fewer, the first layer stays float32, which
// costs little there.
constexpr int kManyFeatures = 32;

// All layers but the last: features [inputs][kBlock] -> its inputs, in place of the features. `x` and `y` are
// scratch for the packed activations of the widest layer. The last layer stays float32: it costs next to
// nothing.
AMGSRN_BF16_FUNCTION inline void Bf16HiddenLayers(
  const amgsrn_network& net, const Bf16Weights& layers, float* features, std::uint32_t* x, std::uint32_t* y)
{
  const int inputs = net.grids * net.channels, last_hidden = net.layers - 2;
  if (inputs < kManyFeatures)
  {
    FloatHidden(net.weights[0], net.biases[0], net.outputs[0], inputs, features, x);
  }
  else
  {
    PackBlock(features, inputs, y);
    Bf16Hidden(layers.weights[0], layers.biases[0].get(), y, x);
  }
  for (int layer = 1; layer < last_hidden; ++layer)
  {
    Bf16Hidden(layers.weights[layer], layers.biases[layer].get(), x, y);
    std::swap(x, y);
  }
  Bf16Linear<true>(layers.weights[last_hidden], layers.biases[last_hidden].get(), x, features);
}

// [rows][kBlock] floats -> pairs of neighbouring points, [rows][kBlock / 2].
AMGSRN_BF16_FUNCTION inline void PackPoints(const float* block, const int rows, std::uint32_t* pairs)
{
  for (int i = 0; i < rows * kBlock; i += 32)
  {
    const __m512 first = _mm512_load_ps(block + i), second = _mm512_load_ps(block + i + 16);
    _mm512_store_si512(pairs + i / 2, (__m512i)_mm512_cvtne2ps_pbh(second, first));
  }
}

// Sixteen rows of sixteen numbers each, `stride` apart, to columns.
HWY_INLINE void TransposeTile(
  const std::uint32_t* from, const int from_stride, std::uint32_t* to, const int to_stride)
{
  __m512i a[16], b[16];
  for (int i = 0; i < 16; ++i)
  {
    a[i] = _mm512_load_si512(from + i * from_stride);
  }
  // Numbers trade places within quadruples of rows, then quadruples of numbers among them.
  for (int i = 0; i < 16; i += 2)
  {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)
  {
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
  for (int i = 0; i < 4; ++i)
  {
    b[i] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0x88);
    b[i + 4] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0xdd);
    b[i + 8] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0x88);
    b[i + 12] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i)
  {
    _mm512_store_si512(to + i * to_stride, _mm512_shuffle_i32x4(b[i], b[i + 8], 0x88));
    _mm512_store_si512(to + (i + 4) * to_stride, _mm512_shuffle_i32x4(b[i + 4], b[i + 12], 0x88));
    _mm512_store_si512(to + (i + 8) * to_stride, _mm512_shuffle_i32x4(b[i], b[i + 8], 0xdd));
    _mm512_store_si512(to + (i + 12) * to_stride, _mm512_shuffle_i32x4(b[i + 4], b[i + 12], 0xdd));
  }
}

// Rows [row, row + Rows) of the gradient of a layer's weights.
template <int Rows>
AMGSRN_BF16_FUNCTION inline void Bf16GradientRows(const std::uint32_t* dy, const int row,
  const std::uint32_t* x, const int stride, const int inputs, float* gradient)
{
  const auto add = [&](auto vectors, const int column)
  {
    constexpr int kCount = decltype(vectors)::value;
    __m512 sum[Rows][kCount];
    for (int r = 0; r < Rows; ++r)
    {
      for (int v = 0; v < kCount; ++v)
      {
        sum[r][v] = _mm512_load_ps(gradient + (row + r) * stride + column + 16 * v);
      }
    }
    MultiplyTile<Rows, kCount>(dy, row, kBlock / 2, x, stride, column, sum);
    for (int r = 0; r < Rows; ++r)
    {
      for (int v = 0; v < kCount; ++v)
      {
        _mm512_store_ps(gradient + (row + r) * stride + column + 16 * v, sum[r][v]);
      }
    }
  };
  int column = 0;
  for (; column + 64 <= inputs; column += 64)
  {
    add(std::integral_constant<int, 4>(), column);
  }
  for (; column < inputs; column += 16)
  {
    add(std::integral_constant<int, 1>(), column);
  }
}

// gradient [outputs][stride] += dy [outputs][kBlock] times x [inputs][kBlock] transposed; stride is a
// multiple of 16. `scratch` is three arrays of pairs: [outputs][kBlock / 2], [stride][kBlock / 2], [kBlock /
// 2][stride].
AMGSRN_BF16_FUNCTION inline void Bf16WeightGradient(const float* dy, const int outputs, const float* x,
  const int inputs, const int stride, float* gradient, std::uint32_t* const scratch[3])
{
  PackPoints(dy, outputs, scratch[0]);
  PackPoints(x, inputs, scratch[1]);
  for (int row = 0; row < stride; row += 16)
  {
    for (int pair = 0; pair < kBlock / 2; pair += 16)
    {
      TransposeTile(
        scratch[1] + row * (kBlock / 2) + pair, kBlock / 2, scratch[2] + pair * stride + row, stride);
    }
  }
  int row = 0;
  for (; row + 4 <= outputs; row += 4)
  {
    Bf16GradientRows<4>(scratch[0], row, scratch[2], stride, inputs, gradient);
  }
  for (; row < outputs; ++row)
  {
    Bf16GradientRows<1>(scratch[0], row, scratch[2], stride, inputs, gradient);
  }
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();

#endif
#endif
