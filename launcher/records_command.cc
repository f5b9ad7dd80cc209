// `lockstep records`: makes, lists, checks and times record files.
#include "launcher/command.h"

namespace lockstep::launcher {

void AddRecordsCommand(CLI::App& app, CommandContext&) {
  app.add_subcommand("records", "Make, list, check and time record files")->require_subcommand(1);
}

}  // namespace lockstep::launcher
