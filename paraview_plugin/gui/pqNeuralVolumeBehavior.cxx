// SPDX-License-Identifier: BSD-3-Clause
#include "pqNeuralVolumeBehavior.h"

#include "vtkPVNeuralVolumeInformation.h"

#include "pqApplicationCore.h"
#include "pqRenderView.h"
#include "pqRepresentation.h"
#include "pqServer.h"
#include "pqServerManagerModel.h"
#include "vtkCommand.h"
#include "vtkDataObject.h"
#include "vtkNew.h"
#include "vtkPVArrayInformation.h"
#include "vtkPVDataInformation.h"
#include "vtkPVDataSetAttributesInformation.h"
#include "vtkPVSession.h"
#include "vtkSMPVRepresentationProxy.h"
#include "vtkSMProperty.h"
#include "vtkSMPropertyHelper.h"
#include "vtkSMSourceProxy.h"
#include "vtkWeakPointer.h"

#include <QGuiApplication>
#include <QJsonDocument>
#include <QJsonObject>

#include <cstring>

namespace
{
constexpr const char* TypeName = "Neural Volume";
constexpr const char* UnitDistance = "NeuralOpacityUnitDistance";
constexpr const char* SharedUnitDistance = "ScalarOpacityUnitDistance";

// One step of refinement: long enough to get somewhere, short enough not to be felt.
constexpr double StepMilliseconds = 80.;

// Pauses of the event loop's timer: between steps, and while the user or ParaView is busy.
constexpr int NextStepDelay = 5;
constexpr int BusyDelay = 50;

bool IsNeural(vtkSMProxy* proxy)
{
  return proxy && proxy->GetProperty("NeuralTimeBudget") && proxy->GetProperty("Representation") &&
    strcmp(vtkSMPropertyHelper(proxy, "Representation").GetAsString(), TypeName) == 0;
}

bool IsUnfinished(pqRepresentation* representation)
{
  vtkSMProxy* proxy = representation->getProxy();
  if (!representation->isVisible() || !IsNeural(proxy))
  {
    return false;
  }
  vtkNew<vtkPVNeuralVolumeInformation> information;
  proxy->GatherInformation(information, vtkPVSession::RENDER_SERVER);
  return !information->GetComplete();
}

/** Name of the array that the model in the data gives; empty if there is no model. */
QString ModelArray(vtkSMProxy* representation)
{
  vtkSMPropertyHelper input(representation, "Input");
  auto* source = vtkSMSourceProxy::SafeDownCast(input.GetAsProxy());
  vtkPVDataInformation* data = source ? source->GetDataInformation(input.GetOutputPort()) : nullptr;
  vtkPVArrayInformation* descriptor =
    data ? data->GetArrayInformation("amgsrn_model", vtkDataObject::FIELD) : nullptr;
  if (!descriptor || descriptor->GetNumberOfStringValues() == 0)
  {
    return QString();
  }
  return QJsonDocument::fromJson(descriptor->GetStringValue(0)).object().value("array").toString();
}

/** ParaView picks an array to colour by only for its own volume representations. */
void ColorByModelArray(vtkSMPVRepresentationProxy* proxy)
{
  if (!IsNeural(proxy) || proxy->GetUsingScalarColoring())
  {
    return;
  }
  const QString array = ModelArray(proxy);
  if (!array.isEmpty() && proxy->SetScalarColoring(array.toUtf8().data(), vtkDataObject::POINT))
  {
    proxy->RescaleTransferFunctionToDataRange(/*extend=*/true);
  }
}
}

pqNeuralVolumeBehavior::pqNeuralVolumeBehavior(QObject* parent)
  : Superclass(parent)
{
  this->Timer.setSingleShot(true);
  QObject::connect(&this->Timer, &QTimer::timeout, this, &pqNeuralVolumeBehavior::onTimeout);
}

void pqNeuralVolumeBehavior::onStartup()
{
  auto* model = pqApplicationCore::instance()->getServerManagerModel();
  QObject::connect(model, &pqServerManagerModel::viewAdded, this, &pqNeuralVolumeBehavior::onViewAdded);
  QObject::connect(
    model, &pqServerManagerModel::representationAdded, this, &pqNeuralVolumeBehavior::onRepresentationAdded);
  // The plugin may be loaded when there is something to look at already.
  for (pqView* view : model->findItems<pqView*>())
  {
    this->onViewAdded(view);
  }
  for (pqRepresentation* representation : model->findItems<pqRepresentation*>())
  {
    this->onRepresentationAdded(representation);
  }
}

