// SPDX-License-Identifier: BSD-3-Clause
#include "NeuralPeelingGuard.h"

#include "vtkRenderer.h"

#include <algorithm>
#include <vector>

namespace
{
struct HeldRenderer
{
  vtkWeakPointer<vtkRenderer> Renderer;
  bool OriginalFlag;
  int Holders;
};

// Rendering happens on the main thread only, so no lock is needed.
std::vector<HeldRenderer> Held;

std::vector<HeldRenderer>::iterator Find(vtkRenderer* renderer)
{
  // Renderers that are gone leave empty entries behind.
  Held.erase(
    std::remove_if(Held.begin(), Held.end(), [](const HeldRenderer& h) { return !h.Renderer; }), Held.end());
  return std::find_if(
    Held.begin(), Held.end(), [=](const HeldRenderer& h) { return h.Renderer == renderer; });
}
}

NeuralPeelingGuard::~NeuralPeelingGuard()
{
  this->Release();
}

void NeuralPeelingGuard::Hold(vtkRenderer* renderer)
{
  if (this->Renderer == renderer)
  {
    return;
  }
  this->Release();
  auto entry = Find(renderer);
  if (entry == Held.end())
  {
    Held.push_back({ renderer, renderer->GetUseDepthPeelingForVolumes(), 1 });
  }
  else
  {
    ++entry->Holders;
  }
  renderer->SetUseDepthPeelingForVolumes(false);
  this->Renderer = renderer;
}

void NeuralPeelingGuard::Release()
{
  if (!this->Renderer)
  {
    return;
  }
  auto entry = Find(this->Renderer);
  if (entry != Held.end() && --entry->Holders == 0)
  {
    this->Renderer->SetUseDepthPeelingForVolumes(entry->OriginalFlag);
    Held.erase(entry);
  }
  this->Renderer = nullptr;
}
