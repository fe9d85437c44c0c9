// SPDX-License-Identifier: BSD-3-Clause
#include "vtkNeuralVolumeRepresentation.h"

#include "NeuralPeelingGuard.h"
#include "vtkNeuralVolumeMapper.h"

#include "vtkAlgorithmOutput.h"
#include "vtkExtentTranslator.h"
#include "vtkFieldData.h"
#include "vtkImageData.h"
#include "vtkInformation.h"
#include "vtkInformationVector.h"
#include "vtkMath.h"
#include "vtkMatrix4x4.h"
#include "vtkMultiProcessController.h"
#include "vtkObjectFactory.h"
#include "vtkOutlineSource.h"
#include "vtkPVRenderView.h"
#include "vtkPolyDataMapper.h"
#include "vtkRenderer.h"
#include "vtkStreamingDemandDrivenPipeline.h"
#include "vtkStringArray.h"
#include "vtkVolumeProperty.h"

#include <algorithm>

namespace
{
constexpr const char* DescriptorArray = "amgsrn_model";

// The volume is never sent anywhere; a size above zero keeps ParaView from treating the data as absent.
constexpr unsigned long NominalSize = 1024;

// vtkPVView tells only its subclasses that a screenshot is being taken.
class ScreenshotState : public vtkPVView
{
public:
  static bool IsCapturing(vtkPVView* view)
  {
    return view && (view->*(&ScreenshotState::GetInCaptureScreenshot))();
  }
};

vtkImageData* ImageOf(vtkAlgorithmOutput* port)
{
  return port ? vtkImageData::SafeDownCast(port->GetProducer()->GetOutputDataObject(port->GetIndex()))
              : nullptr;
}

std::string DescriptorIn(vtkImageData* image)
{
  auto* array =
    image ? vtkStringArray::SafeDownCast(image->GetFieldData()->GetAbstractArray(DescriptorArray)) : nullptr;
  return array && array->GetNumberOfValues() > 0 ? array->GetValue(0) : std::string();
}

/** The part of the whole extent that this process draws. */
void OwnExtent(const int whole[6], int own[6])
{
  auto* controller = vtkMultiProcessController::GetGlobalController();
  vtkNew<vtkExtentTranslator> translator;
  int extent[6];
  std::copy(whole, whole + 6, extent);
  translator->PieceToExtentThreadSafe(controller ? controller->GetLocalProcessId() : 0,
    controller ? controller->GetNumberOfProcesses() : 1, 0, extent, own, vtkExtentTranslator::BLOCK_MODE, 0);
}
}

vtkStandardNewMacro(vtkNeuralVolumeRepresentation);

vtkNeuralVolumeRepresentation::vtkNeuralVolumeRepresentation()
  : PeelingGuard(new NeuralPeelingGuard)
{
  vtkMath::UninitializeBounds(this->DataBounds);
  this->Actor->SetLODMapper(this->OutlineMapper);
}

vtkNeuralVolumeRepresentation::~vtkNeuralVolumeRepresentation() = default;

int vtkNeuralVolumeRepresentation::FillInputPortInformation(int, vtkInformation* info)
{
  info->Set(vtkAlgorithm::INPUT_REQUIRED_DATA_TYPE(), "vtkImageData");
  info->Set(vtkAlgorithm::INPUT_IS_OPTIONAL(), 1);
  return 1;
}

int vtkNeuralVolumeRepresentation::RequestUpdateExtent(
  vtkInformation* request, vtkInformationVector** inputVector, vtkInformationVector* outputVector)
{
  this->Superclass::RequestUpdateExtent(request, inputVector, outputVector);
  if (inputVector[0]->GetNumberOfInformationObjects() == 1)
  {
    // One cell is enough to get at the field data; the values come from the model.
    vtkInformation* info = inputVector[0]->GetInformationObject(0);
    int extent[6];
    vtkStreamingDemandDrivenPipeline::GetWholeExtent(info, extent);
    for (int k = 0; k < 3; ++k)
    {
      extent[2 * k + 1] = std::min(extent[2 * k] + 1, extent[2 * k + 1]);
    }
    info->Set(vtkStreamingDemandDrivenPipeline::UPDATE_EXTENT(), extent, 6);
    info->Set(vtkStreamingDemandDrivenPipeline::EXACT_EXTENT(), 0);
  }
  return 1;
}

