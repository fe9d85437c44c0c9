// SPDX-License-Identifier: BSD-3-Clause
#include "NeuralTranslucentLayers.h"

#include "NeuralOpenGL.h"

#include "vtkInformation.h"
#include "vtkNew.h"
#include "vtkObjectFactory.h"
#include "vtkOpenGLActor.h"
#include "vtkOpenGLFramebufferObject.h"
#include "vtkOpenGLRenderPass.h"
#include "vtkOpenGLRenderWindow.h"
#include "vtkOpenGLState.h"
#include "vtkPropCollection.h"
#include "vtkRenderState.h"
#include "vtkRenderer.h"
#include "vtkShaderProgram.h"
#include "vtkTextureObject.h"

#include <algorithm>

namespace
{
// A sphere is two layers. Each costs a picture of the volume, where it covers the volume.
constexpr size_t MaximumLayers = 6;

std::vector<vtkProp*> TranslucentProps(vtkRenderer* renderer)
{
  std::vector<vtkProp*> found;
  vtkPropCollection* props = renderer->GetViewProps();
  vtkCollectionSimpleIterator iterator;
  props->InitTraversal(iterator);
  while (vtkProp* prop = props->GetNextProp(iterator))
  {
    if (prop->GetVisibility() && prop->HasTranslucentPolygonalGeometry())
    {
      found.push_back(prop);
    }
  }
  return found;
}
}

/** Draws translucent geometry without blending: what is nearest, behind one depth and in front of another. */
class NeuralTranslucentLayers::PeelPass : public vtkOpenGLRenderPass
{
public:
  static PeelPass* New();
  vtkTypeMacro(PeelPass, vtkOpenGLRenderPass);

  void Capture(vtkRenderer* renderer, vtkOpenGLRenderWindow* window, const int viewport[4],
    const std::vector<float>& opaqueDepth, std::vector<NeuralLayer>& layers)
  {
    std::vector<vtkProp*> props = TranslucentProps(renderer);
    if (props.empty())
    {
      layers.clear();
      return;
    }
    this->Prepare(window, viewport, opaqueDepth);
    vtkRenderState renderState(renderer);
    renderState.SetPropArrayAndCount(props.data(), static_cast<int>(props.size()));
    vtkOpenGLState* state = window->GetState();
    state->PushFramebufferBindings();
    {
      vtkOpenGLState::ScopedglEnableDisable depthTest(state, GL_DEPTH_TEST);
      vtkOpenGLState::ScopedglEnableDisable blend(state, GL_BLEND);
      vtkOpenGLState::ScopedglDepthMask depthMask(state);
      vtkOpenGLState::ScopedglDepthFunc depthFunction(state);
      vtkOpenGLState::ScopedglClearColor clearColor(state);
      state->vtkglEnable(GL_DEPTH_TEST);
      state->vtkglDisable(GL_BLEND);
      state->vtkglDepthMask(GL_TRUE);
      state->vtkglDepthFunc(GL_LESS);
      state->vtkglClearColor(0.f, 0.f, 0.f, 0.f);
      this->PreRender(&renderState);
      for (vtkProp* prop : props)
      {
        // Translucent actors do not write depth by themselves.
        prop->GetPropertyKeys()->Set(vtkOpenGLActor::GLDepthMaskOverride(), 1);
      }
      size_t count = 0;
      while (count < MaximumLayers && this->DrawLayer(renderer, props, viewport, layers, count))
      {
        ++count;
      }
      layers.resize(count);
      for (vtkProp* prop : props)
      {
        prop->GetPropertyKeys()->Remove(vtkOpenGLActor::GLDepthMaskOverride());
      }
      this->PostRender(&renderState);
    }
    state->PopFramebufferBindings();
  }

