// The parts of a Session that belong to one generation of its members.

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "comm/bootstrap.h"
#include "comm/culprits.h"
#include "comm/factory.h"
#include "runtime/core/thread.h"
#include "runtime/train/agreement.h"
#include "runtime/train/config.h"
#include "runtime/train/session.h"

namespace lockstep::train {
namespace {

// A later generation's ranks are there already, so who does not come has died.
constexpr absl::Duration kMeetAgainPatience = absl::Seconds(10);

// Names this start of this machine; "" where the kernel does not say (then all ranks count as neighbours).
// Not read through FileSystem: files of /proc have no size.
std::string BootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

}  // namespace

absl::Status Session::Connect() {
  const auto deadline = absl::Seconds(config_.execution().comm().deadline_seconds());
  // The meeting file of a start without PMIx lies in the run folder, so that must be there first.
  if (!options_.out.empty()) {
    absl::Status made = options_.file_system->CreateFolders(options_.out);
    if (!made.ok()) return ConfigError(absl::StrCat("--out: ", made.message()));
  }
  ASSIGN_OR_RETURN(auto meeting, comm::Meet(*options_.world, {.folder = options_.out, .deadline = deadline}));
  RETURN_IF_ERROR(MakeTransport(*meeting, deadline));
  return LookAround();
}

absl::Status Session::MakeTransport(comm::Meeting& meeting, absl::Duration connect_deadline) {
  const CommConfig& config = config_.execution().comm();
  comm::CommunicatorOptions communicator;
  communicator.backend = config.backend();
  communicator.between = config.between();
  communicator.algorithm = config.algorithm();
  communicator.deadline = absl::Seconds(config.deadline_seconds());
  communicator.connect_deadline = connect_deadline;
  communicator.generation = membership_ != nullptr ? membership_->generation() : 0;
  communicator.interface = config.interface();
  communicator.dump_folder = options_.out;
  communicator.log = options_.log;
  ASSIGN_OR_RETURN(communicator_, comm::MakeCommunicator(meeting, communicator));
  if (membership_ != nullptr && options_.on_rank) options_.on_rank(communicator_->rank());
  return absl::OkStatus();
}

absl::Status Session::LookAround() {
  const std::string machine = BootId();
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, comm::AllGatherText(*communicator_, machine));
  machines_ = static_cast<int>(std::set<std::string>(ids.begin(), ids.end()).size());
  local_ranks_ = static_cast<int>(std::count(ids.begin(), ids.end(), machine));
  return absl::OkStatus();
}

int Session::ChooseThreads() const {
  // Before there is a communicator: as the launcher says.
  const int rank = communicator_ != nullptr ? communicator_->rank() : options_.world->rank;
  const int size = communicator_ != nullptr ? communicator_->size() : options_.world->size;
  const int owned = comm::LanesOfRank(rank, size, config_.lanes()).size();
  int threads = config_.execution().threads();
  if (threads == 0) {
    const int cores = AvailableCores();
    // A rank that was not bound shares the machine with its neighbours; one that was has its cores for
    // itself.
    const bool bound = cores < static_cast<int>(std::thread::hardware_concurrency());
    threads = bound ? cores : std::max(1, cores / local_ranks_);
  }
  return std::min(threads, owned);
}

absl::Status Session::CheckMemory() const {
  const double copies = 1.0 + MomentNames(config_.optimizer()).size() + config_.has_ema();
  const double flat_bytes =
      static_cast<double>(train_program_->parameter_layout().total_elements) * sizeof(float);
  const int threads = ChooseThreads();
  const int slots =
      PlannedSlots(comm::LanesOfRank(communicator_->rank(), communicator_->size(), config_.lanes()),
                   config_.lanes(), threads);
  const double activations = static_cast<double>(train_program_->arena_bytes()) * threads;
  // With error feedback: a memory on every rank, and on rank 0 all of them twice while it saves.
  const bool remembers = config_.compression().has_power_sgd() || config_.compression().has_top_k();
  const double saved_memories = communicator_->rank() == 0 ? 2.0 * communicator_->size() : 0.0;
  const double memories = remembers ? flat_bytes : 0;
  const double needed = flat_bytes * (copies + slots) + activations + memories;
  const double machine =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (needed * local_ranks_ + memories * saved_memories <= machine) return absl::OkStatus();
  constexpr double kGib = 1 << 30;
  const std::string error_feedback =
      remembers ? absl::StrFormat(", %.1f for what compression leaves unsent, and %.1f to save that",
                                  memories / kGib, memories * saved_memories / kGib)
                : "";
  return ConfigError(
      absl::StrFormat("this run needs %.1f GiB a rank (%.1f for parameters and optimizer, %.1f for %d "
                      "gradient buffers, %.1f for the "
                      "activations of %d threads%s), %d ranks share this machine, and it has %.1f GiB; lower "
                      "global_batch, raise "
                      "accumulate or lanes, use fewer ranks or threads, or a smaller model",
                      needed / kGib, flat_bytes * copies / kGib, flat_bytes * slots / kGib, slots,
                      activations / kGib, threads, error_feedback, local_ranks_, machine / kGib));
}

