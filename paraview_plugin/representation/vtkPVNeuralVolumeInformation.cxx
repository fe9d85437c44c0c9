// SPDX-License-Identifier: BSD-3-Clause
#include "vtkPVNeuralVolumeInformation.h"

#include "vtkNeuralVolumeRepresentation.h"

#include "vtkClientServerStream.h"
#include "vtkCompositeRepresentation.h"
#include "vtkObjectFactory.h"

#include <algorithm>

vtkStandardNewMacro(vtkPVNeuralVolumeInformation);

void vtkPVNeuralVolumeInformation::CopyFromObject(vtkObject* object)
{
  if (auto* composite = vtkCompositeRepresentation::SafeDownCast(object))
  {
    object = composite->GetActiveRepresentation();
  }
  auto* representation = vtkNeuralVolumeRepresentation::SafeDownCast(object);
  this->Complete = representation && !representation->GetComplete() ? 0 : 1;
  this->Fraction = representation ? representation->GetFraction() : 1.;
}

void vtkPVNeuralVolumeInformation::AddInformation(vtkPVInformation* other)
{
  if (auto* info = vtkPVNeuralVolumeInformation::SafeDownCast(other))
  {
    this->Complete = this->Complete && info->Complete;
    this->Fraction = std::min(this->Fraction, info->Fraction);
  }
}

void vtkPVNeuralVolumeInformation::CopyToStream(vtkClientServerStream* stream)
{
  stream->Reset();
  *stream << vtkClientServerStream::Reply << this->Complete << this->Fraction << vtkClientServerStream::End;
}

void vtkPVNeuralVolumeInformation::CopyFromStream(const vtkClientServerStream* stream)
{
  stream->GetArgument(0, 0, &this->Complete);
  stream->GetArgument(0, 1, &this->Fraction);
}

void vtkPVNeuralVolumeInformation::PrintSelf(ostream& os, vtkIndent indent)
{
  this->Superclass::PrintSelf(os, indent);
  os << indent << "Complete: " << this->Complete << endl;
  os << indent << "Fraction: " << this->Fraction << endl;
}
