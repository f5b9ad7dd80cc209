// The commands of the `lockstep` program. Each command is one file with one function AddXCommand that
// declares its flags and, when the command line names it, hands its work to CommandContext::Run.
//
//   void AddEchoCommand(CLI::App& app, CommandContext& context) {
//     struct Options { std::string text; };
//     auto options = std::make_shared<Options>();
//     CLI::App* command = app.add_subcommand("echo", "Print a text");
//     command->add_option("text", options->text, "What to print")->required();
//     command->footer("Example:\n  lockstep echo hello");
//     context.OnRun(command, [options] { return Echo(*options); });
//   }
//
// CLI11 throws; nothing of that leaves launcher/program.cc. The work itself runs after parsing is done, and
// returns a Status, whose kind of trouble becomes the exit code (docs/DESIGN.md, section 7).
#ifndef LOCKSTEP_LAUNCHER_COMMAND_H_
#define LOCKSTEP_LAUNCHER_COMMAND_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "CLI/App.hpp"
#include "CLI/Validators.hpp"
#include "runtime/core/status.h"

namespace lockstep::nn {
class ModelRegistry;
}  // namespace lockstep::nn

namespace lockstep::launcher {

struct CommandContext {
  std::vector<std::string> arguments;  // the whole command line; [0] is the program
  const nn::ModelRegistry* models =
      nullptr;                           // models beside the built-in ones, registered in C++; may be null
  std::function<absl::Status()> action;  // what the parsed command line asks for
  int exit_code = 0;                     // an action may set it for endings that are no error (130, 143)

  // Makes `work` the action when `command` is the one on the command line. For leaf commands only.
  void OnRun(CLI::App* command, std::function<absl::Status()> work) {
    command->callback([this, work = std::move(work)] { action = work; });
  }
};

// For options that take an integer: CLI11 would cut one beyond 64 bits to the largest that fits.
CLI::Validator WholeNumber(int64_t least);

void AddTrainCommand(CLI::App& app, CommandContext& context);
void AddLaunchCommand(CLI::App& app, CommandContext& context);
void AddCtlCommand(CLI::App& app, CommandContext& context);
void AddCommCommand(CLI::App& app, CommandContext& context);
void AddRecordsCommand(CLI::App& app,
                       CommandContext& context);  // in records_command.cc, by the data layer's owner
void AddCheckpointCommand(CLI::App& app,
                          CommandContext& context);  // in checkpoint_command.cc, by the checkpoint's owner
void AddModelCommand(CLI::App& app, CommandContext& context);
void AddVersionCommand(CLI::App& app, CommandContext& context);

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_COMMAND_H_