void pqNeuralVolumeBehavior::onShutdown()
{
  this->Timer.stop();
  this->Unfinished.clear();
}

void pqNeuralVolumeBehavior::onViewAdded(pqView* view)
{
  if (qobject_cast<pqRenderView*>(view))
  {
    QObject::connect(
      view, &pqView::endRender, this, &pqNeuralVolumeBehavior::onRenderEnded, Qt::UniqueConnection);
  }
}

void pqNeuralVolumeBehavior::onRepresentationAdded(pqRepresentation* representation)
{
  vtkSMProxy* proxy = representation->getProxy();
  if (!proxy || !proxy->GetProperty("NeuralTimeBudget"))
  {
    return;
  }
  vtkSMPropertyHelper(proxy, "NeuralTimeBudget").Set(StepMilliseconds);
  proxy->UpdateVTKObjects();
  proxy->GetProperty("Representation")
    ->AddObserver(vtkCommand::ModifiedEvent, this, &pqNeuralVolumeBehavior::onRepresentationTypeChanged);
  proxy->GetProperty(UnitDistance)
    ->AddObserver(vtkCommand::ModifiedEvent, this, &pqNeuralVolumeBehavior::onUnitDistanceChanged);
}

void pqNeuralVolumeBehavior::onUnitDistanceChanged(vtkObject* caller, unsigned long, void*)
{
  // The panel's own property follows the one that all volumes share (ParaView links them); this is the way
  // back.
  auto* property = vtkSMProperty::SafeDownCast(caller);
  // The property belongs to our part of the representation, the shared one to the whole.
  vtkSMProxy* part = property ? property->GetParent() : nullptr;
  vtkSMProxy* proxy = part ? part->GetTrueParentProxy() : nullptr;
  if (IsNeural(proxy))
  {
    const double distance = vtkSMPropertyHelper(property).GetAsDouble();
    vtkSMPropertyHelper shared(proxy, SharedUnitDistance);
    if (shared.GetAsDouble() != distance)
    {
      shared.Set(distance);
    }
  }
}

void pqNeuralVolumeBehavior::onRepresentationTypeChanged(vtkObject* caller, unsigned long, void*)
{
  auto* property = vtkSMProperty::SafeDownCast(caller);
  vtkWeakPointer<vtkSMPVRepresentationProxy> proxy =
    vtkSMPVRepresentationProxy::SafeDownCast(property ? property->GetParent() : nullptr);
  if (!IsNeural(proxy))
  {
    return;
  }
  // Later, so that a state file that is being loaded can set its own colouring first.
  QTimer::singleShot(0, this,
    [proxy]()
    {
      if (proxy)
      {
        ColorByModelArray(proxy);
        pqApplicationCore::instance()->render();
      }
    });
}

void pqNeuralVolumeBehavior::onRenderEnded()
{
  QPointer<pqView> view = qobject_cast<pqView*>(this->sender());
  if (!view || this->Unfinished.contains(view))
  {
    return;
  }
  for (pqRepresentation* representation : view->getRepresentations())
  {
    if (IsUnfinished(representation))
    {
      this->Unfinished.append(view);
      this->Timer.start(NextStepDelay);
      return;
    }
  }
}

void pqNeuralVolumeBehavior::onTimeout()
{
  // A pressed button means that the camera or a slider is being dragged; ParaView renders that by itself.
  if (QGuiApplication::mouseButtons() != Qt::NoButton)
  {
    this->Timer.start(BusyDelay);
    return;
  }
  QPointer<pqView> view;
  while (!view && !this->Unfinished.isEmpty())
  {
    view = this->Unfinished.takeFirst();
  }
  if (view && view->getServer()->isProcessingPending())
  {
    this->Unfinished.append(view);
    this->Timer.start(BusyDelay);
    return;
  }
  if (view)
  {
    view->forceRender(); // when that leaves the picture unfinished, onRenderEnded() asks for the next step
  }
  if (!this->Unfinished.isEmpty() && !this->Timer.isActive())
  {
    this->Timer.start(NextStepDelay);
  }
}