  bool PostReplaceShaderValues(
    std::string&, std::string&, std::string& fragmentShader, vtkAbstractMapper*, vtkProp*) override
  {
    // Mappers that draw something else than surfaces may set gl_FragDepth before; this has no effect then.
    vtkShaderProgram::Substitute(fragmentShader, "//VTK::Depth::Impl", "gl_FragDepth = gl_FragCoord.z;");
    vtkShaderProgram::Substitute(fragmentShader, "//VTK::DepthPeeling::Dec",
      "uniform sampler2D neuralPreviousDepth;\n"
      "uniform sampler2D neuralOpaqueDepth;\n"
      "uniform int neuralLeft;\n"
      "uniform int neuralBottom;\n");
    vtkShaderProgram::Substitute(fragmentShader, "//VTK::DepthPeeling::PreColor",
      "ivec2 neuralPixel = ivec2(gl_FragCoord.xy);\n"
      "  ivec2 neuralInView = neuralPixel - ivec2(neuralLeft, neuralBottom);\n"
      "  if (gl_FragDepth <= texelFetch(neuralPreviousDepth, neuralPixel, 0).x + 0.000001 ||\n"
      "      gl_FragDepth > texelFetch(neuralOpaqueDepth, neuralInView, 0).x)\n"
      "    {\n"
      "    discard;\n"
      "    }\n");
    return true;
  }

  bool SetShaderParameters(
    vtkShaderProgram* program, vtkAbstractMapper*, vtkProp*, vtkOpenGLVertexArrayObject*) override
  {
    program->SetUniformi("neuralPreviousDepth", this->Depths[1 - this->Current]->GetTextureUnit());
    program->SetUniformi("neuralOpaqueDepth", this->OpaqueDepth->GetTextureUnit());
    program->SetUniformi("neuralLeft", this->Left);
    program->SetUniformi("neuralBottom", this->Bottom);
    return true;
  }

  void Render(const vtkRenderState*) override {} // only Capture() makes sense

  void ReleaseGraphicsResources(vtkWindow* window) override
  {
    this->Framebuffer->ReleaseGraphicsResources(window);
    for (vtkTextureObject* texture :
      { this->Color.Get(), this->Depths[0].Get(), this->Depths[1].Get(), this->OpaqueDepth.Get() })
    {
      texture->ReleaseGraphicsResources(window);
    }
    this->Size[0] = this->Size[1] = 0;
  }

protected:
  PeelPass() = default;
  ~PeelPass() override = default;

private:
  void Prepare(vtkOpenGLRenderWindow* window, const int viewport[4], const std::vector<float>& opaqueDepth)
  {
    // As large as the window up to the viewport's end, so that gl_FragCoord addresses the same pixels.
    const int width = viewport[0] + viewport[2], height = viewport[1] + viewport[3];
    this->Left = viewport[0];
    this->Bottom = viewport[1];
    this->Framebuffer->SetContext(window);
    if (this->Size[0] != width || this->Size[1] != height)
    {
      this->Color->SetContext(window);
      this->Color->Allocate2D(width, height, 4, VTK_UNSIGNED_CHAR);
      for (auto& depth : this->Depths)
      {
        depth->SetContext(window);
        depth->AllocateDepth(width, height, vtkTextureObject::Float32);
      }
      this->Size[0] = width;
      this->Size[1] = height;
    }
    this->OpaqueDepth->SetContext(window);
    this->OpaqueDepth->Create2DFromRaw(
      viewport[2], viewport[3], 1, VTK_FLOAT, const_cast<float*>(opaqueDepth.data()));
  }

  /** Draws the next layer and reads it into layers[index]; false if there is none. */
  bool DrawLayer(vtkRenderer* renderer, const std::vector<vtkProp*>& props, const int viewport[4],
    std::vector<NeuralLayer>& layers, size_t index)
  {
    this->Framebuffer->Bind();
    this->Framebuffer->AddColorAttachment(0, this->Color);
    this->Framebuffer->ActivateDrawBuffer(0);
    this->Framebuffer->ActivateReadBuffer(0);
    if (index == 0)
    {
      this->Current = 0;
      this->ClearDepth(1, 0.f); // nothing is in front of the first layer
    }
    this->ClearDepth(this->Current, 1.f);
    glClear(GL_COLOR_BUFFER_BIT);

    this->Depths[1 - this->Current]->Activate();
    this->OpaqueDepth->Activate();
    for (vtkProp* prop : props)
    {
      prop->RenderTranslucentPolygonalGeometry(renderer);
    }
    this->OpaqueDepth->Deactivate();
    this->Depths[1 - this->Current]->Deactivate();

    if (layers.size() <= index)
    {
      layers.resize(index + 1);
    }
    NeuralLayer& layer = layers[index];
    const size_t pixels = static_cast<size_t>(viewport[2]) * viewport[3];
    layer.Color.resize(4 * pixels);
    layer.Depth.resize(pixels);
    glPixelStorei(GL_PACK_ALIGNMENT, 1);
    glReadPixels(
      viewport[0], viewport[1], viewport[2], viewport[3], GL_RGBA, GL_UNSIGNED_BYTE, layer.Color.data());
    glReadPixels(
      viewport[0], viewport[1], viewport[2], viewport[3], GL_DEPTH_COMPONENT, GL_FLOAT, layer.Depth.data());
    this->Current = 1 - this->Current;
    return std::any_of(layer.Depth.begin(), layer.Depth.end(), [](float depth) { return depth < 1.f; });
  }

