#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "launcher/command.h"
#include "launcher/elastic_ranks.h"
#include "launcher/local_ranks.h"
#include "runtime/core/log.h"
#include "runtime/core/names.h"

namespace lockstep::launcher {
namespace {

constexpr int kMostRanks = 4096;

constexpr char kFooter[] =
    "The exit code is that of the first rank that failed. SIGTERM, SIGINT and SIGUSR1 are passed on.\n"
    "Examples:\n"
    "  lockstep launch -n 2 -- train examples/digits_cnn.textproto --out RUN\n"
    "  lockstep launch -n 4 --elastic -- train examples/digits_cnn.textproto --out RUN\n"
    "  lockstep launch -n 4 -- comm all_reduce -b 1K -e 64M -f 4";

struct LaunchFlags {
  int ranks = 0;
  std::string bind = "core";
  double grace_seconds = 10;
  bool elastic = false;
  int most_restarts = 10;
};

// What stands behind our own flags: the command that each rank runs.
absl::StatusOr<std::vector<std::string>> RankArguments(const CLI::App& command) {
  const std::vector<std::string> rest = command.remaining();
  const std::vector<std::string> known = {"train", "comm"};
  if (rest.empty())
    return ConfigError("launch: say what the ranks run: lockstep launch -n 2 -- train FILE --out RUN");
  if (std::find(known.begin(), known.end(), rest[0]) == known.end()) {
    std::vector<std::string> words;
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& name : option->get_lnames()) words.push_back(absl::StrCat("--", name));
    }
    const bool flag = rest[0][0] == '-';
    return ConfigError(absl::StrCat("launch: ", flag ? "unknown flag '" : "ranks cannot run '", rest[0], "'",
                                    Suggestion(rest[0], flag ? words : known)));
  }
  return rest;
}

absl::Status LaunchElastic(const LaunchFlags& flags, const std::vector<std::string>& arguments, Logger* log,
                           CommandContext* context) {
  if (arguments[0] != "train") {
    return ConfigError(absl::StrCat("launch --elastic: ranks of `", arguments[0],
                                    "` cannot come and go, those of `train` can"));
  }
  if (flags.most_restarts < 0) {
    return ConfigError(absl::StrCat("--max-restarts ", flags.most_restarts, ": must be 0 or more"));
  }
  ElasticRanksOptions options;
  options.ranks = flags.ranks;
  options.arguments = arguments;
  options.bind_cores = flags.bind == "core";
  options.grace = absl::Seconds(flags.grace_seconds);
  options.most_restarts = flags.most_restarts;
  options.log = log;
  ASSIGN_OR_RETURN(context->exit_code, RunElasticRanks(options));
  return absl::OkStatus();
}

absl::Status Launch(const LaunchFlags& flags, const CLI::App& command, CommandContext* context) {
  if (flags.ranks < 1 || flags.ranks > kMostRanks) {
    return ConfigError(absl::StrCat("-n ", flags.ranks, ": must be 1 to ", kMostRanks));
  }
  const std::vector<std::string> bindings = {"core", "none"};
  if (flags.bind != "core" && flags.bind != "none") {
    return ConfigError(absl::StrCat("--bind ", flags.bind, Suggestion(flags.bind, bindings)));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> arguments, RankArguments(command));
  const std::unique_ptr<Logger> log = MakeStderrLogger(-1);
  if (flags.elastic) return LaunchElastic(flags, arguments, log.get(), context);
  LocalRanksOptions options;
  options.ranks = flags.ranks;
  options.arguments = arguments;
  options.bind_cores = flags.bind == "core";
  options.grace = absl::Seconds(flags.grace_seconds);
  options.log = log.get();
  ASSIGN_OR_RETURN(context->exit_code, RunLocalRanks(options));
  return absl::OkStatus();
}

}  // namespace

void AddLaunchCommand(CLI::App& app, CommandContext& context) {
  auto flags = std::make_shared<LaunchFlags>();
  CLI::App* command = app.add_subcommand("launch", "Start ranks on this machine, without mpirun");
  command->add_option("-n,--ranks", flags->ranks, "Ranks to start")->required()->type_name("N");
  command
      ->add_option("--bind", flags->bind,
                   "core: each rank to its share of the cores; none: wherever they like")
      ->capture_default_str()
      ->type_name("core|none");
  command
      ->add_option("--grace", flags->grace_seconds, "Seconds from SIGTERM to SIGKILL once a rank has failed")
      ->capture_default_str()
      ->type_name("S");
  command->add_flag("--elastic", flags->elastic,
                    "Go on when a rank of `train` dies, and start it again: docs/reliability.md");
  command
      ->add_option("--max-restarts", flags->most_restarts,
                   "With --elastic: restarts in a row of one rank that keeps ending within 20 s,\n"
                   "and of all of them")
      ->capture_default_str()
      ->type_name("N");
  command->prefix_command();
  command->footer(kFooter);
  context.OnRun(command, [flags, command, &context] { return Launch(*flags, *command, &context); });
}

}  // namespace lockstep::launcher