int vtkNeuralVolumeRepresentation::RequestData(
  vtkInformation* request, vtkInformationVector** inputVector, vtkInformationVector* outputVector)
{
  vtkMath::UninitializeBounds(this->DataBounds);
  this->Box->Initialize();
  vtkInformation* info =
    inputVector[0]->GetNumberOfInformationObjects() == 1 ? inputVector[0]->GetInformationObject(0) : nullptr;
  vtkImageData* image = info ? vtkImageData::GetData(info) : nullptr;
  int whole[6] = { 0, -1, 0, -1, 0, -1 };
  if (info)
  {
    vtkStreamingDemandDrivenPipeline::GetWholeExtent(info, whole);
  }
  if (image && whole[0] <= whole[1] && whole[2] <= whole[3] && whole[4] <= whole[5])
  {
    int own[6];
    OwnExtent(whole, own);
    double origin[3], spacing[3], bounds[6];
    for (int k = 0; k < 3; ++k)
    {
      bounds[2 * k] = image->GetOrigin()[k] + image->GetSpacing()[k] * whole[2 * k];
      bounds[2 * k + 1] = image->GetOrigin()[k] + image->GetSpacing()[k] * whole[2 * k + 1];
      origin[k] = image->GetOrigin()[k] + image->GetSpacing()[k] * own[2 * k];
      spacing[k] = image->GetSpacing()[k] * (own[2 * k + 1] - own[2 * k]);
    }
    this->Box->SetDimensions(2, 2, 2);
    this->Box->SetOrigin(origin);
    this->Box->SetSpacing(spacing);
    this->Box->GetFieldData()->PassData(image->GetFieldData());
    this->Box->GetBounds(this->DataBounds);
    this->OutlineSource->SetBounds(bounds);
    this->OutlineSource->Update();
    this->Actor->SetEnableLOD(0);
    if (DescriptorIn(image).empty() && image->GetNumberOfPoints() > 0)
    {
      vtkWarningMacro("Neural Volume draws nothing here: the data does not come from an .amgsrn model.");
    }
  }
  else
  {
    // On the client of a remote server there is no data, only the outline that stands in for it.
    this->NeuralMapper->RemoveAllInputs();
    this->Actor->SetEnableLOD(1);
  }
  this->Box->Modified();
  return this->Superclass::RequestData(request, inputVector, outputVector);
}

int vtkNeuralVolumeRepresentation::ProcessViewRequest(
  vtkInformationRequestKey* request, vtkInformation* inInfo, vtkInformation* outInfo)
{
  if (!this->Superclass::ProcessViewRequest(request, inInfo, outInfo))
  {
    return 0; // not visible
  }
  if (request == vtkPVView::REQUEST_UPDATE())
  {
    vtkPVRenderView::SetPiece(inInfo, this, this->Box, NominalSize, 0);
    vtkPVRenderView::SetDeliverToClientAndRenderingProcesses(inInfo, this, false, false, 0);
    vtkPVRenderView::SetPiece(inInfo, this, this->OutlineSource->GetOutputDataObject(0), 0, 1);
    vtkNew<vtkMatrix4x4> matrix; // cameras are reset to where the actor is moved and stretched to
    this->Actor->GetMatrix(matrix);
    vtkPVRenderView::SetGeometryBounds(inInfo, this, this->DataBounds, matrix);
    vtkPVRenderView::SetRequiresDistributedRendering(inInfo, this, true);
    // Boxes of several ranks have to be blended front to back, without moving any data between ranks.
    outInfo->Set(vtkPVRenderView::NEED_ORDERED_COMPOSITING(), 1);
    vtkPVRenderView::SetOrderedCompositingConfiguration(
      inInfo, this, vtkPVRenderView::USE_BOUNDS_FOR_REDISTRIBUTION);
  }
  else if (request == vtkPVView::REQUEST_UPDATE_LOD())
  {
    vtkPVRenderView::SetRequiresDistributedRenderingLOD(inInfo, this, true);
  }
  else if (request == vtkPVView::REQUEST_RENDER())
  {
    this->PrepareRender(inInfo);
  }
  return 1;
}

