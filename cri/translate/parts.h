// The parts of a container's translation, one file each.
#pragma once

#include "cri/translate/container_spec.h"

namespace crisp::cri {

Status FillNamespaces(const TranslateInput& input, runtime::ContainerSpec* spec);  // security.cc
Status FillSecurity(const TranslateInput& input, runtime::ContainerSpec* spec);    // security.cc
Status FillSeccomp(const TranslateInput& input, runtime::ContainerSpec* spec);     // seccomp.cc
Status FillAppArmor(const TranslateInput& input, runtime::ContainerSpec* spec);    // apparmor.cc
Status FillSelinux(const TranslateInput& input, runtime::ContainerSpec* spec);     // selinux.cc
Status FillUser(const TranslateInput& input, runtime::ContainerSpec* spec);        // user.cc
Status FillProcess(const TranslateInput& input, runtime::ContainerSpec* spec);     // process.cc
Status FillMounts(const TranslateInput& input, runtime::ContainerSpec* spec);      // mounts.cc
void SortMounts(std::vector<runtime::BindMount>* mounts);                          // mounts.cc
Status FillDevices(const TranslateInput& input, runtime::ContainerSpec* spec);     // devices.cc
Status AddCdiNode(const CdiNode& wanted, runtime::ContainerSpec* spec);            // devices.cc
Status FillCdi(const TranslateInput& input, runtime::ContainerSpec* spec);         // cdi.cc
Status FillResources(const TranslateInput& input, runtime::ContainerSpec* spec);   // resources.cc

}  // namespace crisp::cri
