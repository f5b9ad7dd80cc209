#include "runtime/train/checkpoint_writer.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "runtime/core/clock.h"
#include "runtime/core/thread.h"
#include "runtime/train/checkpoint_folder.h"

namespace lockstep::train {
namespace {

struct FilePart {
  std::vector<NamedTensor> tensors;  // under the names of the file
  std::vector<TensorRole> roles;
  void Add(const std::vector<NamedTensor>& list, TensorRole role, absl::string_view prefix = "") {
    for (NamedTensor tensor : list) {
      tensor.name = absl::StrCat(prefix, tensor.name);
      tensors.push_back(std::move(tensor));
      roles.push_back(role);
    }
  }
};

struct Parts {
  explicit Parts(const TrainTensors& tensors) {
    model.Add(tensors.parameters, TensorRole::kParameter);
    model.Add(tensors.buffers, TensorRole::kBuffer);
    optimizer.Add(tensors.optimizer, TensorRole::kOptimizer);
    optimizer.Add(tensors.ema, TensorRole::kEma, kEmaPrefix);
  }
  FilePart model, optimizer;
};

absl::Status CheckNames(const TrainTensors& tensors) {
  for (const NamedTensor& tensor : tensors.optimizer) {
    if (absl::StartsWith(tensor.name, kEmaPrefix)) {
      return absl::InvalidArgumentError(absl::StrCat("optimizer tensor '", tensor.name, "' begins with '",
                                                     kEmaPrefix, "', which marks averaged weights"));
    }
  }
  const Parts parts(tensors);
  std::vector<NamedTensor> all = parts.model.tensors;
  all.insert(all.end(), parts.optimizer.tensors.begin(), parts.optimizer.tensors.end());
  return CheckUniqueNames(all);
}

// Writes one safetensors file, durably, and enters it into the manifest.
absl::Status WritePart(FileSystem* fs, const std::string& folder, const std::string& name,
                       const FilePart& part, Manifest* manifest) {
  ASSIGN_OR_RETURN(auto file, fs->Create(JoinPath(folder, name)));
  // "format" is what Hugging Face's loaders look for.
  const SafetensorsMetadata metadata = {{"format", "pt"}, {"lockstep.step", std::to_string(manifest->step)}};
  ASSIGN_OR_RETURN(const SafetensorsDigest digest, WriteSafetensors(file.get(), part.tensors, metadata));
  RETURN_IF_ERROR(file->Sync());
  RETURN_IF_ERROR(file->Close());
  manifest->files.push_back({name, digest.size_bytes, digest.header_crc32c});
  for (size_t i = 0; i < part.tensors.size(); ++i) {
    const NamedTensor& tensor = part.tensors[i];
    manifest->tensors.push_back(
        {tensor.name, part.roles[i], tensor.dtype, tensor.shape, name, digest.crc32c[i]});
  }
  return absl::OkStatus();
}

absl::Status WriteManifest(FileSystem* fs, const std::string& folder, const Manifest& manifest,
                           uint64_t* size_bytes) {
  const std::string text = SerializeManifest(manifest);
  ASSIGN_OR_RETURN(auto file, fs->Create(JoinPath(folder, kManifestName)));
  RETURN_IF_ERROR(file->Append(text));
  RETURN_IF_ERROR(file->Sync());
  RETURN_IF_ERROR(file->Close());
  for (const ManifestFile& part : manifest.files) *size_bytes += part.size_bytes;
  return absl::OkStatus();
}

// Gives the finished temporary folder its name, in place of a checkpoint of that step that may be there
// already.
absl::Status Commit(FileSystem* fs, const std::string& folder, int64_t step) {
  const std::string path = CheckpointPath(folder, step);
  const std::string replaced = ReplacedPath(folder, step);
  const bool replaces = fs->Exists(path);
  if (replaces) RETURN_IF_ERROR(fs->Rename(path, replaced));
  const absl::Status renamed = fs->Rename(TemporaryPath(folder, step), path);
  if (!renamed.ok()) {
    if (replaces) (void)fs->Rename(replaced, path);  // RemoveLeftovers does it at the next start otherwise
    return renamed;
  }
  return fs->SyncFolder(folder);
}

// Whether the same state is there already, whole: a resumed run that reaches the step of a later checkpoint.
bool AlreadyThere(FileSystem* fs, SaveOutcome* outcome) {
  if (!fs->Exists(outcome->path)) return false;
  const auto loaded = LoadCheckpoint(fs, outcome->path);
  if (!loaded.ok() || loaded->manifest().state_sha256 != outcome->hashes.state_sha256) return false;
  for (const ManifestFile& file : loaded->manifest().files) outcome->size_bytes += file.size_bytes;
  return true;
}

absl::Status WriteAndCommit(const CheckpointWriterOptions& options, Manifest manifest,
                            const TrainTensors& tensors, SaveOutcome* outcome) {
  FileSystem* fs = options.fs;
  const std::string temporary = TemporaryPath(options.folder, manifest.step);
  const Parts parts(tensors);
  if (!fs->Exists(options.folder)) {
    RETURN_IF_ERROR(fs->CreateFolders(options.folder));
    RETURN_IF_ERROR(fs->SyncFolder(ParentFolder(options.folder)));
  }
  RETURN_IF_ERROR(RemoveLeftovers(fs, options.folder));
  RETURN_IF_ERROR(fs->CreateFolders(temporary));
  RETURN_IF_ERROR(WritePart(fs, temporary, kModelName, parts.model, &manifest));
  RETURN_IF_ERROR(WritePart(fs, temporary, kOptimizerName, parts.optimizer, &manifest));
  RETURN_IF_ERROR(WriteManifest(fs, temporary, manifest, &outcome->size_bytes));
  RETURN_IF_ERROR(fs->SyncFolder(temporary));
  if (options.before_commit) RETURN_IF_ERROR(options.before_commit(manifest.step));
  return Commit(fs, options.folder, manifest.step);
}

absl::Status Finish(const CheckpointWriterOptions& options, int64_t step, bool best) {
  if (best) RETURN_IF_ERROR(WriteBest(options.fs, options.folder, step));
  RETURN_IF_ERROR(RemoveLeftovers(options.fs, options.folder));
  return Prune(options.fs, options.folder, options.keep_last, step).status();
}

}  // namespace

SaveOutcome SaveCheckpoint(const CheckpointWriterOptions& options, Manifest manifest,
                           const TrainTensors& tensors, bool best) {
  const double start = MonotonicSeconds();
  SaveOutcome outcome;
  outcome.step = manifest.step;
  outcome.path = CheckpointPath(options.folder, manifest.step);
  outcome.hashes = HashState(tensors, manifest.step, manifest.position, manifest.counters);
  manifest.weights_sha256 = outcome.hashes.weights_sha256;
  manifest.state_sha256 = outcome.hashes.state_sha256;
  manifest.format_version = kCheckpointFormatVersion;
  if (manifest.wall_time.empty())
    manifest.wall_time = absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone());
  if (AlreadyThere(options.fs, &outcome)) {
    if (options.before_commit) outcome.status = options.before_commit(manifest.step);
  } else {
    outcome.status = WriteAndCommit(options, std::move(manifest), tensors, &outcome);
  }
  if (outcome.status.ok()) {
    outcome.after_commit = Finish(options, outcome.step, best);
  } else {
    outcome.status =
        CheckpointError(outcome.status.message());  // whatever it was, it is the checkpoint's trouble
    // What a failing disk leaves behind now, the next save or start removes.
    (void)DeleteTemporary(options.fs, options.folder, outcome.step);
  }
  outcome.seconds = MonotonicSeconds() - start;
  return outcome;
}

