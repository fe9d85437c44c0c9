// SPDX-License-Identifier: BSD-3-Clause
#ifndef NeuralTranslucentLayers_h
#define NeuralTranslucentLayers_h

#include <memory>
#include <vector>

class vtkOpenGLRenderWindow;
class vtkRenderer;
class vtkWindow;

/** One surface per pixel: straight (not premultiplied) RGBA, and window depth. Alpha 0 where there is none.
 */
struct NeuralLayer
{
  std::vector<unsigned char> Color;
  std::vector<float> Depth;
};

/**
 * Peels the translucent surfaces of a scene apart, front to back.
 *
 * ParaView has blended them into the picture already when a volume is drawn, so a volume that they cut would
 * be on top of them as a whole. With colour and depth of each surface that can be put right, see Correct().
 */
class NeuralTranslucentLayers
{
public:
  NeuralTranslucentLayers();
  ~NeuralTranslucentLayers();

  /**
   * The nearest surfaces in front of opaque geometry, whose depth is given. The result is valid until the
   * next call, and empty in most scenes.
   */
  std::vector<NeuralLayer>& Capture(vtkRenderer* renderer, vtkOpenGLRenderWindow* window,
    const int viewport[4], const std::vector<float>& opaqueDepth);

  /**
   * Turns a picture of the whole volume into what has to be blended over a scene that shows the layers
   * already.
   *
   * `before[k]` is the volume in front of layer k alone (wherever the layer has a surface); all pictures are
   * premultiplied RGBA, 8 bits.
   */
  static void Correct(const std::vector<NeuralLayer>& layers,
    const std::vector<std::vector<unsigned char>>& before, std::vector<unsigned char>& whole);

  void ReleaseGraphicsResources(vtkWindow* window);

private:
  class PeelPass;
  std::unique_ptr<PeelPass, void (*)(PeelPass*)> Pass;
  std::vector<NeuralLayer> Layers;
};

#endif
