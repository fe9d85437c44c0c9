// SPDX-License-Identifier: BSD-3-Clause
#ifndef NeuralPeelingGuard_h
#define NeuralPeelingGuard_h

#include "vtkWeakPointer.h"

class vtkRenderer;

/**
 * Keeps volumes out of a renderer's depth peeling while a neural volume is visible there.
 *
 * ParaView peels volumes together with translucent geometry: the mapper would be called once per peel, and
 * depth cannot be read then. Several guards may hold the same renderer; the last one to let go restores its
 * flag.
 */
class NeuralPeelingGuard
{
public:
  NeuralPeelingGuard() = default;
  ~NeuralPeelingGuard();
  NeuralPeelingGuard(const NeuralPeelingGuard&) = delete;
  NeuralPeelingGuard& operator=(const NeuralPeelingGuard&) = delete;

  /** Switches volume peeling off in this renderer; repeated calls do nothing. */
  void Hold(vtkRenderer* renderer);

  /** Lets go of the renderer held, if any. */
  void Release();

private:
  vtkWeakPointer<vtkRenderer> Renderer;
};

#endif
