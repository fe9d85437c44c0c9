// SPDX-License-Identifier: BSD-3-Clause
#ifndef NeuralImageOverlay_h
#define NeuralImageOverlay_h

#include <memory>
#include <vector>

class vtkOpenGLQuadHelper;
class vtkOpenGLRenderWindow;
class vtkTextureObject;
class vtkWindow;

/** Blends a premultiplied RGBA picture over the current viewport. */
class NeuralImageOverlay
{
public:
  NeuralImageOverlay();
  ~NeuralImageOverlay();

  /** Draws 8-bit RGBA pixels, bottom row first, that fill the viewport. Returns false if the shader does not
   * work. */
  bool Draw(vtkOpenGLRenderWindow* window, int width, int height, std::vector<unsigned char>& pixels);

  void ReleaseGraphicsResources(vtkWindow* window);

private:
  struct TextureDeleter
  {
    void operator()(vtkTextureObject* texture) const;
  };
  std::unique_ptr<vtkTextureObject, TextureDeleter> Texture;
  std::unique_ptr<vtkOpenGLQuadHelper> Quad;
};

#endif
