#include "runtime/train/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "comm/bootstrap.h"
#include "runtime/core/clock.h"
#include "runtime/core/names.h"
#include "runtime/nn/build_model.h"
#include "runtime/train/agreement.h"
#include "runtime/train/config.h"
#include "runtime/train/probe.h"
#include "runtime/train/recipe_diff.h"

namespace lockstep::train {

Session::Session(const TrainOptions& options)
    : options_(options), config_(ResolveConfig(options.config)), log_(options.log) {
  recipe_text_ = RecipeText(config_);
  recipe_hash_ = RecipeHash(config_);
}

Session::~Session() {
  // Their threads live longer than what they would end, or show progress to.
  interruption_.Clear();
  busy_.ShowTo(nullptr);
}

absl::Status Session::Prepare() {
  const Busy::Scope busy(&busy_);
  RETURN_IF_ERROR(ValidateConfig(config_, options_.world->size));
  if (options_.world->join) return PrepareToJoin();
  RETURN_IF_ERROR(Connect());
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, OpenFolder()));
  absl::Status ready = OpenData();
  if (ready.ok()) ready = BuildPrograms();
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, ready));
  RETURN_IF_ERROR(AgreeOnRun());
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, CheckMemory()));
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, CheckPoison()));
  OpenMarks();
  MakeState();
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, MakeReplica()));
  RETURN_IF_ERROR(Probe());
  RETURN_IF_ERROR(Resume());
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, StartFeed()));
  RETURN_IF_ERROR(BeginMembership());
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, OpenObservers()));
  RETURN_IF_ERROR(OpenCheckpoints());
  EnterIntegrity();
  if (folder_) folder_->ForgetResult(log_);  // how an earlier start ended says nothing about this one
  prepared_ = true;
  return absl::OkStatus();
}

// Everything that can be done alone is done first, so that those who train wait for nothing.
absl::Status Session::PrepareToJoin() {
  const std::string why = WhyNotRecoverable();
  if (!why.empty()) return ConfigError(absl::StrCat("LOCKSTEP_JOIN: nobody can join this run: ", why));
  RETURN_IF_ERROR(OpenData());
  RETURN_IF_ERROR(BuildPrograms());
  MakeState();
  LaneTeam team(1);
  ASSIGN_OR_RETURN(probe_hash_, ProbeHash(train_program_, team, *state_));
  point_.last_save = MonotonicSeconds();
  OpenMarks();
  (void)ReachFault(options_.faults, "join.ask");
  ASSIGN_OR_RETURN(membership_,
                   comm::Membership::Join(RunCredentials(), OptionsForMembership(), options_.stop_signal));
  (void)ReachFault(options_.faults, "join.admitted");
  prepared_ = true;
  TakeoverReport report;
  const absl::Status entered = EnterGeneration(&report);
  if (entered.ok() || TroubleOf(entered) != Trouble::kPeer) return entered;
  return Change(entered);
}

absl::Status Session::OpenData() {
  ASSIGN_OR_RETURN(feed_, Feed::Open(config_, options_.config_path, options_.file_system));
  plan_.horizon = HorizonSteps(config_, feed_->facts().epoch);
  plan_.stop = std::min(plan_.horizon, options_.stop_at.value_or(plan_.horizon));
  return absl::OkStatus();
}

absl::Status Session::BuildPrograms() {
  const int64_t micro_batch = config_.global_batch() / config_.lanes() / config_.accumulate();
  ASSIGN_OR_RETURN(
      const graph::Graph graph,
      nn::BuildModel(config_.model(), config_.loss(), feed_->facts().spec, micro_batch, *options_.models));
  const auto device = config_.execution().device() == CUDA ? kernels::Device::kCuda : kernels::Device::kCpu;
  ASSIGN_OR_RETURN(train_program_,
                   graph::Compile(graph, {.mode = graph::Mode::kTrain, .device = device, .layout = nullptr}));
  ASSIGN_OR_RETURN(eval_program_, graph::Compile(graph, {.mode = graph::Mode::kEvaluate,
                                                         .device = device,
                                                         .layout = train_program_->parameter_layout_ptr()}));
  if (!config_.has_eval()) return absl::OkStatus();
  std::vector<std::string> known = eval_program_->metric_names();
  known.push_back("loss");
  if (feed_->facts().eval_bytes_per_target > 0) known.push_back("bits_per_byte");
  if (std::find(known.begin(), known.end(), config_.eval().metric()) == known.end()) {
    return ConfigError(absl::StrCat("eval.metric: this model has no metric '", config_.eval().metric(), "'",
                                    Suggestion(config_.eval().metric(), known)));
  }
  return absl::OkStatus();
}

