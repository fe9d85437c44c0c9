// SPDX-License-Identifier: BSD-3-Clause
#include "vtkNeuralVolumeMapper.h"

#include "NeuralDepthCapture.h"
#include "NeuralImageOverlay.h"
#include "NeuralOpenGL.h"
#include "NeuralRendererBridge.h"
#include "NeuralTranslucentLayers.h"

#include "vtkCamera.h"
#include "vtkColorTransferFunction.h"
#include "vtkLogger.h"
#include "vtkMatrix4x4.h"
#include "vtkObjectFactory.h"
#include "vtkOpenGLRenderWindow.h"
#include "vtkPiecewiseFunction.h"
#include "vtkPlane.h"
#include "vtkPlaneCollection.h"
#include "vtkRenderer.h"
#include "vtkVolume.h"
#include "vtkVolumeProperty.h"

#include <algorithm>
#include <atomic>
#include <set>

namespace
{
constexpr int TableSize = 1024; // what VTK's own volume mapper uses

// ParaView asks for 5 frames per second or more while the user moves the camera, and for 0.002 otherwise.
constexpr double InteractiveFrameRate = 1.;

// Share of the time budget that a frame gets then: smoothness is worth more than detail.
constexpr double InteractiveShare = 0.5;

/** Identifies a mapper to the renderer; unlike an address, never used twice. */
long long NextKey()
{
  static std::atomic<long long> next{ 1 };
  return next++;
}

/** Colour and opacity, sampled uniformly over the range that both functions span, and the component they map.
 */
void SampleTransferFunctions(vtkVolumeProperty* property, NeuralRenderRequest& request)
{
  vtkColorTransferFunction* color = property->GetRGBTransferFunction(0);
  vtkPiecewiseFunction* opacity = property->GetScalarOpacity(0);
  const double* colorRange = color->GetRange();
  const double* opacityRange = opacity->GetRange();
  double low = std::min(colorRange[0], opacityRange[0]), high = std::max(colorRange[1], opacityRange[1]);
  if (!(high > low))
  {
    high = low + std::max(1e-30, 1e-6 * std::abs(low));
  }
  std::vector<double> colors(3 * TableSize), opacities(TableSize);
  color->GetTable(low, high, TableSize, colors.data());
  opacity->GetTable(low, high, TableSize, opacities.data());
  request.Table.resize(4 * TableSize);
  for (int i = 0; i < TableSize; ++i)
  {
    for (int k = 0; k < 3; ++k)
    {
      request.Table[4 * i + k] = static_cast<float>(colors[3 * i + k]);
    }
    request.Table[4 * i + 3] = static_cast<float>(opacities[i]);
  }
  request.Range = { low, high };
  const bool byComponent = color->GetVectorMode() == vtkScalarsToColors::COMPONENT;
  request.Component = byComponent ? color->GetVectorComponent() : -1;
  request.UnitDistance = property->GetScalarOpacityUnitDistance(0);
}

std::vector<double> ToValues(vtkPlaneCollection* planes)
{
  std::vector<double> values;
  for (int i = 0; planes && i < planes->GetNumberOfItems(); ++i)
  {
    vtkPlane* plane = planes->GetItem(i);
    values.insert(values.end(), plane->GetOrigin(), plane->GetOrigin() + 3);
    values.insert(values.end(), plane->GetNormal(), plane->GetNormal() + 3);
  }
  return values;
}
}

struct vtkNeuralVolumeMapper::vtkInternals
{
  const long long Key = NextKey();
  bool EyeComplete[2] = { true, true }; // a stereo view draws two pictures
  double Fraction = 1.;
  NeuralRenderRequest Request; // kept for its buffers
  NeuralDepthCapture Depth;
  NeuralTranslucentLayers Layers;
  std::vector<long long> LayerKeys; // of the pictures of the volume in front of each translucent layer
  NeuralImageOverlay Overlay;

  NeuralRenderResult RenderInFrontOf(NeuralLayer& layer, size_t index, std::vector<unsigned char>& picture);
  std::set<std::string> Reported;
  std::string RenderError; // the one reported last
};

vtkStandardNewMacro(vtkNeuralVolumeMapper);

vtkNeuralVolumeMapper::vtkNeuralVolumeMapper()
  : Internals(new vtkInternals)
{
}

vtkNeuralVolumeMapper::~vtkNeuralVolumeMapper()
{
  NeuralRendererBridge::Release(this->Internals->Key);
  for (long long key : this->Internals->LayerKeys)
  {
    NeuralRendererBridge::Release(key);
  }
}

bool vtkNeuralVolumeMapper::GetComplete() const
{
  return this->Internals->EyeComplete[0] && this->Internals->EyeComplete[1];
}

double vtkNeuralVolumeMapper::GetFraction() const
{
  return this->Internals->Fraction;
}

void vtkNeuralVolumeMapper::ReleaseGraphicsResources(vtkWindow* window)
{
  this->Internals->Depth.ReleaseGraphicsResources();
  this->Internals->Layers.ReleaseGraphicsResources(window);
  this->Internals->Overlay.ReleaseGraphicsResources(window);
}

void vtkNeuralVolumeMapper::ReportOnce(const std::string& message)
{
  if (this->Internals->Reported.insert(message).second)
  {
    vtkErrorMacro(<< message);
  }
}

