#include "launcher/program.h"

#include <algorithm>
#include <iostream>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "launcher/build_info.h"
#include "launcher/command.h"
#include "launcher/rank.h"
#include "runtime/core/mapping_guard.h"
#include "runtime/core/names.h"

namespace lockstep::launcher {
namespace {

constexpr char kAbout[] =
    "Lockstep trains models data-parallel, to bits that do not depend on how many ranks ran.\n"
    "Start ranks with mpirun, srun, or `lockstep launch`.";

constexpr char kExamples[] =
    "Examples:\n"
    "  mpirun -np 2 lockstep train examples/digits_cnn.textproto --out RUN\n"
    "  lockstep launch -n 2 -- train examples/digits_cnn.textproto --out RUN\n"
    "  lockstep train --help\n"
    "Exit codes: 0 done, 2 usage or configuration, 3 data, 4 a peer failed, 5 checkpoint, 6 numerics,\n"
    "  130/143 interrupted after a checkpoint.";

void AddCommands(CLI::App& app, CommandContext& context) {
  AddTrainCommand(app, context);
  AddLaunchCommand(app, context);
  AddCtlCommand(app, context);
  AddCommCommand(app, context);
  AddRecordsCommand(app, context);
  AddCheckpointCommand(app, context);
  AddModelCommand(app, context);
  AddVersionCommand(app, context);
  for (CLI::App* group : app.get_subcommands(nullptr)) {
    const auto commands = group->get_subcommands(nullptr);
    if (commands.empty() || !group->get_footer().empty()) continue;
    group->footer(
        absl::StrCat("Example:\n  lockstep ", group->get_name(), " ", commands[0]->get_name(), " --help"));
  }
}

// The innermost command that the command line names, and how to call it: "lockstep records ls".
const CLI::App* Innermost(const CLI::App& app, std::string* name) {
  const CLI::App* at = &app;
  *name = app.get_name();
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    absl::StrAppend(name, " ", at->get_name());
  }
  return at;
}

std::vector<std::string> FlagNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back(absl::StrCat("--", name));
    for (const std::string& name : option->get_snames()) names.push_back(absl::StrCat("-", name));
  }
  return names;
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) names.push_back(command->get_name());
  return names;
}

// What is wrong with the command line, in our words where they are better.
std::string UsageError(const CLI::App& app, const CLI::ParseError& error) {
  std::string name;
  const CLI::App* at = Innermost(app, &name);
  std::string text;
  const std::vector<std::string> rest = at->remaining();
  if (!rest.empty() && absl::StartsWith(rest[0], "-")) {
    const std::string flag = rest[0].substr(0, rest[0].find('='));
    // One letter is near to every other; only words are worth a guess.
    text = absl::StrCat("unknown flag '", flag, "'", flag.size() > 2 ? Suggestion(flag, FlagNames(*at)) : "");
  } else if (!rest.empty() && at->get_require_subcommand_min() > 0) {
    text = absl::StrCat("unknown command '", rest[0], "'", Suggestion(rest[0], CommandNames(*at)));
  } else if (!rest.empty()) {
    text = absl::StrCat("unexpected argument '", rest[0], "'");
  } else if (at->get_require_subcommand_min() > 0) {
    text = absl::StrCat("say which command: ", absl::StrJoin(CommandNames(*at), ", "));
  } else {
    text = error.what();
  }
  return absl::StrCat(name, ": ", text, "\n(`", name, " --help` lists what it takes)");
}

// CLI11 takes the words one by one and from the back. The "--" before the ranks' command of `lockstep launch`
// is for the eye alone (its own flags end at the first word that is none), so it goes.
std::vector<std::string> Words(const std::vector<std::string>& arguments) {
  std::vector<std::string> words(arguments.begin() + 1, arguments.end());
  const auto separator = std::find(words.begin(), words.end(), "--");
  if (!words.empty() && words[0] == "launch" && separator != words.end()) words.erase(separator);
  std::reverse(words.begin(), words.end());
  return words;
}

// The exit code when parsing ended the matter (help or error), or -1 to go on.
int Parse(CLI::App& app, std::vector<std::string> words) {
  try {
    app.parse(std::move(words));
    return -1;
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    const absl::StatusOr<comm::World> world = comm::WorldFromEnvironment();
    if (!world.ok() || SpeaksForMachine(*world)) std::cerr << UsageError(app, error) << "\n";
    return static_cast<int>(Trouble::kConfig);
  }
}

}  // namespace

CLI::Validator WholeNumber(int64_t least) {
  const auto check = [least](const std::string& text) -> std::string {
    int64_t value = 0;
    if (absl::SimpleAtoi(text, &value) && value >= least) return "";
    return absl::StrCat("'", text, "' must be a whole number from ", least, " to ",
                        std::numeric_limits<int64_t>::max());
  };
  return CLI::Validator(check, "", "WholeNumber");
}

int RunProgram(int argc, char** argv, const nn::ModelRegistry* models) {
  InstallMappingGuard();  // a record file cut while it is read is an error, not a death
  CommandContext context;
  context.arguments.assign(argv, argv + argc);
  context.models = models;
  CLI::App app(kAbout, "lockstep");
  app.require_subcommand(1);
  app.set_version_flag("--version", VersionLine());
  app.get_formatter()->column_width(34);
  AddCommands(app, context);
  app.footer(kExamples);  // after the commands, which would inherit it
  const int parsed = Parse(app, Words(context.arguments));
  if (parsed >= 0) return parsed;
  absl::Status status;
  try {
    status = context.action();
  } catch (const std::bad_alloc&) {  // the standard library's and our buffers' only exception
    status = ConfigError("out of memory: this machine cannot hold what was asked for; lower the sizes");
  }
  std::cout.flush();
  if (status.ok()) return context.exit_code;
  std::cerr << absl::StrCat("lockstep: error: ", status.message(), "\n");
  return ExitCodeOf(status);
}

}  // namespace lockstep::launcher