void vtkNeuralVolumeRepresentation::PrepareRender(vtkInformation* inInfo)
{
  vtkAlgorithmOutput* producer = vtkPVRenderView::GetPieceProducer(inInfo, this, 0);
  this->NeuralMapper->SetInputConnection(producer);
  this->OutlineMapper->SetInputConnection(vtkPVRenderView::GetPieceProducer(inInfo, this, 1));
  this->Actor->SetMapper(this->NeuralMapper);

  vtkInformation* arrayInfo = this->GetInputArrayInformation(0);
  const bool byPoints = arrayInfo && arrayInfo->Has(vtkDataObject::FIELD_NAME()) &&
    arrayInfo->Has(vtkDataObject::FIELD_ASSOCIATION()) &&
    arrayInfo->Get(vtkDataObject::FIELD_ASSOCIATION()) == vtkDataObject::FIELD_ASSOCIATION_POINTS;
  const char* arrayName = byPoints ? arrayInfo->Get(vtkDataObject::FIELD_NAME()) : nullptr;
  this->NeuralMapper->SetModel(DescriptorIn(ImageOf(producer)));
  this->NeuralMapper->SetColorArray(arrayName ? arrayName : "");
  this->NeuralMapper->SetForceComplete(
    ScreenshotState::IsCapturing(vtkPVView::SafeDownCast(this->GetView())));
  this->Property->SetIndependentComponents(true);

  if (auto* view = vtkPVRenderView::SafeDownCast(this->GetView()))
  {
    this->PeelingGuard->Hold(view->GetRenderer());
  }
}

void vtkNeuralVolumeRepresentation::SetVisibility(bool visible)
{
  this->Superclass::SetVisibility(visible);
  if (!visible)
  {
    // Also reached when another representation is chosen.
    this->PeelingGuard->Release();
  }
}

bool vtkNeuralVolumeRepresentation::AddToView(vtkView* view)
{
  auto* renderView = vtkPVRenderView::SafeDownCast(view);
  if (!renderView)
  {
    return false;
  }
  renderView->GetRenderer()->AddActor(this->Actor);
  return this->Superclass::AddToView(view);
}

bool vtkNeuralVolumeRepresentation::RemoveFromView(vtkView* view)
{
  auto* renderView = vtkPVRenderView::SafeDownCast(view);
  if (!renderView)
  {
    return false;
  }
  this->PeelingGuard->Release();
  renderView->GetRenderer()->RemoveActor(this->Actor);
  return this->Superclass::RemoveFromView(view);
}

void vtkNeuralVolumeRepresentation::SetSamplesPerVoxel(double samples)
{
  this->NeuralMapper->SetSamplesPerVoxel(samples);
}

void vtkNeuralVolumeRepresentation::SetTimeBudget(double milliseconds)
{
  this->NeuralMapper->SetTimeBudget(milliseconds);
}

bool vtkNeuralVolumeRepresentation::GetComplete()
{
  return this->NeuralMapper->GetComplete();
}

double vtkNeuralVolumeRepresentation::GetFraction()
{
  return this->NeuralMapper->GetFraction();
}

void vtkNeuralVolumeRepresentation::PrintSelf(ostream& os, vtkIndent indent)
{
  this->Superclass::PrintSelf(os, indent);
  os << indent << "NeuralMapper:" << endl;
  this->NeuralMapper->PrintSelf(os, indent.GetNextIndent());
}
