// SPDX-License-Identifier: BSD-3-Clause
#ifndef NeuralDepthCapture_h
#define NeuralDepthCapture_h

#include <string>
#include <vector>

class vtkOpenGLRenderWindow;

/** Reads the depth of what has been drawn so far, from whichever framebuffer is bound for drawing. */
class NeuralDepthCapture
{
public:
  /**
   * Window depth in [0, 1] of the given viewport rectangle, bottom row first. Returns false, with the reason
   * in GetError() and a depth of 1 (nothing in front), when the framebuffer cannot be read.
   */
  bool Capture(vtkOpenGLRenderWindow* window, const int viewport[4], std::vector<float>& depth);

  const std::string& GetError() const { return this->Error; }

  /** Frees the OpenGL objects; their context has to be current. */
  void ReleaseGraphicsResources();

private:
  /** Copies the samples of a multisampled depth buffer to one that can be read, and binds that for reading.
   */
  void Resolve(vtkOpenGLRenderWindow* window, const int viewport[4]);

  unsigned int Framebuffer = 0;
  unsigned int Renderbuffer = 0;
  unsigned int Format = 0;
  int Size[2] = { 0, 0 };
  std::string Error;
};

#endif
