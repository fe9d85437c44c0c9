// SPDX-License-Identifier: BSD-3-Clause
#include "NeuralDepthCapture.h"

#include "NeuralOpenGL.h"

#include "vtkOpenGLRenderWindow.h"
#include "vtkOpenGLState.h"

#include <algorithm>

namespace
{
void ForgetErrors()
{
  // A lost context reports errors for ever, hence the limit.
  for (int i = 0; i < 16 && glGetError() != GL_NO_ERROR; ++i)
  {
  }
}

GLint AttachmentParameter(GLenum parameter)
{
  GLint value = 0;
  glGetFramebufferAttachmentParameteriv(GL_READ_FRAMEBUFFER, GL_DEPTH_ATTACHMENT, parameter, &value);
  return value;
}

/** Depth can only be copied between buffers of the very same format. */
GLenum FormatOfBoundDepth()
{
  const bool stencil = AttachmentParameter(GL_FRAMEBUFFER_ATTACHMENT_STENCIL_SIZE) > 0;
  switch (AttachmentParameter(GL_FRAMEBUFFER_ATTACHMENT_DEPTH_SIZE))
  {
    case 16:
      return GL_DEPTH_COMPONENT16;
    case 32:
      if (AttachmentParameter(GL_FRAMEBUFFER_ATTACHMENT_COMPONENT_TYPE) == GL_FLOAT)
      {
        return stencil ? GL_DEPTH32F_STENCIL8 : GL_DEPTH_COMPONENT32F;
      }
      return GL_DEPTH_COMPONENT32;
    default:
      return stencil ? GL_DEPTH24_STENCIL8 : GL_DEPTH_COMPONENT24;
  }
}

bool HasStencil(GLenum format)
{
  return format == GL_DEPTH24_STENCIL8 || format == GL_DEPTH32F_STENCIL8;
}
}

bool NeuralDepthCapture::Capture(
  vtkOpenGLRenderWindow* window, const int viewport[4], std::vector<float>& depth)
{
  const int width = viewport[2], height = viewport[3];
  depth.resize(static_cast<size_t>(width) * height);

  vtkOpenGLState* state = window->GetState();
  GLint drawFramebuffer = 0, samples = 0;
  glGetIntegerv(GL_DRAW_FRAMEBUFFER_BINDING, &drawFramebuffer);
  glGetIntegerv(GL_SAMPLES, &samples);

  state->PushFramebufferBindings();
  state->vtkglBindFramebuffer(GL_READ_FRAMEBUFFER, drawFramebuffer);
  state->vtkglPixelStorei(GL_PACK_ALIGNMENT, 1);
  ForgetErrors();
  if (samples > 0)
  {
    this->Resolve(window, viewport);
  }
  glReadPixels(viewport[0], viewport[1], width, height, GL_DEPTH_COMPONENT, GL_FLOAT, depth.data());
  const GLenum error = glGetError();
  state->PopFramebufferBindings();

  this->Error.clear();
  if (error != GL_NO_ERROR)
  {
    this->Error = "OpenGL error " + std::to_string(error) + " reading depth (" + std::to_string(samples) +
      " samples per pixel); opaque objects in front of the volume are ignored";
    std::fill(depth.begin(), depth.end(), 1.f);
    return false;
  }
  return true;
}

void NeuralDepthCapture::Resolve(vtkOpenGLRenderWindow* window, const int viewport[4])
{
  vtkOpenGLState* state = window->GetState();
  const GLenum format = FormatOfBoundDepth();
  const int size[2] = { viewport[0] + viewport[2], viewport[1] + viewport[3] };
  if (this->Framebuffer == 0)
  {
    glGenFramebuffers(1, &this->Framebuffer);
    glGenRenderbuffers(1, &this->Renderbuffer);
  }
  state->vtkglBindFramebuffer(GL_DRAW_FRAMEBUFFER, this->Framebuffer);
  if (this->Size[0] != size[0] || this->Size[1] != size[1] || this->Format != format)
  {
    const GLenum attachment = HasStencil(format) ? GL_DEPTH_STENCIL_ATTACHMENT : GL_DEPTH_ATTACHMENT;
    glFramebufferRenderbuffer(GL_DRAW_FRAMEBUFFER, GL_DEPTH_STENCIL_ATTACHMENT, GL_RENDERBUFFER, 0);
    glBindRenderbuffer(GL_RENDERBUFFER, this->Renderbuffer);
    glRenderbufferStorage(GL_RENDERBUFFER, format, size[0], size[1]);
    glFramebufferRenderbuffer(GL_DRAW_FRAMEBUFFER, attachment, GL_RENDERBUFFER, this->Renderbuffer);
    glBindRenderbuffer(GL_RENDERBUFFER, 0);
    this->Size[0] = size[0];
    this->Size[1] = size[1];
    this->Format = format;
  }
  glBlitFramebuffer(viewport[0], viewport[1], size[0], size[1], viewport[0], viewport[1], size[0], size[1],
    GL_DEPTH_BUFFER_BIT, GL_NEAREST);
  state->vtkglBindFramebuffer(GL_READ_FRAMEBUFFER, this->Framebuffer);
}

void NeuralDepthCapture::ReleaseGraphicsResources()
{
  if (this->Framebuffer != 0)
  {
    glDeleteFramebuffers(1, &this->Framebuffer);
    glDeleteRenderbuffers(1, &this->Renderbuffer);
    this->Framebuffer = this->Renderbuffer = this->Format = 0;
    this->Size[0] = this->Size[1] = 0;
  }
}