absl::Status Session::MakeReplica() {
  team_ = std::make_unique<LaneTeam>(ChooseThreads());
  ReplicaOptions replica;
  replica.lanes = config_.lanes();
  replica.accumulate = config_.accumulate();
  replica.reproducible = config_.reduction() == REPRODUCIBLE;
  replica.bucket_bytes = int64_t{1024} * config_.execution().comm().bucket_kib();
  replica.wire = WireOf(config_.compression());
  ASSIGN_OR_RETURN(compressor_,
                   MakeCompressor(config_.compression(), train_program_->parameter_layout(),
                                  static_cast<int64_t>(train_program_->state_layout().total_elements),
                                  config_.seed(), *communicator_));
  replica.compressor = compressor_.get();
  if (shards_ != nullptr) {
    replica.shards = &shards_->plan();
    replica.mirror = shards_->mirrored();
  }
  replica.marks = marks_.get();
  replica.faults = options_.faults;
  ASSIGN_OR_RETURN(replica_, Replica::Create(train_program_, communicator_.get(), team_.get(), replica));
  optimizer_->KeepChecksum(communicator_->size() > 1 && config_.execution().integrity().check_reductions());
  if (config_.has_eval()) {
    evaluator_ = std::make_unique<Evaluator>(eval_program_, communicator_.get(), team_.get());
  }
  return absl::OkStatus();
}

absl::Status Session::StartFeed() {
  FeedOptions feed;
  feed.threads = team_->size();
  feed.read_ahead_steps = config_.execution().read_ahead_steps();
  feed.owned = replica_->owned();
  std::vector<std::string> inputs;
  for (const graph::Input& input : train_program_->inputs()) inputs.push_back(input.name);
  return feed_->Start(feed, inputs, point_.counters.step);
}

void Session::WatchMembership() {
  interruption_.Clear();
  interruption_.Cover(communicator_.get());
  interruption_.Cover(replica_.get(), evaluator_.get());
  membership_->Watch([this](const absl::Status& reason) { interruption_.Call(reason); });
}

void Session::DropGeneration() {
  interruption_.Clear();
  CloseCheckpoints();
  if (feed_ != nullptr) feed_->Pause();
  evaluator_.reset();
  replica_.reset();
  compressor_.reset();
  team_.reset();
  communicator_.reset();
}

// What writers were given, but may not have finished, is due again: ranks write together, and some are gone.
void Session::NoteWriter() {
  if (point_.stage != Stage::kNothing) {
    if (point_.saved_step >= 0) point_.lost_step = point_.saved_step;
    point_.saved_step = -1;
    point_.stage = std::min(point_.stage, Stage::kEvaluated);
  }
}

absl::Status Session::EnterGeneration(TakeoverReport* report) {
  DropGeneration();
  WatchMembership();
  (void)ReachFault(options_.faults, "recovery.meet");
  const auto patience =
      std::min(kMeetAgainPatience, absl::Seconds(config_.execution().comm().deadline_seconds()));
  absl::Status connected = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(auto meeting, membership_->Meet(patience));
    return MakeTransport(*meeting, patience);
  }();
  if (!connected.ok()) {
    const std::vector<int> unreached = comm::CulpritsOf(connected);
    if (!unreached.empty()) membership_->Suspect(unreached);
    // A peer that dies while memory is shared can look like anything.
    return TroubleOf(connected) == Trouble::kInternal ? PeerError(connected.message()) : connected;
  }
  interruption_.Cover(communicator_.get());
  RETURN_IF_ERROR(LookAround());
  const bool writes = communicator_->rank() == 0;
  if (!writes) CloseWriters();
  const bool takes_over = writes && !folder_;
  NoteWriter();
  ASSIGN_OR_RETURN(*report, TakeOver(*communicator_, state_->Buffers(), &point_, options_.faults));
  point_.admit = false;  // whoever waited is in, or was not fit
  if (communicator_->size() <= point_.size) point_.size = 0;
  (void)ReachFault(options_.faults, "recovery.rebuild");
  absl::Status made = CheckMemory();
  if (made.ok() && takes_over) made = TakeWritersOver();
  if (made.ok()) made = CheckPoison();
  if (made.ok()) made = MakeReplica();
  if (made.ok()) interruption_.Cover(replica_.get(), evaluator_.get());
  if (made.ok()) made = StartFeed();
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, made));
  EnterIntegrity();
  return CarryWritersOn();
}

BannerFacts Session::FactsForBanner() const {
  BannerFacts facts;
  facts.ranks = communicator_->size();
  facts.machines = machines_;
  facts.transport = communicator_->backend();
  facts.lanes = config_.lanes();
  facts.global_batch = config_.global_batch();
  facts.accumulate = config_.accumulate();
  facts.threads = team_->size();
  facts.threads_set = config_.execution().threads() > 0;
  facts.cores = AvailableCores();
  facts.machine_cores = static_cast<int>(std::thread::hardware_concurrency());
  facts.local_ranks = local_ranks_;
  facts.launcher = options_.world->launcher;
  return facts;
}

}  // namespace lockstep::train