// The thread, and the one job that it has or waits for.
class CheckpointWriter::Worker {
 public:
  explicit Worker(CheckpointWriterOptions options)
      : options_(std::move(options)), thread_([this] { Loop(); }) {
    last_.step = -1;
  }

  ~Worker() {
    Wait();
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  absl::Status Save(Manifest manifest, const TrainTensors& tensors, bool best) {
    RETURN_IF_ERROR(CheckNames(tensors));
    Wait();
    Job job{std::move(manifest), {}, best};
    // The worker is idle, so the copies are this thread's until the job is handed over.
    job.tensors.parameters = Copied(tensors.parameters, 0);
    job.tensors.buffers = Copied(tensors.buffers, 1);
    job.tensors.optimizer = Copied(tensors.optimizer, 2);
    job.tensors.ema = Copied(tensors.ema, 3);
    {
      std::lock_guard lock(mutex_);
      job_ = std::move(job);
    }
    changed_.notify_all();
    return absl::OkStatus();
  }

  bool busy() const {
    std::lock_guard lock(mutex_);
    return job_.has_value();
  }

  SaveOutcome Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !job_.has_value(); });
    return last_;
  }

 private:
  struct Job {
    Manifest manifest;
    TrainTensors tensors;
    bool best = false;
  };

  std::vector<NamedTensor> Copied(const std::vector<NamedTensor>& tensors, int list) {
    copies_[list].CopyFrom(tensors, options_.copy);
    return {copies_[list].tensors().begin(), copies_[list].tensors().end()};
  }

  void Loop() {
    NameThread("checkpoint");
    while (true) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return job_.has_value() || stop_; });
      if (!job_.has_value()) return;
      const Job& job = *job_;  // stays put until it is reset below
      lock.unlock();
      SaveOutcome outcome = SaveCheckpoint(options_, job.manifest, job.tensors, job.best);
      if (options_.on_done) options_.on_done(outcome);
      lock.lock();
      last_ = std::move(outcome);
      job_.reset();
      lock.unlock();
      changed_.notify_all();
    }
  }

  const CheckpointWriterOptions options_;
  TensorStore copies_[4];  // one a list of TrainTensors
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Job> job_;  // being saved
  SaveOutcome last_;
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

CheckpointWriter::CheckpointWriter(CheckpointWriterOptions options)
    : worker_(std::make_unique<Worker>(std::move(options))) {}
CheckpointWriter::~CheckpointWriter() = default;

absl::Status CheckpointWriter::Save(Manifest manifest, const TrainTensors& tensors, bool best) {
  return worker_->Save(std::move(manifest), tensors, best);
}

bool CheckpointWriter::busy() const { return worker_->busy(); }

SaveOutcome CheckpointWriter::Wait() { return worker_->Wait(); }

}  // namespace lockstep::train