absl::Status Session::AgreeOnRun() {
  RETURN_IF_ERROR(comm::CheckAgreement(*communicator_, {{"build", options_.build_id}}));
  ASSIGN_OR_RETURN(const std::vector<std::string> recipes, comm::AllGatherText(*communicator_, recipe_text_));
  for (size_t rank = 1; rank < recipes.size(); ++rank) {
    if (recipes[rank] == recipes[0]) continue;
    return ConfigError(
        absl::StrCat("the ranks differ in the recipe; from rank 0 to rank ", rank, ":\n  ",
                     absl::StrJoin(RecipeDiff(FlattenText(recipes[0]), FlattenText(recipes[rank])), "\n  "),
                     "\nStart every rank with the same file and the same --set"));
  }
  return comm::CheckAgreement(*communicator_, RunCredentials());
}

// In the order in which a difference is worth naming.
comm::Credentials Session::RunCredentials() const {
  const DataFacts& facts = feed_->facts();
  const ExecutionConfig& execution = config_.execution();
  const IntegrityConfig& integrity = execution.integrity();
  comm::Credentials fields = {
      {"build", options_.build_id},
      {"recipe", recipe_hash_},
      // Of `execution`, what cuts the collectives and what ranks do together.
      {"execution.comm.bucket_kib", absl::StrCat(execution.comm().bucket_kib())},
      {"execution.comm.algorithm", execution.comm().algorithm()},
      {"execution.recovery", ExecutionConfig::Recovery_Name(execution.recovery())},
      {"execution.optimizer_state", OptimizerState_Name(execution.optimizer_state())},
      {"execution.mirror_optimizer", absl::StrCat(execution.mirror_optimizer())},
      {"execution.integrity",
       absl::StrCat(integrity.every_steps(), " ", integrity.check_reductions(), " ", integrity.max_heals())},
      {"training data", facts.fingerprint},
      {"validation data", facts.eval_fingerprint},
      {"--steps", absl::StrCat(plan_.stop)},
      {"--ledger", absl::StrCat(options_.ledger)},
      {"--out", options_.out}};
  if (!probe_hash_.empty()) fields.push_back({"probe", probe_hash_});
  return fields;
}

void Session::MakeState() {
  state_ =
      std::make_unique<ModelState>(train_program_->parameter_layout_ptr(), train_program_->state_layout(),
                                   MomentNames(config_.optimizer()), config_.has_ema());
  state_->Initialize(config_.seed());
  if (Shards()) {
    DealShards();
  } else {
    MakeOptimizer();
  }
}

absl::Status Session::Probe() {
  auto hash = ProbeHash(train_program_, *team_, *state_);
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, hash.status()));
  probe_hash_ = *hash;
  const absl::Status same = comm::CheckAgreement(*communicator_, {{"probe", probe_hash_}});
  if (same.ok()) return same;
  return Annotate(same,
                  "one lane step gives other bits on some ranks (another processor, instruction set or "
                  "library?), so their replicas would drift apart");
}

std::string Session::WhyNotRecoverable() const {
  const CompressionConfig& compression = config_.compression();
  if (config_.execution().comm().backend() == "mpi") {
    return "execution.comm.backend: mpi, and MPI does not survive the death of a rank";
  }
  if (compression.has_power_sgd() || compression.has_top_k()) {
    return "compression keeps what it left unsent on each rank, and that dies with the rank";
  }
  return "";
}

comm::MembershipOptions Session::OptionsForMembership() const {
  comm::MembershipOptions options;
  options.folder = RunPaths(options_.out).membership();
  options.most = config_.lanes();
  options.log = log_;
  return options;
}

absl::Status Session::BeginMembership() {
  if (!Recovers()) return absl::OkStatus();
  const std::string why = WhyNotRecoverable();
  if (!why.empty()) {
    log_->Warning(absl::StrCat("no recovery in place (", why,
                               "): when a rank dies, all end with exit code 4, ",
                               "and a new start resumes from the newest checkpoint"));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(membership_,
                   comm::Membership::Begin(*communicator_, RunCredentials(), OptionsForMembership()));
  NoteWriter();
  WatchMembership();
  if (options_.on_rank) options_.on_rank(communicator_->rank());
  return absl::OkStatus();
}

absl::StatusOr<std::string> Session::Describe() {
  RETURN_IF_ERROR(ValidateConfig(config_, options_.world->size));
  RETURN_IF_ERROR(OpenData());
  RETURN_IF_ERROR(BuildPrograms());
  const graph::ParameterLayout& layout = train_program_->parameter_layout();
  const int world = options_.world->size;
  const comm::LaneRange owned = comm::LanesOfRank(0, world, config_.lanes());
  local_ranks_ = world;  // nobody was asked: as if all ranks shared this machine
  const int threads = ChooseThreads();
  return absl::StrCat(ConfigText(config_), "\n# ", feed_->facts().records, " training records, ",
                      feed_->facts().eval_records, " validation records\n# ", plan_.horizon, " steps of ",
                      config_.global_batch(), " samples, ", layout.parameter_elements, " parameters in ",
                      layout.entries.size(), " tensors\n# a rank of ", world, " with ", threads,
                      threads == 1 ? " thread: " : " threads: ", owned.size(), " lanes\n# ",
                      DescribeMemory(PlanMemory()), "\n# recipe ", recipe_hash_, "\n");
}

}  // namespace lockstep::train
