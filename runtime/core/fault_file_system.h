// A file system at which made-up faults happen (runtime/core/fault_points.h): each call that touches one folder
// reaches a place before it is carried out.
//   save.create save.append save.sync save.close save.rename save.delete save.truncate save.list save.read
//   save.folders save.sync_folder
// What is outside of the folder goes through as it is.
#ifndef LOCKSTEP_RUNTIME_CORE_FAULT_FILE_SYSTEM_H_
#define LOCKSTEP_RUNTIME_CORE_FAULT_FILE_SYSTEM_H_

#include <memory>
#include <string>

#include "runtime/core/fault_points.h"
#include "runtime/core/file_system.h"

namespace lockstep {

// Over `under`, for what is inside `folder`. Borrows `faults`; both outlive it.
std::unique_ptr<FileSystem> MakeFaultFileSystem(FileSystem* under, std::string folder, FaultPoints* faults);

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_FAULT_FILE_SYSTEM_H_
