// SPDX-License-Identifier: BSD-3-Clause
#include "vtkPython.h" // has to be the first include

#include "NeuralRendererBridge.h"

#include "vtkPythonInterpreter.h"
#include "vtkSmartPyObject.h"

#include <algorithm>

namespace
{
constexpr const char* RendererModule = "paraview_plugin.renderer";

vtkSmartPyObject Import(const char* name)
{
  return vtkSmartPyObject(PyImport_ImportModule(name));
}

void Put(PyObject* dict, const char* key, PyObject* value)
{
  PyDict_SetItemString(dict, key, value);
  Py_XDECREF(value);
}

PyObject* ToTuple(const double* values, size_t count)
{
  PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(count));
  for (size_t i = 0; i < count; ++i)
  {
    PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), PyFloat_FromDouble(values[i]));
  }
  return tuple;
}

template <typename T>
PyObject* ToBuffer(std::vector<T>& values, int access)
{
  return PyMemoryView_FromMemory(
    reinterpret_cast<char*>(values.data()), static_cast<Py_ssize_t>(values.size() * sizeof(T)), access);
}

vtkSmartPyObject ToDict(NeuralRenderRequest& request)
{
  PyObject* dict = PyDict_New();
  Put(dict, "key", PyLong_FromLongLong(request.Key));
  Put(dict, "model", PyUnicode_FromString(request.Model.c_str()));
  Put(dict, "array", PyUnicode_FromString(request.Array.c_str()));
  Put(dict, "bounds", ToTuple(request.Bounds.data(), request.Bounds.size()));
  Put(dict, "width", PyLong_FromLong(request.Width));
  Put(dict, "height", PyLong_FromLong(request.Height));
  Put(dict, "world_to_clip", ToTuple(request.WorldToClip.data(), request.WorldToClip.size()));
  Put(dict, "model_to_world", ToTuple(request.ModelToWorld.data(), request.ModelToWorld.size()));
  Put(dict, "clipping_planes", ToTuple(request.ClippingPlanes.data(), request.ClippingPlanes.size()));
  Put(dict, "table", ToBuffer(request.Table, PyBUF_READ));
  Put(dict, "range", ToTuple(request.Range.data(), request.Range.size()));
  Put(dict, "component", PyLong_FromLong(request.Component));
  Put(dict, "unit_distance", PyFloat_FromDouble(request.UnitDistance));
  Put(dict, "samples_per_voxel", PyFloat_FromDouble(request.SamplesPerVoxel));
  Put(dict, "interactive", PyBool_FromLong(request.Interactive));
  Put(dict, "budget_ms", PyFloat_FromDouble(request.BudgetMilliseconds));
  Put(dict, "depth", ToBuffer(request.Depth, PyBUF_READ));
  Put(dict, "image", ToBuffer(request.Image, PyBUF_WRITE));
  return vtkSmartPyObject(dict);
}

std::string ToString(PyObject* object)
{
  vtkSmartPyObject text(object ? PyObject_Str(object) : nullptr);
  const char* chars = text ? PyUnicode_AsUTF8(text.GetPointer()) : nullptr;
  PyErr_Clear();
  return chars ? chars : "";
}

std::string Traceback(PyObject* type, PyObject* value, PyObject* trace)
{
  vtkSmartPyObject module = Import("traceback");
  vtkSmartPyObject lines(module ? PyObject_CallMethod(module.GetPointer(), "format_exception", "OOO", type,
                                    value ? value : Py_None, trace ? trace : Py_None)
                                : nullptr);
  std::string text;
  for (Py_ssize_t i = 0; lines && i < PyList_Size(lines.GetPointer()); ++i)
  {
    text += ToString(PyList_GetItem(lines.GetPointer(), i));
  }
  PyErr_Clear();
  return text;
}

bool IsUserError(PyObject* value)
{
  vtkSmartPyObject errors = Import("amgsrn_core.errors");
  vtkSmartPyObject base(errors ? PyObject_GetAttrString(errors.GetPointer(), "AmgsrnError") : nullptr);
  const bool result = base && value && PyObject_IsInstance(value, base.GetPointer()) == 1;
  PyErr_Clear();
  return result;
}

/** Turns the pending Python exception into messages and clears it. */
void TakeError(NeuralRenderResult& result)
{
  PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  vtkSmartPyObject ownType(type), ownValue(value), ownTrace(trace);
  result.Error = ToString(value);
  if (!IsUserError(value))
  {
    vtkSmartPyObject name(type ? PyObject_GetAttrString(type, "__name__") : nullptr);
    result.Error = ToString(name.GetPointer()) + ": " + result.Error;
    result.Traceback = Traceback(type, value, trace);
  }
  std::replace(result.Error.begin(), result.Error.end(), '\n', ' ');
}
}

NeuralRenderResult NeuralRendererBridge::Render(NeuralRenderRequest& request)
{
  NeuralRenderResult result;
  vtkPythonInterpreter::Initialize();
  vtkPythonScopeGilEnsurer gil;
  vtkSmartPyObject module = Import(RendererModule);
  vtkSmartPyObject dict = ToDict(request);
  vtkSmartPyObject answer(
    module ? PyObject_CallMethod(module.GetPointer(), "render", "O", dict.GetPointer()) : nullptr);
  int complete = 1;
  if (answer && PyArg_ParseTuple(answer.GetPointer(), "pd", &complete, &result.Fraction))
  {
    result.Drawn = true;
    result.Complete = complete != 0;
  }
  else
  {
    TakeError(result);
  }
  return result;
}

void NeuralRendererBridge::Release(long long key)
{
  // A mapper may outlive the interpreter when ParaView ends.
  if (!vtkPythonInterpreter::IsInitialized())
  {
    return;
  }
  vtkPythonScopeGilEnsurer gil;
  PyObject* module = PyDict_GetItemString(PyImport_GetModuleDict(), RendererModule); // borrowed
  if (module)
  {
    vtkSmartPyObject done(PyObject_CallMethod(module, "release", "L", key));
    PyErr_Clear();
  }
}
