#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "launcher/command.h"
#include "runtime/train/control_server.h"

namespace lockstep::launcher {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(75);  // longer than the run's own

constexpr char kFooter[] =
    "It takes effect at the next step boundary. Ask on the machine where rank 0 runs.\n"
    "Examples:\n"
    "  lockstep ctl RUN status\n"
    "  lockstep ctl RUN shrink 2";

struct CtlFlags {
  std::string run, request;
  std::optional<int64_t> ranks;
};

absl::Status Ctl(const CtlFlags& flags) {
  const std::string request =
      absl::StrCat(flags.request, flags.ranks ? absl::StrCat(" ", *flags.ranks) : std::string());
  ASSIGN_OR_RETURN(const std::string answer, train::AskRun(flags.run, request, kPatience));
  std::cout << answer;
  return absl::OkStatus();
}

}  // namespace

void AddCtlCommand(CLI::App& app, CommandContext& context) {
  auto flags = std::make_shared<CtlFlags>();
  CLI::App* command = app.add_subcommand("ctl", "Ask something of a run that is training");
  command->add_option("run", flags->run, "Its output folder")->required()->type_name("RUN");
  command
      ->add_option("request", flags->request,
                   "status: where it stands, and with which ranks\n"
                   "checkpoint: write one now\n"
                   "pause, resume: stand still, go on\n"
                   "stop: checkpoint, then leave (exit code 0)\n"
                   "shrink N: go on with N ranks; the others leave\n"
                   "grow N: start ranks until there are N (with `lockstep launch --elastic`)")
      ->required()
      ->type_name("status|checkpoint|pause|resume|stop|shrink|grow");
  command->add_option("ranks", flags->ranks, "Of shrink and grow: how many ranks in all")
      ->check(WholeNumber(0))
      ->type_name("N");
  command->footer(kFooter);
  context.OnRun(command, [flags] { return Ctl(*flags); });
}

}  // namespace lockstep::launcher