  void ClearDepth(int which, float value)
  {
    this->Framebuffer->AddDepthAttachment(this->Depths[which]);
    glClearBufferfv(GL_DEPTH, 0, &value);
  }

  vtkNew<vtkOpenGLFramebufferObject> Framebuffer;
  vtkNew<vtkTextureObject> Color;
  vtkNew<vtkTextureObject> Depths[2]; // of the current and the previous layer, in turns
  vtkNew<vtkTextureObject> OpaqueDepth;
  int Current = 0;
  int Size[2] = { 0, 0 };
  int Left = 0;
  int Bottom = 0;
};

vtkStandardNewMacro(NeuralTranslucentLayers::PeelPass);

NeuralTranslucentLayers::NeuralTranslucentLayers()
  : Pass(PeelPass::New(), [](PeelPass* pass) { pass->Delete(); })
{
}

NeuralTranslucentLayers::~NeuralTranslucentLayers() = default;

std::vector<NeuralLayer>& NeuralTranslucentLayers::Capture(vtkRenderer* renderer,
  vtkOpenGLRenderWindow* window, const int viewport[4], const std::vector<float>& opaqueDepth)
{
  this->Pass->Capture(renderer, window, viewport, opaqueDepth, this->Layers);
  return this->Layers;
}

void NeuralTranslucentLayers::ReleaseGraphicsResources(vtkWindow* window)
{
  this->Pass->ReleaseGraphicsResources(window);
}

void NeuralTranslucentLayers::Correct(const std::vector<NeuralLayer>& layers,
  const std::vector<std::vector<unsigned char>>& before, std::vector<unsigned char>& whole)
{
  // With V the volume's part in front of a depth (premultiplied, opacity A), layers 1..n of colour c and
  // opacity a, and T(k) = (1 - a(1)) ... (1 - a(k)), the true picture over the opaque background O is
  //   sum over k of T(k-1) (V(k) - V(k-1))  +  sum over k of T(k-1) (1 - A(k)) a(k) c(k)  +  (1 - A) T(n) O.
  // The framebuffer holds  F = sum over k of T(k-1) a(k) c(k) + T(n) O,  and what is drawn is blended as  X +
  // (1 - A) F, so
  //   X = sum over k of T(k-1) (V(k) - V(k-1))  +  sum over k of T(k-1) (A - A(k)) a(k) c(k).
  const size_t pixels = whole.size() / 4;
  for (size_t i = 0; i < pixels; ++i)
  {
    const unsigned char* last = nullptr; // V(k-1); nothing in front of the first layer
    float transmitted = 1.f;
    float color[3] = { 0.f, 0.f, 0.f };
    unsigned char* total = &whole[4 * i];
    for (size_t k = 0; k < layers.size(); ++k)
    {
      const unsigned char* surface = &layers[k].Color[4 * i];
      if (surface[3] == 0)
      {
        continue;
      }
      const unsigned char* volume = &before[k][4 * i];
      const float opacity = surface[3] / 255.f;
      const float behind = std::max(0.f, (total[3] - volume[3]) / 255.f);
      for (int c = 0; c < 3; ++c)
      {
        const float segment = static_cast<float>(volume[c]) - (last ? last[c] : 0);
        color[c] += transmitted * (segment + behind * opacity * surface[c]);
      }
      transmitted *= 1.f - opacity;
      last = volume;
    }
    if (last)
    {
      for (int c = 0; c < 3; ++c)
      {
        const float value = color[c] + transmitted * (static_cast<float>(total[c]) - last[c]);
        total[c] = static_cast<unsigned char>(std::clamp(value + 0.5f, 0.f, 255.f));
      }
    }
  }
}
