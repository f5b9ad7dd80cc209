// What the loop asks of the data: micro-batches of a step for a lane, the records of a step, and the chunks
// of a validation. A thin layer between the configuration, runtime/data and the lane program's inputs.
#ifndef LOCKSTEP_RUNTIME_TRAIN_FEED_H_
#define LOCKSTEP_RUNTIME_TRAIN_FEED_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/plan/lane_tree.h"
#include "proto/run_config.pb.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/batcher.h"
#include "runtime/data/columns/column.h"
#include "runtime/data/prefetcher.h"
#include "runtime/nn/data_spec.h"
#include "runtime/train/busy.h"
#include "runtime/train/manifest.h"
#include "runtime/train/marked_source.h"
#include "runtime/train/replica.h"
#include "runtime/train/work_marks.h"

namespace lockstep::train {

// What a model must know of the data, and what a checkpoint must remember of it.
struct DataFacts {
  nn::DataSpec spec;
  int64_t records = 0;  // samples (windows, for text)
  int64_t epoch = 0;    // positions of an epoch: the samples, but where last batches are dropped or filled up
  std::string fingerprint;
  std::vector<ManifestDataFile> files;  // of training and validation
  int64_t eval_records = 0;             // 0: no validation data
  std::string eval_fingerprint;
  double eval_bytes_per_target = 0;  // of text, averaged over what is evaluated; 0: not known
};

struct FeedOptions {
  int threads = 1;  // lane threads that fetch
  int read_ahead_steps = 4;
  comm::LaneRange owned;  // lanes of this rank
};

class Feed {
 public:
  // Opens the data of a resolved configuration. Errors: DataError naming file, record and feature.
  static absl::StatusOr<std::unique_ptr<Feed>> Open(const RunConfig& config, const std::string& config_path,
                                                    FileSystem* local);

  const DataFacts& facts() const { return facts_; }

  // Begins decoding ahead: step `first_step` (0 is the run's first) is the next to be fetched. Inputs come in
  // the order of `inputs`, names of the lane program. Error: ConfigError for a name that the data does not
  // have.
  absl::Status Start(const FeedOptions& options, const std::vector<std::string>& inputs, int64_t first_step);

  // Gives back what lane threads hold; no thread may be fetching. Start goes on, with other lanes or threads.
  void Pause();

  // Micro-batch `micro` of `lane` in `step`, for lane thread `thread`, until that thread's next fetch.
  // Thread-safe.
  absl::Status Fetch(int64_t step, int lane, int micro, int thread, LaneBatch* out);
  // Seconds that fetching has waited since the last call, averaged over the lane threads.
  double TakeWaitSeconds();

  // The records of a step in position order; -1 where it is only filled up.
  void RecordIds(int64_t step, std::vector<int64_t>* ids) const;

  // Damaged records of a step among the lanes that Start named, in the order of positions: all of them once
  // every micro-batch of the step was fetched. Earlier steps are forgotten.
  std::vector<data::DamagedSample> DamageOf(int64_t step);
  // Of validations since the last call.
  std::vector<data::DamagedSample> TakeEvalDamage();

  // From now on, whatever is decoded for training is marked while it is. Borrowed; null ends it.
  void SetMarks(WorkMarks* marks) { marked_->SetMarks(marks); }
  // From now on, whoever waits for records is shown as busy. Borrowed; null ends it.
  void ShowWaits(Busy* busy) { busy_ = busy; }
  // For people: the records that `mark` is about, by file and number ("a.tfrecord, record 12; ...").
  std::string DescribeRecords(const WorkMark& mark) const;

  // Validation: chunks of a micro-batch; the last one is filled up with samples of weight 0.
  int64_t eval_chunks() const { return eval_plan_.chunks(); }
  absl::Status FetchEval(int64_t chunk, int thread, LaneBatch* out);

 private:
  Feed() = default;
  absl::StatusOr<std::shared_ptr<const data::SampleSource>> OpenSource(const RunConfig& config,
                                                                       const std::string& pattern,
                                                                       bool augment,
                                                                       const std::string& config_path,
                                                                       FileSystem* fs);
  // The training data, all parts of a mixture as one, and how many samples each part has.
  absl::StatusOr<std::shared_ptr<const data::SampleSource>> OpenTraining(const RunConfig& config,
                                                                         const std::string& config_path,
                                                                         FileSystem* fs,
                                                                         std::vector<int64_t>* samples);
  void Hand(const data::Batch& batch, LaneBatch* out) const;
  void Note(const std::vector<data::DamagedSample>& damaged, std::map<int64_t, data::DamagedSample>* notes);

  DataFacts facts_;
  std::shared_ptr<MarkedSource> marked_;   // what batcher_ reads
  std::vector<data::ColumnSpec> columns_;  // of data.columns, as the training data has them
  std::shared_ptr<const data::Batcher> batcher_, eval_batcher_;
  data::EvalPlan eval_plan_;
  std::unique_ptr<data::Prefetcher> prefetcher_;
  std::vector<int> places_;                // of the lane program's inputs among the source's
  std::vector<data::BatchLease> leases_;   // by lane thread
  std::vector<data::Batch> eval_batches_;  // by lane thread
  Busy* busy_ = nullptr;
  comm::LaneRange owned_;  // what Start named

  std::mutex damage_mutex_;
  std::map<int64_t, data::DamagedSample> damage_, eval_damage_;  // by position
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_FEED_H_
