// SPDX-License-Identifier: BSD-3-Clause
/**
 * @class vtkPVNeuralVolumeInformation
 * @brief whether all ranks have finished the last picture of a neural volume
 *
 * Gathered by the client from the rendering processes; an information-only property would be answered by the
 * client's own object, which draws nothing.
 */
#ifndef vtkPVNeuralVolumeInformation_h
#define vtkPVNeuralVolumeInformation_h

#include "vtkNeuralVolumeModule.h" // for export macro
#include "vtkPVInformation.h"

class VTKNEURALVOLUME_EXPORT vtkPVNeuralVolumeInformation : public vtkPVInformation
{
public:
  static vtkPVNeuralVolumeInformation* New();
  vtkTypeMacro(vtkPVNeuralVolumeInformation, vtkPVInformation);
  void PrintSelf(ostream& os, vtkIndent indent) override;

  void CopyFromObject(vtkObject* object) override;
  void AddInformation(vtkPVInformation* other) override;
  void CopyToStream(vtkClientServerStream* stream) override;
  void CopyFromStream(const vtkClientServerStream* stream) override;

  /** Whether the picture is complete on every rank. */
  vtkGetMacro(Complete, int);

  /** Share of the picture that is final on the rank that is furthest behind. */
  vtkGetMacro(Fraction, double);

protected:
  vtkPVNeuralVolumeInformation() = default;
  ~vtkPVNeuralVolumeInformation() override = default;

  int Complete = 1;
  double Fraction = 1.;

private:
  vtkPVNeuralVolumeInformation(const vtkPVNeuralVolumeInformation&) = delete;
  void operator=(const vtkPVNeuralVolumeInformation&) = delete;
};

#endif
