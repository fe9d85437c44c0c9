// SPDX-License-Identifier: BSD-3-Clause
#ifndef NeuralRendererBridge_h
#define NeuralRendererBridge_h

#include <array>
#include <string>
#include <vector>

/** What the Python renderer is asked to draw; see docs/architecture.md for the meaning of each entry. */
struct NeuralRenderRequest
{
  long long Key = 0;
  std::string Model;
  std::string Array;
  std::array<double, 6> Bounds{};
  int Width = 0;
  int Height = 0;
  std::array<double, 16> WorldToClip{};
  std::array<double, 16> ModelToWorld{};
  std::vector<double> ClippingPlanes;
  std::vector<float> Table;
  std::array<double, 2> Range{};
  int Component = -1; // -1: the magnitude
  double UnitDistance = 1.;
  double SamplesPerVoxel = 1.;
  bool Interactive = false;
  double BudgetMilliseconds = 0.;
  std::vector<float> Depth;
  std::vector<unsigned char> Image;
};

struct NeuralRenderResult
{
  bool Drawn = false;
  bool Complete = true;
  double Fraction = 1.;
  std::string Error;     // one line for the user
  std::string Traceback; // for developers, empty for errors the user can put right
};

/** Calls paraview_plugin.renderer, the Python half of the mapper. */
namespace NeuralRendererBridge
{
NeuralRenderResult Render(NeuralRenderRequest& request);

/** Frees what the renderer keeps for a key. Harmless when Python or the renderer is not there (any more). */
void Release(long long key);
}

#endif
