#include "kernels/cpu/tile_program.h"

#include <algorithm>
#include <cstring>

namespace lockstep::kernels::cpu {
namespace {

constexpr int64_t kTileElements = 1024;  // 4 KiB: several registers fit the first-level cache
constexpr size_t kMaxValues = 256;

int OperandCount(ProgramOp op) {
  if (op <= ProgramOp::kConstant) return 0;
  if (op < ProgramOp::kAdd) return 1;
  return op < ProgramOp::kSelect ? 2 : 3;
}

// Whether `shape` without its leading ones ends `full`.
bool IsSuffix(const Shape& shape, const Shape& full) {
  int first = 0;
  while (first < shape.rank() && shape[first] == 1) ++first;
  const int length = shape.rank() - first;
  if (length > full.rank()) return false;
  for (int i = 0; i < length; ++i) {
    if (shape[first + i] != full[full.rank() - length + i]) return false;
  }
  return true;
}

uint16_t Operand(const Instruction& instruction, int i) {
  return i == 0 ? instruction.a : i == 1 ? instruction.b : instruction.c;
}

float ElementAt(const void* data, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::kU8:
      return static_cast<const uint8_t*>(data)[i];
    case DType::kI32:
      return static_cast<float>(static_cast<const int32_t*>(data)[i]);
    case DType::kI64:
      return static_cast<float>(static_cast<const int64_t*>(data)[i]);
    default:
      return static_cast<const float*>(data)[i];
  }
}

template <typename T>
void Convert(const T* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

void ConvertElements(const void* data, DType dtype, int64_t first, int64_t count, float* to) {
  switch (dtype) {
    case DType::kU8:
      return Convert(static_cast<const uint8_t*>(data) + first, to, count);
    case DType::kI32:
      return Convert(static_cast<const int32_t*>(data) + first, to, count);
    case DType::kI64:
      return Convert(static_cast<const int64_t*>(data) + first, to, count);
    default:
      std::memcpy(to, static_cast<const float*>(data) + first, count * sizeof(float));
  }
}

}  // namespace

absl::StatusOr<TileProgram> TileProgram::Make(const Program& program, absl::Span<const TensorType> inputs,
                                              const Shape& full) {
  if (program.instructions.size() > kMaxValues) {
    return absl::InvalidArgumentError(absl::StrCat("an elementwise program of ", program.instructions.size(),
                                                   " instructions; at most ", kMaxValues, " are supported"));
  }
  TileProgram result;
  result.elements_ = full.NumElements();
  result.outputs_ = program.outputs;
  for (const Instruction& instruction : program.instructions) {
    RETURN_IF_ERROR(result.AddLoad(instruction, inputs, full));
  }
  result.ChooseTile();
  result.AssignBuffers();
  result.ChooseDirectOutputs();
  return result;
}

absl::Status TileProgram::AddLoad(const Instruction& instruction, absl::Span<const TensorType> inputs,
                                  const Shape& full) {
  Value value;
  value.instruction = instruction;
  value.function = FindTileFunction(instruction.op);
  if (instruction.op == ProgramOp::kConstant) {
    value.source = Source::kPattern;
    value.input = -1;
    value.count = 1;
  } else if (instruction.op == ProgramOp::kResult) {
    value.source = Source::kResult;
  } else if (instruction.op == ProgramOp::kLoad) {
    const TensorType& type = inputs[instruction.a];
    const int64_t count = type.shape.NumElements();
    value.input = instruction.a;
    value.dtype = type.dtype;
    value.count = count;
    if (type.shape == full || count == elements_) {
      value.source = type.dtype == DType::kF32 ? Source::kDirect : Source::kConverted;
    } else if (count <= 1) {
      value.source = Source::kPattern;
    } else if (!IsSuffix(type.shape, full)) {
      value.source = Source::kRuns;
      value.period = elements_ / count;
    } else {
      value.source = count <= kTileElements ? Source::kPattern : Source::kPeriod;
      value.period = count;
    }
  }
  values_.push_back(value);
  return absl::OkStatus();
}

// Tiles begin at multiples of every short period, so that short inputs are one repeated pattern; and they do
// not straddle a long period where that can be had.
void TileProgram::ChooseTile() {
  int64_t short_period = 1, long_period = 0;
  for (const Value& value : values_) {
    if (value.source == Source::kPattern) short_period = std::max(short_period, value.count);
    if (value.source == Source::kPeriod) long_period = std::max(long_period, value.period);
  }
  tile_ = kTileElements / short_period * short_period;
  if (short_period > 1 || long_period == 0) return;
  for (int64_t parts = (long_period + kTileElements - 1) / kTileElements, tries = 0; tries < 8;
       ++tries, ++parts) {
    if (long_period % (parts * 16) == 0) {
      tile_ = long_period / parts;
      return;
    }
  }
}

// Patterns keep a buffer each; computed and converted values share registers, freed at their last use.
void TileProgram::AssignBuffers() {
  const size_t tile = RoundUp(tile_, 16);
  std::vector<size_t> last_use(values_.size());
  for (size_t i = 0; i < values_.size(); ++i) {
    last_use[i] = i;
    for (int j = 0; j < OperandCount(values_[i].instruction.op); ++j)
      last_use[Operand(values_[i].instruction, j)] = i;
  }
  for (uint16_t value : outputs_) {
    last_use[value] = values_.size();
    values_[value].is_output = true;
  }
  size_t used = 0;
  std::vector<size_t> free;
  for (size_t i = 0; i < values_.size(); ++i) {
    Value& value = values_[i];
    if (value.source == Source::kPattern) {
      value.buffer = used;
      used += tile;
      continue;
    }
    if (free.empty()) {
      free.push_back(used);
      used += tile;
    }
    value.buffer = free.back();
    free.pop_back();
    for (size_t j = 0; j <= i; ++j) {
      if (last_use[j] == i && values_[j].source != Source::kPattern) free.push_back(values_[j].buffer);
    }
  }
  scratch_bytes_ = used * sizeof(float);
}

// A value may go straight to its output only when nothing is loaded from memory afterwards: the output may be
// the same buffer as an input.
void TileProgram::ChooseDirectOutputs() {
  size_t last_load_use = 0;
  for (size_t i = 0; i < values_.size(); ++i) {
    for (int j = 0; j < OperandCount(values_[i].instruction.op); ++j) {
      if (values_[Operand(values_[i].instruction, j)].source != Source::kComputed) last_load_use = i;
    }
  }
  for (uint16_t value : outputs_) {
    if (values_[value].source != Source::kComputed)
      return;  // a passed-through input is copied at the end of a tile
  }
  for (size_t output = 0; output < outputs_.size(); ++output) {
    Value& value = values_[outputs_[output]];
    if (outputs_[output] >= last_load_use && value.direct_output < 0) value.direct_output = output;
  }
}

void TileProgram::Prepare(const Tensors& tensors, std::byte* scratch) const {
  float* floats = reinterpret_cast<float*>(scratch);
  for (const Value& value : values_) {
    if (value.source != Source::kPattern) continue;
    float* pattern = floats + value.buffer;
    if (value.count == 0) continue;
    for (int64_t i = 0; i < tile_; ++i) {
      pattern[i] = value.input < 0 ? value.instruction.immediate
                                   : ElementAt(tensors.inputs[value.input], value.dtype, i % value.count);
    }
  }
}

// The tile of a source value: elements first .. first + count - 1.
const float* TileProgram::LoadTile(const Value& value, const Tensors& tensors, int64_t begin, int64_t first,
                                   int64_t count, float* scratch) const {
  float* buffer = scratch + value.buffer;
  switch (value.source) {
    case Source::kDirect:
      return static_cast<const float*>(tensors.inputs[value.input]) + first;
    case Source::kResult:
      return tensors.result + (first - begin);
    case Source::kPattern:
      return buffer + first % tile_;
    case Source::kConverted:
      ConvertElements(tensors.inputs[value.input], value.dtype, first, count, buffer);
      return buffer;
    case Source::kPeriod: {
      const int64_t at = first % value.period;
      if (value.dtype == DType::kF32 && at + count <= value.period) {
        return static_cast<const float*>(tensors.inputs[value.input]) + at;
      }
      for (int64_t done = 0; done < count;) {
        const int64_t from = (first + done) % value.period,
                      part = std::min(value.period - from, count - done);
        ConvertElements(tensors.inputs[value.input], value.dtype, from, part, buffer + done);
        done += part;
      }
      return buffer;
    }
    case Source::kRuns:
      for (int64_t done = 0; done < count;) {
        const int64_t run = (first + done) / value.period;
        const int64_t part = std::min((run + 1) * value.period - (first + done), count - done);
        std::fill_n(buffer + done, part, ElementAt(tensors.inputs[value.input], value.dtype, run));
        done += part;
      }
      return buffer;
    case Source::kComputed:
      break;
  }
  return buffer;
}

void TileProgram::RunDropout(const Value& value, const RunContext& context, const float* a, float* result,
                             int64_t first, int64_t count) const {
  const int64_t samples = std::max<int64_t>(1, context.positions.size());
  const int64_t per_sample = std::max<int64_t>(1, elements_ / samples);
  for (int64_t done = 0; done < count;) {
    const int64_t sample = std::min((first + done) / per_sample, samples - 1);
    const int64_t element = first + done - sample * per_sample;
    const int64_t part = sample == samples - 1 ? count - done : std::min(per_sample - element, count - done);
    const int64_t position = context.positions.empty() ? 0 : context.positions[sample];
    DropoutTile(context.dropout_key ^ value.instruction.site, position, element, value.instruction.immediate,
                a + done, result + done, part);
    done += part;
  }
}

void TileProgram::RunTile(const Tensors& tensors, int64_t begin, int64_t first, int64_t count,
                          float* scratch) const {
  static constexpr RunContext kNoContext;
  const float* tiles[kMaxValues];
  for (size_t i = 0; i < values_.size(); ++i) {
    const Value& value = values_[i];
    if (value.source != Source::kComputed) {
      tiles[i] = LoadTile(value, tensors, begin, first, count, scratch);
      if (value.is_output && tiles[i] != scratch + value.buffer && value.source != Source::kPattern) {
        // Another output may overwrite the input before this one is stored.
        std::memcpy(scratch + value.buffer, tiles[i], count * sizeof(float));
        tiles[i] = scratch + value.buffer;
      }
      continue;
    }
    const bool direct = value.direct_output >= 0 && !tensors.accumulate;
    float* result =
        direct ? static_cast<float*>(tensors.outputs[value.direct_output]) + first : scratch + value.buffer;
    tiles[i] = result;
    const Instruction& instruction = value.instruction;
    if (instruction.op == ProgramOp::kDropout) {
      RunDropout(value, tensors.context ? *tensors.context : kNoContext, tiles[instruction.a], result, first,
                 count);
      continue;
    }
    const int operands = OperandCount(instruction.op);
    value.function({tiles[instruction.a], operands > 1 ? tiles[instruction.b] : nullptr,
                    operands > 2 ? tiles[instruction.c] : nullptr, result, static_cast<size_t>(count),
                    instruction.immediate});
  }
  for (size_t output = 0; output < outputs_.size(); ++output) {
    float* to = static_cast<float*>(tensors.outputs[output]) + first;
    const float* from = tiles[outputs_[output]];
    if (tensors.accumulate) {
      AddTile(from, to, count);
    } else if (from != to) {
      std::memcpy(to, from, count * sizeof(float));
    }
  }
}

void TileProgram::Run(const Tensors& tensors, int64_t begin, int64_t end, std::byte* scratch) const {
  for (int64_t first = begin; first < end;) {
    const int64_t next = std::min(end, (first / tile_ + 1) * tile_);
    RunTile(tensors, begin, first, next - first, reinterpret_cast<float*>(scratch));
    first = next;
  }
}

}  // namespace lockstep::kernels::cpu
