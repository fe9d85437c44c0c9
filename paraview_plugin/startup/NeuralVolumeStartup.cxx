// SPDX-License-Identifier: BSD-3-Clause
#include "vtkPython.h" // has to be the first include

#include "NeuralVolumeStartup.h"

#include "NeuralVolumeConfig.h"
#include "vtkCallbackCommand.h"
#include "vtkNew.h"
#include "vtkPVPlugin.h"
#include "vtkPVPluginTracker.h"
#include "vtkPVPythonModule.h"
#include "vtkPVServerManagerPluginInterface.h"
#include "vtkPythonInterpreter.h"
#include "vtkSetGet.h"
#include "vtkSmartPyObject.h"

#include <cstring>
#include <string>
#include <vector>

namespace
{
constexpr const char* PluginName = "NeuralVolume";
constexpr const char* EntryModule = "amgsrn_plugin";

// ParaView's own packages have to win over those of the environment with torch: paths are appended, never
// prepended. inspect.getargspec is gone in Python 3.11, but ParaView 5.11 still imports it.
constexpr const char* StartupCode = R"PYTHON(
import importlib.util
import inspect
import sys
import types


def repair():
    if not hasattr(inspect, "getargspec"):
        inspect.getargspec = inspect.getfullargspec


def add_paths(paths):
    for path in paths.split(";"):
        if path and path not in sys.path:
            sys.path.append(path)


def missing_modules():
    return [name for name in ("numpy", "torch", "amgsrn_core", "paraview_plugin") if importlib.util.find_spec(name) is None]


def load_entry(name, source):
    """Server manager XML of the proxies in the embedded entry."""
    from paraview.detail import pythonalgorithm

    module = types.ModuleType(name)
    module.__file__ = f"<{name} in the NeuralVolume plugin>"
    exec(compile(source, module.__file__, "exec"), module.__dict__)
    sys.modules[name] = module
    return pythonalgorithm.get_plugin_xmls(module)
)PYTHON";

/**
 * ParaView 5.11 makes Python modules of a C++ plugin importable, but ignores the proxies they declare. This
 * second, internal plugin hands them over.
 */
class EntryPlugin
  : public vtkPVPlugin
  , public vtkPVServerManagerPluginInterface
{
public:
  explicit EntryPlugin(std::vector<std::string> xmls)
    : XMLs(std::move(xmls))
  {
  }
  const char* GetPluginName() override { return "NeuralVolumeReader"; }
  const char* GetPluginVersionString() override { return "0.1"; }
  bool GetRequiredOnServer() override { return false; }
  bool GetRequiredOnClient() override { return false; }
  const char* GetRequiredPlugins() override { return ""; }
  const char* GetDescription() override
  {
    return "Reader of .amgsrn files; part of the NeuralVolume plugin.";
  }
  const char* GetEULA() override { return nullptr; }
  void GetXMLs(std::vector<std::string>& xmls) override { xmls = this->XMLs; }
  vtkClientServerInterpreterInitializer::InterpreterInitializationCallback GetInitializeInterpreterCallback()
    override
  {
    return nullptr;
  }

private:
  std::vector<std::string> XMLs;
};

/** The pending Python exception in one line; clears it. */
std::string TakePythonError()
{
  PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  vtkSmartPyObject name(type ? PyObject_GetAttrString(type, "__name__") : nullptr);
  vtkSmartPyObject text(value ? PyObject_Str(value) : nullptr);
  const char* nameChars = name.GetPointer() ? PyUnicode_AsUTF8(name.GetPointer()) : nullptr;
  const char* textChars = text.GetPointer() ? PyUnicode_AsUTF8(text.GetPointer()) : nullptr;
  std::string line = std::string(nameChars ? nameChars : "error") + ": " + (textChars ? textChars : "");
  PyErr_Clear();
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
  return line;
}

