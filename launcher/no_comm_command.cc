// Stands in for comm_command.cc until comm/bench is written.
#include "launcher/command.h"

namespace lockstep::launcher {

void AddCommCommand(CLI::App&, CommandContext&) {}

}  // namespace lockstep::launcher
