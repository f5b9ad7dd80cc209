// The parts of `lockstep records` that write records, and what all of its parts share.
#ifndef LOCKSTEP_LAUNCHER_RECORDS_MAKE_H_
#define LOCKSTEP_LAUNCHER_RECORDS_MAKE_H_

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "launcher/command.h"
#include "runtime/data/remote/remote_file_system.h"

namespace lockstep::launcher {

// The disk and servers, made where a command runs and kept while it does.
class Sources {
 public:
  FileSystem* operator()() { return &files_; }

 private:
  data::RemoteFileSystem files_{RealFileSystem()};
};

// The files that a command reads.
void AddRecordFiles(CLI::App* command, std::vector<std::string>* files);

void AddMakeRecords(CLI::App* parent, CommandContext& context);     // make
void AddReshardRecords(CLI::App* parent, CommandContext& context);  // shard and merge

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_RECORDS_MAKE_H_
