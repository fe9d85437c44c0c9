// SPDX-License-Identifier: BSD-3-Clause
#include "NeuralImageOverlay.h"

#include "NeuralOpenGL.h"

#include "vtkOpenGLQuadHelper.h"
#include "vtkOpenGLRenderWindow.h"
#include "vtkOpenGLShaderCache.h"
#include "vtkOpenGLState.h"
#include "vtkShaderProgram.h"
#include "vtkTextureObject.h"

namespace
{
constexpr const char* FragmentShader = R"(//VTK::System::Dec
//VTK::Output::Dec
in vec2 texCoord;
uniform sampler2D picture;
void main()
{
  gl_FragData[0] = texture(picture, texCoord);
}
)";
}

NeuralImageOverlay::NeuralImageOverlay() = default;
NeuralImageOverlay::~NeuralImageOverlay() = default;

void NeuralImageOverlay::TextureDeleter::operator()(vtkTextureObject* texture) const
{
  texture->Delete();
}

bool NeuralImageOverlay::Draw(
  vtkOpenGLRenderWindow* window, int width, int height, std::vector<unsigned char>& pixels)
{
  if (!this->Texture)
  {
    this->Texture.reset(vtkTextureObject::New());
    this->Texture->SetContext(window);
    this->Texture->SetMinificationFilter(vtkTextureObject::Nearest);
    this->Texture->SetMagnificationFilter(vtkTextureObject::Nearest);
    this->Texture->SetWrapS(vtkTextureObject::ClampToEdge);
    this->Texture->SetWrapT(vtkTextureObject::ClampToEdge);
  }
  this->Texture->Create2DFromRaw(width, height, 4, VTK_UNSIGNED_CHAR, pixels.data());

  if (!this->Quad)
  {
    this->Quad = std::make_unique<vtkOpenGLQuadHelper>(window, nullptr, FragmentShader, nullptr);
  }
  else
  {
    window->GetShaderCache()->ReadyShaderProgram(this->Quad->Program);
  }
  if (!this->Quad->Program)
  {
    return false;
  }

  vtkOpenGLState* state = window->GetState();
  vtkOpenGLState::ScopedglEnableDisable depthTest(state, GL_DEPTH_TEST);
  vtkOpenGLState::ScopedglEnableDisable blend(state, GL_BLEND);
  vtkOpenGLState::ScopedglDepthMask depthMask(state);
  vtkOpenGLState::ScopedglBlendFuncSeparate blendFunction(state);
  // The rays ended at opaque geometry already, so no depth test is needed.
  state->vtkglDisable(GL_DEPTH_TEST);
  state->vtkglDepthMask(GL_FALSE);
  state->vtkglEnable(GL_BLEND);
  state->vtkglBlendFuncSeparate(GL_ONE, GL_ONE_MINUS_SRC_ALPHA, GL_ONE, GL_ONE_MINUS_SRC_ALPHA);
  this->Texture->Activate();
  this->Quad->Program->SetUniformi("picture", this->Texture->GetTextureUnit());
  this->Quad->Render();
  this->Texture->Deactivate();
  return true;
}

void NeuralImageOverlay::ReleaseGraphicsResources(vtkWindow* window)
{
  if (this->Texture)
  {
    this->Texture->ReleaseGraphicsResources(window);
    this->Texture.reset();
  }
  if (this->Quad)
  {
    this->Quad->ReleaseGraphicsResources(window);
    this->Quad.reset();
  }
}