/** The functions of StartupCode; nullptr, with a message, when Python does not work at all. */
PyObject* StartupFunctions()
{
  static PyObject* functions = nullptr;
  if (!functions)
  {
    vtkSmartPyObject scope(PyDict_New());
    PyDict_SetItemString(scope.GetPointer(), "__builtins__", PyEval_GetBuiltins());
    vtkSmartPyObject done(PyRun_String(StartupCode, Py_file_input, scope.GetPointer(), scope.GetPointer()));
    if (!done)
    {
      vtkGenericWarningMacro("Neural Volume: Python does not work here (" << TakePythonError() << ").");
      return nullptr;
    }
    functions = scope.ReleaseReference();
  }
  return functions;
}

/** Calls a function of StartupCode; new reference, nullptr with a Python exception set. */
PyObject* CallStartup(const char* name, const char* format, const char* first, const char* second = nullptr)
{
  PyObject* functions = StartupFunctions();
  PyObject* function = functions ? PyDict_GetItemString(functions, name) : nullptr;
  return function ? PyObject_CallFunction(function, format, first, second) : nullptr;
}

void LoadEntry()
{
  vtkPythonScopeGilEnsurer gil;
  vtkSmartPyObject loaded(PyMapping_GetItemString(PyImport_GetModuleDict(), EntryModule));
  PyErr_Clear();
  if (loaded)
  {
    return; // a newer ParaView has taken care of it
  }
  vtkPVPythonModule* entry = vtkPVPythonModule::GetModule(EntryModule);
  if (!entry)
  {
    return;
  }
  vtkSmartPyObject xmls(CallStartup("load_entry", "ss", EntryModule, entry->GetSource()));
  if (!xmls || !PyList_Check(xmls.GetPointer()))
  {
    vtkGenericWarningMacro("Neural Volume: .amgsrn files cannot be opened, the reader did not load ("
      << TakePythonError() << ").");
    return;
  }
  std::vector<std::string> texts;
  for (Py_ssize_t i = 0; i < PyList_Size(xmls.GetPointer()); ++i)
  {
    const char* text = PyUnicode_AsUTF8(PyList_GetItem(xmls.GetPointer(), i));
    texts.emplace_back(text ? text : "");
  }
  static EntryPlugin plugin(texts); // ParaView keeps plugins until the process ends
  vtkPVPlugin::ImportPlugin(&plugin);
}

void OnPluginRegistered(vtkObject*, unsigned long, void*, void* callData)
{
  auto* plugin = static_cast<vtkPVPlugin*>(callData);
  if (plugin && plugin->GetPluginName() && strcmp(plugin->GetPluginName(), PluginName) == 0)
  {
    LoadEntry();
  }
}
}

void neural_volume_startup()
{
  vtkPythonInterpreter::Initialize();
  {
    vtkPythonScopeGilEnsurer gil;
    if (!StartupFunctions())
    {
      return;
    }
    vtkSmartPyObject repaired(CallStartup("repair", nullptr, nullptr));
    vtkSmartPyObject added(CallStartup("add_paths", "s", NEURAL_VOLUME_PYTHON_PATHS));
    vtkSmartPyObject missing(CallStartup("missing_modules", nullptr, nullptr));
    if (!repaired || !added || !missing)
    {
      vtkGenericWarningMacro("Neural Volume: Python could not be prepared (" << TakePythonError() << ").");
      return;
    }
    if (PyList_Size(missing.GetPointer()) > 0)
    {
      vtkSmartPyObject text(PyObject_Str(missing.GetPointer()));
      vtkGenericWarningMacro("Neural Volume cannot work: Python does not find "
        << PyUnicode_AsUTF8(text.GetPointer())
        << "; build the plugin with -DAMGSRN_PYTHON_PATHS naming the folders "
        << "that hold them (now: " << NEURAL_VOLUME_PYTHON_PATHS << ").");
    }
  }
  // The embedded entry can be fetched once ParaView has registered this plugin.
  vtkNew<vtkCallbackCommand> callback;
  callback->SetCallback(OnPluginRegistered);
  vtkPVPluginTracker::GetInstance()->AddObserver(vtkCommand::RegisterEvent, callback);
}
