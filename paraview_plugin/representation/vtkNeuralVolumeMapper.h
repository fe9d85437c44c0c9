// SPDX-License-Identifier: BSD-3-Clause
/**
 * @class vtkNeuralVolumeMapper
 * @brief draws a neural volume by marching rays through the model itself
 *
 * The rays are marched in Python (paraview_plugin.renderer); this class collects what they need from the
 * scene (camera, transfer functions, clipping planes, depth of opaque geometry) and blends the picture that
 * comes back. The input's samples are never looked at, only its bounds: the values come from the model.
 *
 * With a time budget a render may leave the picture unfinished (GetComplete() is false); rendering the
 * unchanged scene again continues it.
 */
#ifndef vtkNeuralVolumeMapper_h
#define vtkNeuralVolumeMapper_h

#include "vtkAbstractVolumeMapper.h"
#include "vtkNeuralVolumeModule.h" // for export macro

#include <memory>
#include <string>

class VTKNEURALVOLUME_EXPORT vtkNeuralVolumeMapper : public vtkAbstractVolumeMapper
{
public:
  static vtkNeuralVolumeMapper* New();
  vtkTypeMacro(vtkNeuralVolumeMapper, vtkAbstractVolumeMapper);
  void PrintSelf(ostream& os, vtkIndent indent) override;

  ///@{
  /** JSON descriptor of the model, as its reader puts it into the data. Empty: nothing is drawn. */
  vtkSetMacro(Model, std::string);
  vtkGetMacro(Model, std::string);
  ///@}

  ///@{
  /** Name of the point array that colours the volume. Nothing is drawn unless it is the model's. */
  vtkSetMacro(ColorArray, std::string);
  vtkGetMacro(ColorArray, std::string);
  ///@}

  ///@{
  /** Samples along a ray per smallest voxel of the model's own grid. */
  vtkSetClampMacro(SamplesPerVoxel, double, 0.1, 8.);
  vtkGetMacro(SamplesPerVoxel, double);
  ///@}

  ///@{
  /** Milliseconds one render may take; 0: as long as the whole picture needs. */
  vtkSetClampMacro(TimeBudget, double, 0., VTK_DOUBLE_MAX);
  vtkGetMacro(TimeBudget, double);
  ///@}

  ///@{
  /** Draw the whole picture whatever the time budget and the frame rate asked for: screenshots. */
  vtkSetMacro(ForceComplete, bool);
  vtkGetMacro(ForceComplete, bool);
  ///@}

  /** Whether the last render finished the picture. */
  bool GetComplete() const;

  /** Share of the last picture that is final, 0 to 1. */
  double GetFraction() const;

  void Render(vtkRenderer* renderer, vtkVolume* volume) override;
  void ReleaseGraphicsResources(vtkWindow* window) override;

protected:
  vtkNeuralVolumeMapper();
  ~vtkNeuralVolumeMapper() override;

  std::string Model;
  std::string ColorArray;
  double SamplesPerVoxel = 1.;
  double TimeBudget = 0.;
  bool ForceComplete = false;

private:
  vtkNeuralVolumeMapper(const vtkNeuralVolumeMapper&) = delete;
  void operator=(const vtkNeuralVolumeMapper&) = delete;

  struct vtkInternals;

  /** Describes the scene to the marcher, without pictures and depth. */
  void FillRequest(vtkRenderer* renderer, vtkVolume* volume);

  /** Marches the rays: request's picture, corrected for translucent surfaces. False, after a message, if that
   * fails. */
  bool March(vtkRenderer* renderer, const int viewport[4], int eye);

  /** Shows each distinct message once. */
  void ReportOnce(const std::string& message);

  std::unique_ptr<vtkInternals> Internals;
};

#endif
