#include "runtime/train/session.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "comm/bootstrap.h"
#include "comm/factory.h"
#include "runtime/core/names.h"
#include "runtime/core/thread.h"
#include "runtime/nn/build_model.h"
#include "runtime/train/agreement.h"
#include "runtime/train/config.h"
#include "runtime/train/probe.h"
#include "runtime/train/recipe_diff.h"

namespace lockstep::train {

namespace {

// Names this start of this machine; "" where the kernel does not say (then all ranks count as neighbours).
// Not read through FileSystem: files of /proc have no size.
std::string BootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

}  // namespace

Session::Session(const TrainOptions& options)
    : options_(options), config_(ResolveConfig(options.config)), log_(options.log) {
  recipe_text_ = RecipeText(config_);
  recipe_hash_ = RecipeHash(config_);
}

Session::~Session() = default;

absl::Status Session::Prepare() {
  RETURN_IF_ERROR(ValidateConfig(config_, options_.world->size));
  RETURN_IF_ERROR(Connect());
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, OpenFolder()));
  absl::Status ready = OpenData();
  if (ready.ok()) ready = BuildPrograms();
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, ready));
  RETURN_IF_ERROR(AgreeOnRun());
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, CheckMemory()));
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, CheckPoison()));
  OpenMarks();
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, MakeReplica()));
  RETURN_IF_ERROR(Probe());
  RETURN_IF_ERROR(Resume());
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, OpenObservers()));
  RETURN_IF_ERROR(OpenCheckpoints());
  if (folder_) folder_->ForgetResult(log_);  // how an earlier start ended says nothing about this one
  prepared_ = true;
  return absl::OkStatus();
}

absl::Status Session::Connect() {
  const CommConfig& config = config_.execution().comm();
  const auto deadline = absl::Seconds(config.deadline_seconds());
  // The meeting file of a start without PMIx lies in the run folder, so that must be there first.
  if (!options_.out.empty()) {
    absl::Status made = options_.file_system->CreateFolders(options_.out);
    if (!made.ok()) return ConfigError(absl::StrCat("--out: ", made.message()));
  }
  ASSIGN_OR_RETURN(auto meeting, comm::Meet(*options_.world, {.folder = options_.out, .deadline = deadline}));
  comm::CommunicatorOptions communicator;
  communicator.backend = config.backend();
  communicator.between = config.between();
  communicator.algorithm = config.algorithm();
  communicator.deadline = deadline;
  communicator.connect_deadline = deadline;
  communicator.interface = config.interface();
  communicator.dump_folder = options_.out;
  communicator.log = options_.log;
  ASSIGN_OR_RETURN(communicator_, comm::MakeCommunicator(*meeting, communicator));

  const std::string machine = BootId();
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, comm::AllGatherText(*communicator_, machine));
  machines_ = static_cast<int>(std::set<std::string>(ids.begin(), ids.end()).size());
  local_ranks_ = static_cast<int>(std::count(ids.begin(), ids.end(), machine));
  return absl::OkStatus();
}

absl::Status Session::OpenFolder() {
  if (communicator_->rank() != 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(folder_, RunFolder::Open(options_.file_system, options_.out, log_));
  return absl::OkStatus();
}

absl::Status Session::OpenData() {
  ASSIGN_OR_RETURN(feed_, Feed::Open(config_, options_.config_path, options_.file_system));
  plan_.horizon = HorizonSteps(config_, feed_->facts().records);
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
  const DataFacts& facts = feed_->facts();
  // Of `execution`, what cuts the collectives: they must be the same on all ranks.
  const CommConfig& comm = config_.execution().comm();
  const IntegrityConfig& integrity = config_.execution().integrity();
  return comm::CheckAgreement(
      *communicator_,
      {{"recipe", recipe_hash_},
       {"execution.comm.bucket_kib", absl::StrCat(comm.bucket_kib())},
       {"execution.comm.algorithm", comm.algorithm()},
       {"execution.integrity",
        absl::StrCat(integrity.every_steps(), " ", integrity.check_reductions(), " ", integrity.max_heals())},
       {"training data", facts.fingerprint},
       {"validation data", facts.eval_fingerprint},
       {"--steps", absl::StrCat(plan_.stop)},
       {"--ledger", absl::StrCat(options_.ledger)},
       {"--out", options_.out}});
}

int Session::ChooseThreads() const {
  const comm::World& world = *options_.world;
  const int owned = comm::LanesOfRank(world.rank, world.size, config_.lanes()).size();
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
  state_ =
      std::make_unique<ModelState>(train_program_->parameter_layout_ptr(), train_program_->state_layout(),
                                   MomentNames(config_.optimizer()), config_.has_ema());
  state_->Initialize(config_.seed());
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
  replica.marks = marks_.get();
  replica.faults = options_.faults;
  ASSIGN_OR_RETURN(replica_, Replica::Create(train_program_, communicator_.get(), team_.get(), replica));
  optimizer_ = std::make_unique<Optimizer>(config_.optimizer(), config_.has_ema() ? &config_.ema() : nullptr,
                                           state_->layout());
  optimizer_->KeepChecksum(communicator_->size() > 1 && config_.execution().integrity().check_reductions());
  if (config_.has_eval()) {
    evaluator_ = std::make_unique<Evaluator>(eval_program_, communicator_.get(), team_.get());
  }
  return absl::OkStatus();
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

Manifest Session::ManifestTemplate() const {
  Manifest manifest;
  manifest.seed = config_.seed();
  manifest.dataset_fingerprint = feed_->facts().fingerprint;
  manifest.validation_fingerprint = feed_->facts().eval_fingerprint;
  manifest.recipe_sha256 = recipe_hash_;
  manifest.recipe_text = recipe_text_;
  manifest.probe_sha256 = probe_hash_;
  manifest.world_size = communicator_->size();
  manifest.generation = static_cast<int64_t>(communicator_->generation());
  manifest.build_id = options_.build_id;
  manifest.train_seconds = earlier_seconds_;
  return manifest;
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
  const size_t moments = MomentNames(config_.optimizer()).size();
  const int slots = PlannedSlots(owned, config_.lanes(), threads);
  const double mib = 1.0 / (1 << 20);
  const double gradient_mib = static_cast<double>(layout.total_elements) * sizeof(float) * mib;
  return absl::StrCat(
      ConfigText(config_), "\n# ", feed_->facts().records, " training records, ", feed_->facts().eval_records,
      " validation records\n# ", plan_.horizon, " steps of ", config_.global_batch(), " samples, ",
      layout.parameter_elements, " parameters in ", layout.entries.size(), " tensors\n# a rank of ", world,
      " with ", threads, threads == 1 ? " thread: " : " threads: ", owned.size(), " lanes, ", slots,
      " gradient buffers of ", gradient_mib, " MiB, ",
      gradient_mib * static_cast<double>(1 + moments + config_.has_ema()),
      " MiB of parameters and optimizer state, ", static_cast<double>(train_program_->arena_bytes()) * mib,
      " MiB of activations a thread\n# recipe ", recipe_hash_, "\n");
}

}  // namespace lockstep::train
