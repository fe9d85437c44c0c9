// SPDX-License-Identifier: BSD-3-Clause
#ifndef pqNeuralVolumeBehavior_h
#define pqNeuralVolumeBehavior_h

#include <QList>
#include <QObject>
#include <QPointer>
#include <QTimer>

class pqRepresentation;
class pqView;
class vtkObject;

/**
 * What the GUI adds to the "Neural Volume" representation: pictures appear at once and are refined in short
 * steps, between which the user's clicks and keys are handled; and choosing the representation colours by the
 * model's array.
 */
class pqNeuralVolumeBehavior : public QObject
{
  Q_OBJECT
  typedef QObject Superclass;

public:
  explicit pqNeuralVolumeBehavior(QObject* parent = nullptr);

  void onStartup();
  void onShutdown();

private Q_SLOTS:
  void onViewAdded(pqView* view);
  void onRepresentationAdded(pqRepresentation* representation);
  void onRenderEnded();
  void onTimeout();

private:
  Q_DISABLE_COPY(pqNeuralVolumeBehavior)

  void onRepresentationTypeChanged(vtkObject* caller, unsigned long event, void* data);
  void onUnitDistanceChanged(vtkObject* caller, unsigned long event, void* data);

  /** Views with unfinished pictures; the one waiting longest is first. */
  QList<QPointer<pqView>> Unfinished;
  QTimer Timer;
};

#endif
