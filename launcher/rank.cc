#include "launcher/rank.h"

#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "launcher/parent_death.h"
#include "runtime/core/thread.h"

namespace lockstep::launcher {
namespace {

constexpr absl::Duration kMomentToSpeak = absl::Milliseconds(1500);

bool NamesARank(absl::string_view message) {
  if (!absl::ConsumePrefix(&message, "rank ")) return false;
  const size_t digits = message.find_first_not_of("0123456789");
  return digits != 0 && digits != message.npos && message[digits] == ':';
}

}  // namespace

absl::StatusOr<comm::World> BecomeRank() {
  ASSIGN_OR_RETURN(comm::World world, comm::WorldFromEnvironment());
  if (world.launcher == "none") return world;
  int parent = 0;
  const char* launcher_pid = std::getenv(kLauncherPidVariable);
  if (world.launcher == "lockstep" && launcher_pid != nullptr && !absl::SimpleAtoi(launcher_pid, &parent))
    parent = 0;
  DieWithParent(parent);
  if (world.launcher == "lockstep")
    NameThread("lockstep");  // it was started as /proc/self/exe, which ps calls "exe"
  return world;
}

bool SpeaksForMachine(const comm::World& world) {
  if (world.local_rank == 0) return true;
  absl::SleepFor(kMomentToSpeak);
  return false;
}

absl::Status RankStatus(const absl::Status& status, const comm::World& world, CommandContext* context) {
  if (status.ok() || world.size == 1 || world.join) return status;  // of a newcomer nobody else knows
  const bool shared = NamesARank(status.message());
  if (!shared && TroubleOf(status) != Trouble::kConfig)
    return Annotate(status, absl::StrCat("rank ", world.rank));
  if (shared ? world.rank == 0 : SpeaksForMachine(world)) return status;
  context->exit_code = ExitCodeOf(status);
  return absl::OkStatus();
}

}  // namespace lockstep::launcher
