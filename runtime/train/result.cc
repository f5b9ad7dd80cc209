#include "runtime/train/result.h"

#include "runtime/train/json_line.h"

namespace lockstep::train {

std::string ResultText(const RunResult& result) {
  JsonLine eval;
  for (const auto& [name, value] : result.eval) eval.Number(name, value);
  JsonLine line;
  line.String("status", result.status).Integer("steps", result.steps).Number("loss", result.loss);
  line.Object("eval", eval);
  line.String("weights_sha256", result.weights_sha256).String("state_sha256", result.state_sha256);
  line.Integer("samples", result.samples).Number("samples_per_second", result.samples_per_second);
  line.Number("seconds", result.seconds).Integer("world_size", result.world_size);
  line.Integer("skipped_steps", result.skipped_steps);
  if (result.damaged_records > 0) line.Integer("damaged_records", result.damaged_records);
  line.Integer("generations", result.generations).Integer("exit_code", result.exit_code);
  if (!result.message.empty()) line.String("message", result.message);
  return line.PrettyText();
}

absl::Status WriteResult(FileSystem* fs, const std::string& path, const RunResult& result) {
  return WriteFileAtomically(fs, path, ResultText(result));
}

}  // namespace lockstep::train
