// SPDX-License-Identifier: BSD-3-Clause
#ifndef NeuralOpenGL_h
#define NeuralOpenGL_h

// OpenGL functions: GLEW up to ParaView 5.13, glad from 6.0 on.
#if __has_include("vtk_glad.h")
#include "vtk_glad.h"
#else
#include "vtk_glew.h"
#endif

#endif
