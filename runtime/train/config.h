// The configuration of a run: from a file and the command line to one complete, checked RunConfig.
//
//   LoadConfig(path, settings)    reads the file, puts `--set` on top of it          (precedence: file <
//   --set) ValidateConfig(config, W)     everything that can be said without opening the data
//   ResolveConfig(config)         writes every default into it: what RUN/run.textproto holds
//   RecipeText, RecipeHash        the part that decides the result, canonical
//
// All functions are pure but for reading files, and thread-safe. Errors are ConfigErrors (exit code 2)
// that names the file, line and column or the field's path, and the nearest valid names.
#ifndef LOCKSTEP_RUNTIME_TRAIN_CONFIG_H_
#define LOCKSTEP_RUNTIME_TRAIN_CONFIG_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proto/run_config.pb.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"

namespace lockstep::train {

// Parses protobuf text format. `source` is what errors call the text, usually its path.
// Layers written directly in a `layers { ... }` or `block { ... }` are moved into the ordered field `layer`,
// so that afterwards only LayerList.layer is ever filled.
absl::StatusOr<RunConfig> ParseConfig(absl::string_view text, absl::string_view source);

// Applies one `path.to.field=value`:
//   lanes=16   precision=FP32   data.train=some/files*.tfrecord (quotes may be left out)
//   execution.comm.backend=tcp model.layers.layer[0].conv2d.channels=8   model.mlp.hidden=[256, 128]
//   optimizer={sgd {lr: 0.1}}
// A message or a whole list is replaced by what is given; an index one past the end appends. Naming another
// member of a choice (optimizer.sgd.lr where the file has adamw) replaces the one that was there.
absl::Status ApplySetting(RunConfig* config, absl::string_view setting);

// ParseConfig of the file at `path`, then ApplySetting of each of `settings` in order. Where data.text names
// a tokenizer, it is read, and data.text.vocabulary set if it was not; DataError where that cannot be.
absl::StatusOr<RunConfig> LoadConfig(const std::string& path, absl::Span<const std::string> settings,
                                     FileSystem* fs = RealFileSystem());

// Checks ranges, required fields and combinations. `world_size` is the number of ranks, or 0 when it is not
// known yet (the checks of W against lanes are then left out). Accepts both resolved and unresolved
// configurations.
absl::Status ValidateConfig(const RunConfig& config, int world_size);

// The same run with every default written out: idempotent, and the text of the result parses to the same
// message. Nothing of it depends on the data, the machine or the world.
RunConfig ResolveConfig(RunConfig config);

// Text format, multi-line, fields in the order of the schema.
std::string ConfigText(const RunConfig& config);

// ConfigText of the resolved recipe: `config` with every default filled, without `execution` and without the
// places of the data (data.train, data.eval, data.text.tokenizer, data.columns.statistics: their contents are
// compared by fingerprint). Two configurations with equal recipe texts give the same bits on the same data.
std::string RecipeText(const RunConfig& config);
std::string RecipeHash(const RunConfig& config);  // SHA-256 of RecipeText, 64 lower-case hex digits

// Every set field as (path, value), in the order of the schema, for diffs: ("optimizer.adamw.lr", "0.002"),
// ("model.layers.layer[1].relu", "{}"). Call it on a resolved configuration to compare what runs.
std::vector<std::pair<std::string, std::string>> FlattenConfig(const RunConfig& config);

// The horizon in optimizer steps: config.steps, or ceil(epochs * epoch / global_batch), at least 1. `epoch`
// is the number of positions of an epoch (Order::positions): its samples, as a rule. It belongs to the
// recipe; `--steps` never changes it.
int64_t HorizonSteps(const RunConfig& config, int64_t epoch);

// Where a path of the configuration (data.train, data.eval, init_from; patterns allowed) lies: relative to
// the working directory, or if nothing matches there, relative to the folder of the configuration file. The
// error names both.
absl::StatusOr<std::string> LocateConfigPath(const std::string& path, const std::string& config_path,
                                             FileSystem* fs = RealFileSystem());

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CONFIG_H_