void vtkNeuralVolumeMapper::Render(vtkRenderer* renderer, vtkVolume* volume)
{
  auto& internals = *this->Internals;
  auto* window = vtkOpenGLRenderWindow::SafeDownCast(renderer->GetRenderWindow());
  if (!window || renderer->GetSelector())
  {
    return; // selection passes draw identifiers, not colours
  }
  const bool stereo = window->GetStereoRender() != 0;
  const int eye = stereo && !renderer->GetActiveCamera()->GetLeftEye() ? 1 : 0;
  internals.EyeComplete[eye] = true;
  internals.EyeComplete[1] = internals.EyeComplete[1] || !stereo;
  internals.Fraction = 1.;
  if (this->Model.empty() || this->ColorArray.empty())
  {
    return;
  }
  window->MakeCurrent();
  // ParaView's render passes and tiles change the viewport, so OpenGL knows its size best.
  int viewport[4];
  glGetIntegerv(GL_VIEWPORT, viewport);
  if (viewport[2] <= 0 || viewport[3] <= 0)
  {
    return;
  }
  NeuralRenderRequest& request = internals.Request;
  request.Width = viewport[2];
  request.Height = viewport[3];
  this->FillRequest(renderer, volume);
  if (!internals.Depth.Capture(window, viewport, request.Depth))
  {
    this->ReportOnce("Neural Volume: " + internals.Depth.GetError());
  }
  if (this->March(renderer, viewport, eye) &&
    !internals.Overlay.Draw(window, request.Width, request.Height, request.Image))
  {
    this->ReportOnce(
      "Neural Volume: the OpenGL shader that shows the picture does not compile on this machine");
  }
}

void vtkNeuralVolumeMapper::FillRequest(vtkRenderer* renderer, vtkVolume* volume)
{
  NeuralRenderRequest& request = this->Internals->Request;
  request.Key = this->Internals->Key;
  request.Model = this->Model;
  request.Array = this->ColorArray;
  this->GetBounds(request.Bounds.data());
  vtkMatrix4x4::DeepCopy(request.WorldToClip.data(),
    renderer->GetActiveCamera()->GetCompositeProjectionTransformMatrix(
      renderer->GetTiledAspectRatio(), -1, 1));
  vtkMatrix4x4::DeepCopy(request.ModelToWorld.data(), volume->GetMatrix());
  request.ClippingPlanes = ToValues(this->GetClippingPlanes());
  SampleTransferFunctions(volume->GetProperty(), request);
  request.SamplesPerVoxel = this->SamplesPerVoxel;
  request.Interactive =
    !this->ForceComplete && renderer->GetRenderWindow()->GetDesiredUpdateRate() >= InteractiveFrameRate;
  request.BudgetMilliseconds =
    this->ForceComplete ? 0. : this->TimeBudget * (request.Interactive ? InteractiveShare : 1.);
}

bool vtkNeuralVolumeMapper::March(vtkRenderer* renderer, const int viewport[4], int eye)
{
  auto& internals = *this->Internals;
  NeuralRenderRequest& request = internals.Request;
  auto* window = static_cast<vtkOpenGLRenderWindow*>(renderer->GetRenderWindow());
  std::vector<NeuralLayer>& layers = internals.Layers.Capture(renderer, window, viewport, request.Depth);
  request.BudgetMilliseconds /= 1. + layers.size();

  request.Image.assign(4 * static_cast<size_t>(request.Width) * request.Height, 0);
  NeuralRenderResult result = NeuralRendererBridge::Render(request);
  std::vector<std::vector<unsigned char>> before(layers.size());
  for (size_t i = 0; i < layers.size() && result.Drawn; ++i)
  {
    const NeuralRenderResult part = internals.RenderInFrontOf(layers[i], i, before[i]);
    result.Fraction = std::min(result.Fraction, part.Fraction);
    result.Complete = result.Complete && part.Complete;
    result.Drawn = part.Drawn;
    result.Error = part.Error;
    result.Traceback = part.Traceback;
  }
  internals.Fraction = result.Fraction;
  internals.EyeComplete[eye] = result.Complete;
  if (!result.Drawn)
  {
    vtkLogIfF(TRACE, !result.Traceback.empty(), "%s", result.Traceback.c_str());
    vtkDebugMacro(<< result.Traceback);
    internals.RenderError = "Neural Volume: " + result.Error;
    this->ReportOnce(internals.RenderError);
    return false;
  }
  internals.Reported.erase(internals.RenderError); // should it come back, it is news again
  if (!layers.empty())
  {
    NeuralTranslucentLayers::Correct(layers, before, request.Image);
  }
  return true;
}

NeuralRenderResult vtkNeuralVolumeMapper::vtkInternals::RenderInFrontOf(
  NeuralLayer& layer, size_t index, std::vector<unsigned char>& picture)
{
  // Where the layer has no surface, rays end at the near plane: nothing to do there.
  for (size_t i = 0; i < layer.Depth.size(); ++i)
  {
    layer.Depth[i] = layer.Color[4 * i + 3] == 0 ? 0.f : layer.Depth[i];
  }
  if (this->LayerKeys.size() <= index)
  {
    this->LayerKeys.push_back(NextKey());
  }
  NeuralRenderRequest& request = this->Request;
  picture.assign(request.Image.size(), 0);
  request.Key = this->LayerKeys[index];
  std::swap(request.Depth, layer.Depth);
  std::swap(request.Image, picture);
  NeuralRenderResult result = NeuralRendererBridge::Render(request);
  std::swap(request.Depth, layer.Depth);
  std::swap(request.Image, picture);
  return result;
}

void vtkNeuralVolumeMapper::PrintSelf(ostream& os, vtkIndent indent)
{
  this->Superclass::PrintSelf(os, indent);
  os << indent << "Model: " << this->Model << endl;
  os << indent << "ColorArray: " << this->ColorArray << endl;
  os << indent << "SamplesPerVoxel: " << this->SamplesPerVoxel << endl;
  os << indent << "TimeBudget: " << this->TimeBudget << endl;
  os << indent << "ForceComplete: " << this->ForceComplete << endl;
  os << indent << "Complete: " << this->GetComplete() << endl;
}
