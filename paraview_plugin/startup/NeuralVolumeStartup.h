// SPDX-License-Identifier: BSD-3-Clause
#ifndef NeuralVolumeStartup_h
#define NeuralVolumeStartup_h

/**
 * Runs when ParaView loads the plugin, before ParaView looks at its XML and Python parts: makes Python able
 * to find this project and torch, and arranges for the embedded Python entry to be loaded right after.
 */
void neural_volume_startup();

#endif
