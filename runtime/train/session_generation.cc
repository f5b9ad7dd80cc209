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
  (void)ReachFault(options_.faults, "start.meet");
  const auto deadline = absl::Seconds(config_.execution().comm().connect_seconds());
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
  if (options_.faults != nullptr && options_.faults->armed()) communicator.faults = options_.faults;
  ASSIGN_OR_RETURN(communicator_, comm::MakeCommunicator(meeting, communicator));
  busy_.ShowTo(communicator_.get());
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

RankMemory Session::PlanMemory() const {
  const int rank = communicator_ != nullptr ? communicator_->rank() : options_.world->rank;
  const int size = communicator_ != nullptr ? communicator_->size() : options_.world->size;
  const auto flat = static_cast<int64_t>(train_program_->parameter_layout().total_elements * sizeof(float));
  const auto moments = static_cast<int64_t>(MomentNames(config_.optimizer()).size());
  const CompressionConfig& compression = config_.compression();
  RankMemory memory;
  memory.parameters = flat;
  memory.gradient_buffer =
      flat + static_cast<int64_t>(train_program_->state_layout().total_elements * sizeof(float));
  memory.threads = ChooseThreads();
  memory.gradient_buffers =
      PlannedSlots(comm::LanesOfRank(rank, size, config_.lanes()), config_.lanes(), memory.threads);
  memory.optimizer = memory.whole_optimizer = flat * moments;
  if (Shards()) {
    const ShardSetting setting = SettingOfShards();
    const ShardPlan plan(train_program_->parameter_layout(), setting.buckets, size);
    memory.sharded = true;
    memory.mirrored = setting.mirrored && size > 1;
    memory.optimizer = HeldRanges(plan.Held(rank, memory.mirrored)).elements() * moments *
                       static_cast<int64_t>(sizeof(float));
  }
  memory.average = config_.has_ema() ? flat : 0;
  memory.unsent = compression.has_power_sgd() || compression.has_top_k() ? flat : 0;
  memory.activations = static_cast<int64_t>(train_program_->arena_bytes());
  return memory;
}

absl::Status Session::CheckMemory() const {
  const RankMemory memory = PlanMemory();
  // Of what compression leaves unsent, rank 0 has all ranks' twice while it saves.
  const int64_t saved = communicator_->rank() == 0 ? 2 * communicator_->size() * memory.unsent : 0;
  const auto needed = static_cast<double>(memory.total() * local_ranks_ + saved);
  const double machine =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (needed <= machine) return absl::OkStatus();
  constexpr double kGib = 1 << 30;
  const std::string to_save =
      saved > 0
          ? absl::StrFormat(", rank 0 %.1f GiB more to save what compression leaves unsent", saved / kGib)
          : "";
  return ConfigError(absl::StrFormat(
      "%s; %d ranks share this machine%s, and it has %.1f GiB; lower global_batch, raise accumulate or "
      "lanes, use "
      "fewer ranks or threads, or a smaller model%s",
      DescribeMemory(memory), local_ranks_, to_save, machine / kGib,
      memory.sharded || memory.optimizer == 0 ? "" : ", or set execution.optimizer_state: SHARDED"));
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
  if (holdings_.shards != nullptr) {
    replica.shards = &holdings_.shards->plan();
    replica.mirror = holdings_.shards->mirrored();
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
  feed_->ShowWaits(&busy_);
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
  EndTeamOfWriters();
  if (feed_ != nullptr) feed_->Pause();
  evaluator_.reset();
  replica_.reset();
  compressor_.reset();
  team_.reset();
  busy_.ShowTo(nullptr);
  communicator_.reset();
}

// What the writer before was given, but may not have finished, is due again. So is what a team of writers was
// given, since it ends with its generation.
void Session::NoteWriter() {
  const int writer = membership_->members()[0].number;
  const bool others = writer != writer_ || team_writes_;
  if (writer_ >= 0 && others && point_.stage != Stage::kNothing) {
    if (point_.saved_step >= 0) point_.lost_step = point_.saved_step;
    point_.saved_step = -1;
    point_.stage = std::min(point_.stage, Stage::kEvaluated);
  }
  writer_ = writer;
}

absl::Status Session::EnterGeneration(TakeoverReport* report) {
  const Busy::Scope busy(&busy_);
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
  (void)ReachFault(options_.faults, "recovery.connected");
  const bool writes = communicator_->rank() == 0;
  if (!writes) CloseWriters();
  const bool takes_over = writes && !folder_;
  NoteWriter();
  if (Shards()) {
    ASSIGN_OR_RETURN(*report, TakeShardsOver());
  } else {
    ASSIGN_OR_RETURN(*report, TakeOver(*communicator_, state_->Buffers(), &point_, options_.faults));
  }
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
  prepared_ = true;
  // What a rank 0 of before writes with may be closed already, for going back.
  return report->diverged || report->lost ? GoBack() : CarryWritersOn();
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
