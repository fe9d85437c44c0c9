// SPDX-License-Identifier: BSD-3-Clause
/**
 * @class vtkNeuralVolumeRepresentation
 * @brief the representation "Neural Volume" of image data that carries a neural model
 *
 * Colour map, opacity function, and the actor's transform are those of ParaView's own volume representation.
 * The data's samples are not needed: one cell is requested from the pipeline, for its field data and the
 * whole extent. Under MPI each rank draws its own box, and the boxes are composited in order.
 */
#ifndef vtkNeuralVolumeRepresentation_h
#define vtkNeuralVolumeRepresentation_h

#include "vtkNeuralVolumeModule.h" // for export macro
#include "vtkNew.h"
#include "vtkVolumeRepresentation.h"

#include <memory>

class NeuralPeelingGuard;
class vtkImageData;
class vtkNeuralVolumeMapper;
class vtkPolyDataMapper;

class VTKNEURALVOLUME_EXPORT vtkNeuralVolumeRepresentation : public vtkVolumeRepresentation
{
public:
  static vtkNeuralVolumeRepresentation* New();
  vtkTypeMacro(vtkNeuralVolumeRepresentation, vtkVolumeRepresentation);
  void PrintSelf(ostream& os, vtkIndent indent) override;

  int ProcessViewRequest(
    vtkInformationRequestKey* request, vtkInformation* inInfo, vtkInformation* outInfo) override;
  void SetVisibility(bool visible) override;

  ///@{
  /** Forwarded to the mapper. */
  void SetSamplesPerVoxel(double samples);
  void SetTimeBudget(double milliseconds);
  bool GetComplete();
  double GetFraction();
  ///@}

protected:
  vtkNeuralVolumeRepresentation();
  ~vtkNeuralVolumeRepresentation() override;

  int FillInputPortInformation(int port, vtkInformation* info) override;
  int RequestUpdateExtent(vtkInformation*, vtkInformationVector**, vtkInformationVector*) override;
  int RequestData(vtkInformation*, vtkInformationVector**, vtkInformationVector*) override;
  bool AddToView(vtkView* view) override;
  bool RemoveFromView(vtkView* view) override;

  vtkNew<vtkNeuralVolumeMapper> NeuralMapper;
  vtkNew<vtkPolyDataMapper> OutlineMapper;
  vtkNew<vtkImageData> Box; // this rank's box: 2 x 2 x 2 points without values, and the input's field data

private:
  vtkNeuralVolumeRepresentation(const vtkNeuralVolumeRepresentation&) = delete;
  void operator=(const vtkNeuralVolumeRepresentation&) = delete;

  void PrepareRender(vtkInformation* inInfo);

  std::unique_ptr<NeuralPeelingGuard> PeelingGuard;
};

#endif
